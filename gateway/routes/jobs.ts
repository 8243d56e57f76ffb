// Jobs as they are read: the list, one of them, why it waits, and a wait for its end.
import { Type } from 'typebox';
import { rfc3339OrNull } from '../../protocol/api/instant.ts';
import { Explanation, JobList, JobView, jobStates } from '../../protocol/api/job.ts';
import { jobListItem } from '../../protocol/api/jobview.ts';
import { oneOf } from '../../protocol/api/shape.ts';
import { SkeinError } from '../../protocol/errors.ts';
import type { JobId } from '../../protocol/ids.ts';
import { keys } from '../../protocol/state/rows.ts';
import { callerIn, requires } from '../auth.ts';
import type { App, Context } from '../context.ts';
import { makeCursor, readCursor } from '../cursor.ts';
import { deadline } from '../deadline.ts';
import { about, JobParam, query, refusals } from '../described.ts';
import { gone } from '../gone.ts';
import type { FoundJob } from '../jobs.ts';
import { linkNext, Page } from '../page.ts';
import { Consistency, fresh } from '../reads.ts';
import { checkTask } from './tasks.ts';

/** A filter that few jobs pass must not read all of them for one page. */
const ROWS_A_PAGE_MAX = 5000;
const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i;
const WAIT_MS = 30_000;
const WAIT_MS_MAX = 60_000;

export function jobRoutes(app: App, context: Context): void {
  const { mesh, jobs } = context;
  const onRequest = requires(mesh, 'read');
  app.get(
    '/v1/jobs',
    {
      schema: {
        ...about({ tag: 'jobs', summary: 'List jobs, the latest first', scope: 'read' }),
        querystring: query({
          state: Type.Optional(oneOf(jobStates)),
          label: Type.Optional(Type.String({ maxLength: 512, description: 'NAME or NAME=VALUE' })),
          since: Type.Optional(Type.String({ maxLength: 40, description: 'submitted at or after, RFC 3339' })),
          ...Page,
          ...Consistency,
        }),
        response: { 200: JobList, ...refusals },
      },
      onRequest,
    },
    async (request, reply) => {
      await fresh(context, request, reply);
      const page = await listJobs(context, callerIn(request).key.project, request.query);
      linkNext(request, reply, page.next);
      return page;
    },
  );
  app.get(
    '/v1/jobs/:id',
    {
      schema: {
        ...about({ tag: 'jobs', summary: 'One job', scope: 'read' }),
        params: Type.Object(JobParam),
        querystring: query(Consistency),
        response: { 200: JobView, ...refusals },
      },
      onRequest,
    },
    async (request, reply) => {
      await fresh(context, request, reply);
      return jobs.view(await jobs.find(request.params.id, callerIn(request).key.project));
    },
  );
  app.patch(
    '/v1/jobs/:id',
    {
      schema: {
        ...about({ tag: 'jobs', summary: 'Change what has not started: not in this version', scope: 'submit' }),
        params: Type.Object(JobParam),
        response: refusals,
      },
      onRequest: requires(mesh, 'submit'),
    },
    async () => {
      throw new SkeinError('not-in-this-version', 'a job cannot be changed in this version of skein', {
        fix: 'cancel it and submit it anew',
      });
    },
  );
  app.get(
    '/v1/jobs/:id/wait',
    {
      schema: {
        ...about({
          tag: 'jobs',
          summary: 'Wait for the end of a job',
          description: 'Answers with the job once it has ended, or as it is when the time is over.',
          scope: 'read',
        }),
        params: Type.Object(JobParam),
        querystring: query({
          timeoutMs: Type.Optional(
            Type.Integer({ minimum: 0, maximum: WAIT_MS_MAX, description: '30,000 unless told' }),
          ),
        }),
        response: { 200: JobView, ...refusals },
      },
      onRequest,
    },
    async (request, reply) => {
      await mesh.readBarrier();
      const { project } = callerIn(request).key;
      const { job } = await jobs.find(request.params.id, project);
      await untilEnded(context, job.jobId, request.query.timeoutMs ?? WAIT_MS, gone(reply));
      return jobs.view(await jobs.find(job.jobId, project));
    },
  );
  app.get(
    '/v1/jobs/:id/explain',
    {
      schema: {
        ...about({ tag: 'jobs', summary: 'Why a job waits', scope: 'read' }),
        params: Type.Object(JobParam),
        querystring: query({ task: Type.Optional(Type.Integer({ minimum: 1 })), ...Consistency }),
        response: { 200: Explanation, ...refusals },
      },
      onRequest,
    },
    async (request, reply) => {
      await fresh(context, request, reply);
      const found = await jobs.find(request.params.id, callerIn(request).key.project);
      const { task } = request.query;
      if (task !== undefined) checkTask(found, task);
      return explain(context, found, task ?? null);
    },
  );
}

