// `skein down`: SIGTERM to this machine's node, and a wait until it is gone.
import { SkeinError } from '../../../protocol/errors.ts';
import { dataFolderOf } from '../../config/node-options.ts';
import { isRunning, type NodeEntry, readNodeEntries } from '../../config/nodes.ts';
import type { Call, Command } from '../call.ts';
import { confirm } from '../confirm.ts';

const DEADLINE_MS = 120_000;

export const command: Command = async (call: Call) => {
  const node = await chosenNode(call);
  await confirm(`stop node ${node.name} of mesh ${node.meshName} (${node.dataFolder})?`, call);
  process.kill(node.pid, 'SIGTERM');
  await gone(node, call);
  await call.screen.say(
    `node ${node.name} of mesh ${node.meshName} is down; again with: skein up --data ${node.dataFolder}`,
  );
  return 0;
};

async function chosenNode(call: Call): Promise<NodeEntry> {
  const from = call.world.surroundings;
  const running = (await readNodeEntries(from)).filter((node) => isRunning(node.pid));
  const asked = call.flags.data === undefined ? undefined : dataFolderOf({ data: String(call.flags.data) }, from);
  const fitting = asked === undefined ? running : running.filter((node) => node.dataFolder === asked);
  const [only] = fitting;
  if (only === undefined) {
    const where = asked === undefined ? 'on this machine' : `in ${asked}`;
    throw new SkeinError('not-found', `no node of this user runs ${where}`, {
      fix: 'skein peers lists those of the mesh',
    });
  }
  if (fitting.length > 1) {
    const folders = fitting.map((node) => node.dataFolder).join(', ');
    throw new SkeinError('usage', `several nodes run here: ${folders}`, { fix: 'name one with --data DIR' });
  }
  return only;
}

async function gone(node: NodeEntry, call: Call): Promise<void> {
  const { clock } = call.world;
  const until = clock.monotonic() + DEADLINE_MS;
  const told = clock.monotonic() + 1000;
  let said = false;
  while (isRunning(node.pid)) {
    if (clock.monotonic() > until) {
      throw new SkeinError('no-answer', `node ${node.name} (pid ${node.pid}) is still there after two minutes`, {
        fix: `once more, or kill -9 ${node.pid}: its work goes to others`,
      });
    }
    if (!said && clock.monotonic() > told) {
      said = true;
      await call.screen.say('waiting for it to stop; tasks that run there are given their time');
    }
    await clock.sleep(50);
  }
}
