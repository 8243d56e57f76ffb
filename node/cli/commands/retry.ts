// `skein retry JOB`: runs tasks of a job again, and follows and exits like `run`.

import type { RetryRequest } from '../../../protocol/api/job.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import { loadConfig } from '../../config/config.ts';
import { type Call, type Command, isSet } from '../call.ts';
import { openMesh } from '../mesh.ts';
import { newKey } from '../run/accompany.ts';
import { followJob } from '../run/follow-job.ts';
import { type Selected, select, shortId } from '../selector.ts';

export const command: Command = async (call: Call) => {
  const config = await loadConfig(call.flags, call.world.surroundings);
  const selected = await select(call.args[0], call.world.surroundings);
  const tasks = tasksOf(call, selected);
  const mesh = await openMesh(call, config);
  const { jobId } = await mesh.client.retry(selected.job, { tasks }, newKey(call));
  if (!isSet(call, 'detach')) return followJob(call, config, mesh, await mesh.client.job(jobId));
  if (call.flags.json === true) await call.screen.answer(JSON.stringify({ schema: 'skein.accepted/1', jobId }));
  else await call.screen.answer(jobId);
  await call.screen.say(`back: skein attach ${shortId(jobId)}`);
  return 0;
};

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