interface Filter {
  readonly state?: string;
  readonly label?: string;
  readonly since?: string;
  readonly limit?: number;
  readonly cursor?: string;
}

async function listJobs({ mesh, jobs }: Context, project: string, filter: Filter): Promise<JobList> {
  const { epochId, meshId } = mesh.status();
  const limit = filter.limit ?? 50;
  const matches = matcher(filter);
  const below = filter.cursor === undefined ? undefined : readCursor({ epochId, meshId }, 'jobs', filter.cursor);
  const items: JobList['items'] = [];
  let seen = 0;
  let last = 0;
  const after = below === undefined ? {} : { after: keys.arrival(below) };
  // One row more than a page holds tells whether there is another page.
  for await (const [key, { jobId }] of mesh.scan<{ jobId: JobId }>('arrival/', { ...after, reverse: true })) {
    if (items.length === limit || seen++ === ROWS_A_PAGE_MAX) {
      return { schema: 'skein.joblist/1', items, next: makeCursor({ epochId, meshId }, 'jobs', last) };
    }
    last = Number(key.slice('arrival/'.length));
    const found = jobs.get(jobId, project);
    if (found === undefined) continue;
    const wanted = matches(found);
    if (wanted === 'over') break;
    if (wanted === 'no') continue;
    const waiting = found.progress.finishedAt === null ? mesh.waiting(jobId) : null;
    items.push(jobListItem(found.job, found.progress, { now: mesh.now(), waiting }));
  }
  return { schema: 'skein.joblist/1', items, next: null };
}

/** `over`: this one and all that came before it are too old. */
function matcher({ state, label, since }: Filter): (found: FoundJob) => 'yes' | 'no' | 'over' {
  const from = since === undefined ? 0 : parseInstant(since);
  const [name = '', value] = label === undefined ? [] : splitOnce(label, '=');
  return ({ job, progress }) => {
    if (job.submittedAt < from) return 'over';
    if (state !== undefined && progress.state !== state) return 'no';
    if (label === undefined) return 'yes';
    const has = job.spec.labels?.[name];
    return has !== undefined && (value === undefined || has === value) ? 'yes' : 'no';
  };
}

function parseInstant(text: string): number {
  const at = RFC_3339.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) {
    throw new SkeinError('invalid-request', "the query's field since must be a time in RFC 3339", {
      extra: { field: 'since' },
    });
  }
  return at;
}

function splitOnce(text: string, by: string): [string, string?] {
  const at = text.indexOf(by);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

/** Until the job has ended or the time is over. */
async function untilEnded(context: Context, jobId: JobId, timeoutMs: number, left: AbortSignal): Promise<void> {
  using watch = context.hub.watch(jobId);
  using wait = deadline(context.clock, timeoutMs, left);
  const ended = () => context.mesh.view.get(keys.progress(jobId))?.finishedAt !== null;
  while (!ended() && !wait.signal.aborted) await watch.next(wait.signal);
}

function explain({ mesh }: Context, { job, progress }: FoundJob, task: number | null): Explanation {
  const ended = progress.finishedAt !== null;
  const waiting = ended ? null : mesh.waiting(job.jobId);
  const told = ended
    ? {
        verdict: 'finished' as const,
        sentence: `${job.jobId} has ended: ${progress.state}`,
        since: progress.finishedAt,
      }
    : (waiting ?? { verdict: 'running' as const, sentence: `${job.jobId} is running`, since: progress.startedAt });
  return {
    schema: 'skein.explain/1',
    jobId: job.jobId,
    task,
    verdict: told.verdict,
    sentence: told.sentence,
    since: rfc3339OrNull(told.since),
    queue: null,
    needs: job.spec.needs ?? null,
    peers: null,
    scaler: null,
    eta: null,
    fixes: [],
  };
}
