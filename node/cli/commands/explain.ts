// `skein explain JOB[/TASK]`: in one sentence why it waits, and what would help.
import type { Call, Command } from '../call.ts';
import { openMesh } from '../mesh.ts';
import { printable } from '../output/table.ts';
import { oneTask, select, shortId } from '../selector.ts';
import { show } from '../show.ts';

export const command: Command = async (call: Call) => {
  const from = call.world.surroundings;
  const selected = await select(call.args[0] ?? '@last', from);
  const { client } = await openMesh(call);
  const answer = await client.explain(selected.job, oneTask(selected));
  await show(call, {
    document: answer,
    text: () => {
      const name = shortId(answer.jobId) + (answer.task === null ? '' : `/${answer.task}`);
      const fixes = answer.fixes.map(({ command, effect }) => `  ${command}   ${effect}`);
      return [`${name}  ${answer.verdict}: ${printable(answer.sentence)}`, ...fixes].join('\n');
    },
  });
  return 0;
};
