// npm run sim: one seed, what happened, and the trace around what must not.
import { parseArgs } from 'node:util';
import { simulate } from './simulation.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    hours: { type: 'string', default: '1' },
    workers: { type: 'string', default: '20' },
    voters: { type: 'string', default: '3' },
    every: { type: 'string', default: '30' },
    lines: { type: 'string', default: '80' },
  },
});

const startedAt = performance.now();
const { happened, events, violation, trace } = await simulate({
  seed: values.seed,
  hours: Number(values.hours),
  workers: Number(values.workers),
  voters: Number(values.voters),
  faultEveryMs: Number(values.every) * 1_000,
});
const seconds = (performance.now() - startedAt) / 1_000;
if (violation !== undefined) process.stdout.write(`${trace(Number(values.lines)).join('\n')}\n\n`);
for (const [what, count] of [...happened].sort(([a], [b]) => (a < b ? -1 : 1))) {
  process.stdout.write(`${String(count).padStart(9)}  ${what}\n`);
}
process.stdout.write(`seed ${values.seed}: ${events} events in ${seconds.toFixed(1)} s\n`);
if (violation !== undefined) {
  process.stdout.write(
    `VIOLATION: ${violation.message}\n${violation.cause instanceof Error ? violation.cause.stack : ''}\n`,
  );
  process.exitCode = 1;
}
