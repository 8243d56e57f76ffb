// POST /v1/jobs: the hot path. Nothing here waits for more than the blobs that the job names and the commit.
import { Type } from 'typebox';
import { withDefaults } from '../../protocol/api/defaults.ts';
import { rfc3339 } from '../../protocol/api/instant.ts';
import { JobPlan, Submitted } from '../../protocol/api/job.ts';
import { JobSpec, taskCount } from '../../protocol/api/jobspec.ts';
import { jobPath, specView } from '../../protocol/api/jobview.ts';
import { SkeinError } from '../../protocol/errors.ts';
import type { JobId } from '../../protocol/ids.ts';
import { callerIn, requires } from '../auth.ts';
import type { App, Context, Reply, Request } from '../context.ts';
import { about, IdempotencyHeader, query, refusals } from '../described.ts';
import { gone } from '../gone.ts';
import { answerOf, idempotencyOf } from '../idempotency.ts';
import { checkSpec, fitRecord, namedBlobs, namedDirectly, SPEC_BYTES_MAX } from '../submission.ts';

const BODY_BYTES_MAX = 32 * 1024 * 1024;

export function submitRoute(app: App, context: Context): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', (request, _payload, done) => {
    context.bodies.read(request.raw, BODY_BYTES_MAX, done);
  });
  app.post(
    '/v1/jobs',
    {
      schema: {
        ...about({
          tag: 'jobs',
          summary: 'Submit a job',
          description: 'Answers once it is committed. Its blobs must be there before: POST /v1/blobs/check.',
          scope: 'submit',
        }),
        headers: IdempotencyHeader,
        querystring: query({ dryRun: Type.Optional(Type.Integer({ minimum: 0, maximum: 1 })) }),
        body: JobSpec,
        response: { 200: JobPlan, 201: Submitted, ...refusals },
      },
      onRequest: requires(context.mesh, 'submit'),
    },
    async (request, reply) => {
      const spec = request.body;
      checkSpec(spec);
      if (request.query.dryRun === 1) return plan(context, spec);
      return submit(context, request, reply, spec);
    },
  );
}

async function plan({ mesh }: Context, spec: JobSpec): Promise<JobPlan> {
  const unmet = mesh.unmet(spec.needs);
  return {
    schema: 'skein.plan/1',
    tasks: taskCount(spec),
    fits: unmet === undefined,
    sentence: unmet ?? null,
    missingBlobs: [...(await namedBlobs(mesh.blobs, spec)).missing],
    estimate: null,
    spec: specView(spec),
  };
}

async function submit({ mesh }: Context, request: Request, reply: Reply, spec: JobSpec): Promise<Submitted> {
  const { key } = callerIn(request);
  // Over the body as it came: putting lists into blobs afterwards changes nothing of what was asked.
  const idempotency = idempotencyOf(request, 'submit', withDefaults(spec));
  const { named, missing } = await namedBlobs(mesh.blobs, spec);
  if (missing.length > 0) throw blobsMissing(missing);
  const fits = Number(request.headers['content-length']) <= SPEC_BYTES_MAX;
  const fitted = fits ? spec : await fitRecord(mesh.blobs, spec, gone(reply));
  await mesh.blobs.copy(fits ? named : named.union(namedDirectly(fitted)));
  const at = mesh.now();
  const { outcome } = await mesh.propose({
    kind: 'job.submitted',
    jobId: mesh.newJobId(),
    project: key.project,
    spec: fitted,
    taskCount: taskCount(spec),
    by: key.name,
    idempotency,
    at,
  });
  const jobId = answerOf(outcome, reply).jobId as JobId;
  const unmet = mesh.unmet(spec.needs);
  reply.status(201).header('location', jobPath(jobId));
  return {
    schema: 'skein.submitted/1',
    jobId,
    tasks: taskCount(spec),
    url: jobPath(jobId),
    waiting: unmet === undefined ? null : { verdict: 'no-peer-fits', sentence: unmet, since: rfc3339(at) },
  };
}

function blobsMissing(missing: readonly string[]): SkeinError {
  const count = missing.length === 1 ? 'a blob that is' : `${missing.length} blobs that are`;
  return new SkeinError('blobs-missing', `the job names ${count} not here`, {
    fix: 'upload what `missing` lists (PUT /v1/blobs/SHA256) and submit again',
    extra: { missing },
  });
}
