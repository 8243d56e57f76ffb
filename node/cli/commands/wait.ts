// `skein wait JOB…`: until all, or with --any one of them, have ended; exits like them.
import type { JobView } from '../../../protocol/api/job.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import { parseDuration } from '../../config/units.ts';
import { type Call, type Command, flag, isSet } from '../call.ts';
import { EXIT } from '../exit-codes.ts';
import { openMesh } from '../mesh.ts';
import { select, shortId } from '../selector.ts';

const ROUND_MS = 30_000;
const FOREVER_MS = 10 * 365 * 86_400_000;

export const command: Command = async (call: Call) => {
  const from = call.world.surroundings;
  const timeoutMs = timeoutOf(call);
  const refs = await Promise.all((call.args.length === 0 ? [''] : call.args).map((text) => select(text, from)));
  const { client } = await openMesh(call);
  const quit = new AbortController();
  const off = call.world.onSignal(['SIGINT', 'SIGTERM', 'SIGHUP'], () => quit.abort());
  const { clock } = call.world;
  const until = clock.monotonic() + timeoutMs;
  const ended: JobView[] = [];
  const waitFor = async (ref: string): Promise<void> => {
    while (!quit.signal.aborted) {
      const leftMs = until - clock.monotonic();
      if (leftMs <= 0) return;
      const view = await client.waitFor(ref, Math.min(ROUND_MS, leftMs), quit.signal);
      if (view.finishedAt === null) continue;
      ended.push(view);
      return;
    }
  };
  try {
    const waits = refs.map(({ job }) => waitFor(job));
    if (isSet(call, 'any')) await Promise.race(waits);
    else await Promise.all(waits);
  } catch (error) {
    if (!quit.signal.aborted) throw error;
  } finally {
    off();
  }
  if (quit.signal.aborted) return EXIT.detached;
  quit.abort();
  await tell(call, ended, refs.length);
  return exitOf(ended, isSet(call, 'any') ? 1 : refs.length);
};

function timeoutOf(call: Call): number {
  const text = flag(call, 'timeout');
  if (text === undefined) return FOREVER_MS;
  const ms = text === '0' ? 0 : parseDuration(text);
  if (ms === undefined)
    throw new SkeinError('usage', `--timeout ${text} is no duration`, { fix: 'give one such as 10m' });
  return ms;
}

async function tell(call: Call, ended: readonly JobView[], asked: number): Promise<void> {
  if (call.flags.json === true) {
    const [only] = ended;
    const document = asked === 1 && only !== undefined ? only : { schema: 'skein.joblist/1', items: ended, next: null };
    await call.screen.answer(JSON.stringify(document));
  }
  for (const view of ended)
    await call.screen.say(`${shortId(view.jobId)} ${view.state}, exit ${view.exit?.code ?? EXIT.failed}`);
  if (ended.length < asked && call.flags.any !== true)
    await call.screen.say(`${asked - ended.length} of ${asked} still going`);
}

/** One job: its own code. Several: as several tasks, 0 or 1 or what skein says. */
function exitOf(ended: readonly JobView[], wanted: number): number {
  if (ended.length < wanted) return EXIT.stillGoing;
  const codes = ended.map((view) => view.exit?.code ?? EXIT.failed);
  const [only] = codes;
  if (codes.length === 1 && only !== undefined) return only;
  const bad = ended.filter((view) => view.state !== 'completed');
  if (bad.some((view) => view.state === 'failed')) return 1;
  return bad.length > 0 ? EXIT.cancelled : 0;
}
