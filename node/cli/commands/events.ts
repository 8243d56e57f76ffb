// `skein events [JOB]`: a job's history, or with -f and for the whole mesh what happens from now on.
import { SkeinError } from '../../../protocol/errors.ts';
import { type Call, type Command, flag, isSet } from '../call.ts';
import { type Mesh, openMesh } from '../mesh.ts';
import { formatTime } from '../output/instant.ts';
import { formatTable, printable } from '../output/table.ts';
import { select } from '../selector.ts';
import { show } from '../show.ts';

export const command: Command = async (call: Call) => {
  const from = call.world.surroundings;
  const job = call.args[0] === undefined ? undefined : (await select(call.args[0], from)).job;
  const limit = limitOf(call);
  const { client } = await openMesh(call);
  if (job === undefined || isSet(call, 'follow')) {
    await follow(call, client, job, limit);
    return 0;
  }
  const { items, ...list } = await client.history(job);
  const last = items.slice(-limit);
  await show(call, {
    document: { ...list, items: last },
    text: () => {
      const now = call.world.clock.now();
      const rows = last.map((each) => [formatTime(each.at, now), each.type, each.sentence]);
      return formatTable({ header: ['AT', 'WHAT', ''], rows }, call.world.stdout.columns);
    },
  });
  return 0;
};

async function follow(call: Call, client: Mesh['client'], job: string | undefined, limit: number): Promise<void> {
  const quit = new AbortController();
  const off = call.world.onSignal(['SIGINT', 'SIGTERM', 'SIGHUP'], () => quit.abort());
  let shown = 0;
  await call.screen.say('showing what happens from now on; Ctrl-C ends that');
  try {
    for await (const event of client.events(job, quit.signal)) {
      const { at, type, sentence } = event;
      const line = `${formatTime(at ?? null, call.world.clock.now())}  ${type ?? 'gap'}  ${printable(sentence)}`;
      await call.screen.answer(call.flags.json === true ? JSON.stringify(event) : line);
      shown += 1;
      if (shown >= limit) break;
    }
  } catch (error) {
    if (!quit.signal.aborted) throw error;
  } finally {
    off();
    quit.abort();
  }
}

function limitOf(call: Call): number {
  const text = flag(call, 'limit');
  if (text === undefined) return Number.POSITIVE_INFINITY;
  const n = Number(text);
  if (Number.isInteger(n) && n >= 1) return n;
  throw new SkeinError('usage', `--limit ${text} is no number from 1`, { fix: 'give a number' });
}
