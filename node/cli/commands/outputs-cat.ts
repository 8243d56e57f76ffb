// `skein outputs cat JOB[/TASK] PATH`: one file on stdout.
import type { Call, Command } from '../call.ts';
import { openMesh } from '../mesh.ts';
import { oneTask, select } from '../selector.ts';

export const command: Command = async (call: Call) => {
  const from = call.world.surroundings;
  const [job, path = ''] = call.args;
  const selected = await select(job, from);
  const { client } = await openMesh(call);
  for await (const chunk of await client.readOutput(selected.job, oneTask(selected) ?? 1, path, 0)) {
    await call.world.stdout.write(chunk);
  }
  return 0;
};
