// What a submitter does to a job that is there: cancel it, or have tasks of it run again.
import { Type } from 'typebox';
import { Accepted, CancelRequest, RetryRequest } from '../../protocol/api/job.ts';
import { SkeinError } from '../../protocol/errors.ts';
import type { JobId } from '../../protocol/ids.ts';
import type { Outcome } from '../../protocol/state/command.ts';
import { callerIn, requires } from '../auth.ts';
import { emptyBody } from '../bodies.ts';
import type { App, Context, Reply } from '../context.ts';
import { about, IdempotencyHeader, JobParam, refusals } from '../described.ts';
import { answerOf, idempotencyOf } from '../idempotency.ts';

export function actRoutes(app: App, { mesh, jobs }: Context): void {
  const common = {
    onRequest: requires(mesh, 'submit'),
    preValidation: emptyBody,
  };
  const schema = {
    headers: IdempotencyHeader,
    params: Type.Object(JobParam),
    response: { 202: Accepted, ...refusals },
  };
  app.post(
    '/v1/jobs/:id/cancel',
    {
      ...common,
      schema: {
        ...about({
          tag: 'jobs',
          summary: 'Cancel a job or a range of its tasks',
          description: 'What runs stays `running` with `cancelRequested` until its worker has stopped it.',
          scope: 'submit',
        }),
        ...schema,
        body: CancelRequest,
      },
    },
    async (request, reply) => {
      const { project } = callerIn(request).key;
      const { tasks, reason, graceMs, signal } = request.body;
      const range = tasks === undefined ? null : ([tasks.from, tasks.to] as const);
      if (range !== null && range[1] < range[0]) {
        throw new SkeinError('invalid-request', "the body's field tasks.to must not be below from");
      }
      const jobId = await idOf(request.params.id, project);
      const { outcome } = await mesh.propose({
        kind: 'job.cancelled',
        jobId,
        tasks: range,
        reason: reason ?? null,
        ...(graceMs === undefined ? {} : { graceMs }),
        ...(signal === undefined ? {} : { signal }),
        idempotency: idempotencyOf(request, `cancel ${jobId}`, request.body),
        project,
        at: mesh.now(),
      });
      return accepted(outcome, jobId, reply);
    },
  );
  app.post(
    '/v1/jobs/:id/retry',
    {
      ...common,
      schema: {
        ...about({ tag: 'jobs', summary: 'Run ended tasks of a job again', scope: 'submit' }),
        ...schema,
        body: RetryRequest,
      },
    },
    async (request, reply) => {
      const { project } = callerIn(request).key;
      const { tasks = 'failed' } = request.body;
      const jobId = await idOf(request.params.id, project);
      const { outcome } = await mesh.propose({
        kind: 'job.retried',
        jobId,
        tasks,
        idempotency: idempotencyOf(request, `retry ${jobId}`, { tasks }),
        project,
        at: mesh.now(),
      });
      return accepted(outcome, jobId, reply);
    },
  );

  /** The job may have been submitted at another gateway a moment ago: only a barrier tells that there is none. */
  async function idOf(ref: string, project: string): Promise<JobId> {
    await mesh.readBarrier();
    return (await jobs.find(ref, project)).job.jobId;
  }
}

function accepted(outcome: Outcome, jobId: JobId, reply: Reply): Accepted {
  const answer = answerOf(outcome, reply);
  reply.status(202);
  return { schema: 'skein.accepted/1', jobId, tasks: typeof answer.tasks === 'number' ? answer.tasks : null };
}
