// Tasks and attempts of a job, page by page.
import { Type } from 'typebox';
import { AttemptList, TaskList, TaskView } from '../../protocol/api/job.ts';
import { attemptView, taskView } from '../../protocol/api/jobview.ts';
import { SkeinError } from '../../protocol/errors.ts';
import { keys, type TaskRow } from '../../protocol/state/rows.ts';
import { callerIn, requires } from '../auth.ts';
import type { App, Context } from '../context.ts';
import { makeCursor, readCursor } from '../cursor.ts';
import { about, JobParam, query, refusals, TaskParam } from '../described.ts';
import type { FoundJob } from '../jobs.ts';
import { linkNext, Page } from '../page.ts';
import { Consistency, fresh } from '../reads.ts';

interface Part {
  readonly limit?: number;
  readonly cursor?: string;
}

export function taskRoutes(app: App, context: Context): void {
  const { mesh, jobs } = context;
  const onRequest = requires(mesh, 'read');
  app.get(
    '/v1/jobs/:id/tasks',
    {
      schema: {
        ...about({ tag: 'tasks', summary: 'The tasks of a job, in order of number', scope: 'read' }),
        params: Type.Object(JobParam),
        querystring: query({ ...Page, ...Consistency }),
        response: { 200: TaskList, ...refusals },
      },
      onRequest,
    },
    async (request, reply) => {
      await fresh(context, request, reply);
      const found = await jobs.find(request.params.id, callerIn(request).key.project);
      const page = await listTasks(context, found, request.query);
      linkNext(request, reply, page.next);
      return page;
    },
  );
  app.get(
    '/v1/jobs/:id/tasks/:n',
    {
      schema: {
        ...about({ tag: 'tasks', summary: 'One task', scope: 'read' }),
        params: Type.Object(TaskParam),
        querystring: query(Consistency),
        response: { 200: TaskView, ...refusals },
      },
      onRequest,
    },
    async (request, reply) => {
      await fresh(context, request, reply);
      const found = await jobs.find(request.params.id, callerIn(request).key.project);
      const { n } = request.params;
      checkTask(found, n);
      return taskView(found, n, jobs.task(found.job.jobId, n), {
        begun: (task) => mesh.begun(task),
        itemOf: await jobs.names(found.job.spec),
      });
    },
  );
  app.get(
    '/v1/jobs/:id/attempts',
    {
      schema: {
        ...about({ tag: 'tasks', summary: 'All attempts of a job, by task', scope: 'read' }),
        params: Type.Object(JobParam),
        querystring: query({ ...Page, ...Consistency }),
        response: { 200: AttemptList, ...refusals },
      },
      onRequest,
    },
    async (request, reply) => {
      await fresh(context, request, reply);
      const found = await jobs.find(request.params.id, callerIn(request).key.project);
      const page = await listAttempts(context, found, request.query);
      linkNext(request, reply, page.next);
      return page;
    },
  );
}

/** Fails with `not-found` where the job has no such task. */
export function checkTask({ job }: FoundJob, n: number): void {
  if (n <= job.taskCount) return;
  const has = job.taskCount === 1 ? 'one task' : `tasks 1 to ${job.taskCount}`;
  throw new SkeinError('not-found', `${job.jobId} has ${has}, no task ${n}`);
}

async function listTasks({ mesh, jobs }: Context, found: FoundJob, part: Part): Promise<TaskList> {
  const { jobId, taskCount } = found.job;
  const list = `tasks/${jobId}`;
  const status = mesh.status();
  const from = part.cursor === undefined ? 0 : readCursor(status, list, part.cursor);
  const to = Math.min(taskCount, from + (part.limit ?? 50));
  const told = { begun: (task: TaskRow) => mesh.begun(task), itemOf: await jobs.names(found.job.spec) };
  const items: TaskList['items'] = [];
  for (let n = from + 1; n <= to; n++) items.push(taskView(found, n, jobs.task(jobId, n), told));
  return { schema: 'skein.tasklist/1', items, next: to < taskCount ? makeCursor(status, list, to) : null };
}

/** A page ends with a whole task, so it may hold some attempts more than its limit. */
async function listAttempts({ mesh }: Context, found: FoundJob, part: Part): Promise<AttemptList> {
  const { jobId } = found.job;
  const list = `attempts/${jobId}`;
  const status = mesh.status();
  const after = part.cursor === undefined ? {} : { after: keys.task(jobId, readCursor(status, list, part.cursor)) };
  const items: AttemptList['items'] = [];
  let last = 0;
  for await (const [, task] of mesh.scan<TaskRow>(`task/${jobId}/`, after)) {
    if (items.length >= (part.limit ?? 50)) {
      return { schema: 'skein.attemptlist/1', items, next: makeCursor(status, list, last) };
    }
    const begun = task.open !== null && mesh.begun(task);
    for (const attempt of task.attempts) items.push(attemptView(task, attempt, begun));
    last = task.n;
  }
  return { schema: 'skein.attemptlist/1', items, next: null };
}
