// A daemon for tests to kill and stop: runs one shell script under a lease that it keeps extending, and tells what happens.
// Usage: daemon.ts FOLDER LEASE_MS SCRIPT
import { mkdirSync } from 'node:fs';
import { realClock, realRandom } from '../../../node/clock.ts';
import { ProcessRuntime } from '../../../node/runtime/process.ts';
import { type EpochId, makeFence } from '../../../protocol/ids.ts';

const [folder = '', lease = '', script = ''] = process.argv.slice(2);
const leaseMs = Number(lease);
const clock = realClock();
const tell = (event: object): void => void process.stdout.write(`${JSON.stringify(event)}\n`);
const log = { warn: (fields: object, message: string) => console.error(message, fields) };
const runtime = await ProcessRuntime.open(
  { clock, random: realRandom(), log },
  { runFolder: `${folder}/run`, attemptsFolder: `${folder}/attempts` },
);
await runtime.recover();
await runtime.startAhead(1);
const own = `${folder}/attempts/daemon`;
mkdirSync(`${own}/work`, { recursive: true });
const fence = makeFence('d'.repeat(32) as EpochId, 1);
const extend = (): void => runtime.extend({ untilMs: clock.uptime() + leaseMs, leaseMs, fences: [fence] });
extend();
const attempt = await runtime.start({
  fence,
  argv: ['sh', '-c', script],
  folder: own,
  workFolder: `${own}/work`,
  stdinFile: null,
  stdoutFile: `${own}/stdout`,
  stderrFile: `${own}/stderr`,
  env: { PATH: '/usr/local/bin:/usr/bin:/bin' },
  timeoutMs: null,
});
tell({ kind: 'started' });
setInterval(extend, leaseMs / 8);
tell({ kind: 'ended', ...(await attempt.ended) });
await runtime.stop({ keep: false });
process.exit(0);
