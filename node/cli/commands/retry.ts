// `skein retry JOB`: runs tasks of a job again, and follows and exits like `run`.
import type { JobView, RetryRequest } from '../../../protocol/api/job.ts';
import type { JobSpec } from '../../../protocol/api/jobspec.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import { loadConfig } from '../../config/config.ts';
import { type Call, type Command, isSet } from '../call.ts';
import { confirm } from '../confirm.ts';
import { newIdempotencyKey } from '../idempotency-key.ts';
import { openMesh } from '../mesh.ts';
import { drifted } from '../run/drifted.ts';
import { followJob, placeOf } from '../run/follow-job.ts';
import { type Selected, select, shortId } from '../selector.ts';

export const command: Command = async (call: Call) => {
  const config = await loadConfig(call.flags, call.world.surroundings);
  const selected = await select(call.args[0], call.world.surroundings);
  const tasks = tasksOf(call, selected);
  const mesh = await openMesh(call, config);
  await tellDrift(call, await mesh.client.job(selected.job));
  const { jobId } = await mesh.client.retry(selected.job, { tasks }, newIdempotencyKey(call));
  if (!isSet(call, 'detach')) return followJob(call, config, mesh, await mesh.client.job(jobId));
  if (call.flags.json === true) await call.screen.answer(JSON.stringify({ schema: 'skein.accepted/1', jobId }));
  else await call.screen.answer(jobId);
  await call.screen.say(`back: skein attach ${shortId(jobId)}`);
  return 0;
};

/** On a terminal it asks: the script may have been edited because it failed, and the job has the old one. */
async function tellDrift(call: Call, job: JobView): Promise<void> {
  const spec = job.spec as unknown as JobSpec;
  const { folder, outputDir } = await placeOf(call, job.jobId, spec);
  if (outputDir === undefined) return;
  const changed = await drifted(spec, folder);
  if (changed.length === 0) return;
  await call.screen.say(
    `${changed.join(', ')} changed since; the job runs with what it took along (skein run takes yours)`,
  );
  if (call.world.stderr.isTerminal) await confirm('run it again as it was?', call);
}

function tasksOf(call: Call, { tasks }: Selected): NonNullable<RetryRequest['tasks']> {
  const { task, all } = call.flags;
  const named = Array.isArray(task) ? task.map(Number) : [];
  if (named.some((n) => !Number.isInteger(n) || n < 1)) {
    throw new SkeinError('usage', '--task takes a number from 1', { fix: 'skein retry JOB --task 17' });
  }
  const ranged = tasks === undefined ? [] : Array.from({ length: tasks.to - tasks.from + 1 }, (_, n) => tasks.from + n);
  if (named.length + ranged.length > 0) return [...named, ...ranged];
  return all === true ? 'all' : 'failed';
}
