// npm run sim:search: fresh seeds until one fails or the time is over.
import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import { simulate } from './simulation.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seeds: { type: 'string' },
    first: { type: 'string' },
    hours: { type: 'string', default: '0.5' },
    workers: { type: 'string' },
    voters: { type: 'string' },
    every: { type: 'string', default: '30' },
  },
});

const startedAt = performance.now();
const seconds = (): number => (performance.now() - startedAt) / 1_000;
const total = new Map<string, number>();
const first = values.first === undefined ? undefined : Number(values.first);
let seeds = 0;
for (; seconds() < Number(values.minutes) * 60; seeds++) {
  if (values.seeds !== undefined && seeds >= Number(values.seeds)) break;
  const seed = first === undefined ? randomBytes(4).toString('hex') : String(first + seeds);
  const workers = Number(values.workers ?? [0, 3, 8, 20][seeds % 4]);
  const voters = Number(values.voters ?? [3, 3, 5][seeds % 3]);
  const { happened, violation } = await simulate({
    seed,
    hours: Number(values.hours),
    workers,
    voters,
    faultEveryMs: Number(values.every) * 1_000,
  });
  for (const [what, count] of happened) total.set(what, (total.get(what) ?? 0) + count);
  if (violation === undefined) continue;
  process.stdout.write(`VIOLATION: ${violation.message}\n`);
  process.stdout.write(
    `npm run sim -- --seed ${seed} --hours ${values.hours} --workers ${workers} --voters ${voters} --every ${values.every}\n`,
  );
  process.exitCode = 1;
  break;
}
for (const [what, count] of [...total].sort(([a], [b]) => (a < b ? -1 : 1))) {
  process.stdout.write(`${String(count).padStart(9)}  ${what}\n`);
}
process.stdout.write(`${seeds} seeds of ${values.hours} h without a violation in ${seconds().toFixed(0)} s\n`);
