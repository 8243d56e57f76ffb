// `skein attach JOB`: follows a job as `run` does, from whatever it has come to.
import { loadConfig } from '../../config/config.ts';
import type { Call, Command } from '../call.ts';
import { openMesh } from '../mesh.ts';
import { followJob } from '../run/follow-job.ts';
import { select } from '../selector.ts';

export const command: Command = async (call: Call) => {
  const config = await loadConfig(call.flags, call.world.surroundings);
  const { job } = await select(call.args[0] ?? '@last', call.world.surroundings);
  const mesh = await openMesh(call, config);
  return followJob(call, config, mesh, await mesh.client.job(job));
};
