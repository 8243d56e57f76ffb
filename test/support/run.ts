// Runs test files, each in a process of its own with a time limit, so that a leaked handle or a stuck test is named and
// cannot hang the rest. Usage: node test/support/run.ts [--jobs N] FOLDER|FILE ...
import { spawn } from 'node:child_process';
import { globSync, statSync } from 'node:fs';
import { parseArgs } from 'node:util';

const FILE_LIMIT_MS = 300_000;

interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

const { values, positionals } = parseArgs({
  options: { jobs: { type: 'string', default: '2' } },
  allowPositionals: true,
});

const files = positionals
  .flatMap((place) => (statSync(place).isDirectory() ? globSync(`${place}/**/*.test.ts`) : [place]))
  .sort();
const total: Tally = { passed: 0, failed: 0, skipped: 0 };
const waiting = [...files];

async function lane(): Promise<void> {
  for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
    const startedAt = performance.now();
    const tally = await runFile(file);
    total.passed += tally.passed;
    total.failed += tally.failed;
    total.skipped += tally.skipped;
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    const skipped = tally.skipped > 0 ? `, ${tally.skipped} skipped` : '';
    process.stdout.write(
      `${tally.failed > 0 ? 'FAIL' : 'ok  '} ${file} ${tally.passed} passed${skipped} ${seconds} s\n`,
    );
  }
}

function runFile(file: string): Promise<Tally> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', file], {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    let output = '';
    const collect = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-200_000);
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      // The whole group: a stuck test may have started nodes of its own.
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    }, FILE_LIMIT_MS);
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve(judge(file, output, code, late));
    });
  });
}

function judge(file: string, output: string, code: number | null, late: boolean): Tally {
  const count = (label: string): number => Number(new RegExp(`${label}:\\s+(\\d+)`).exec(output)?.[1] ?? 0);
  const skips = [...output.matchAll(/^SKIP .*$/gm)].map(([line]) => line);
  const ran = count('Total');
  const passed = Math.max(0, count('Passed') - skips.length);
  for (const line of skips) process.stdout.write(`${line}\n`);
  let failed = Math.max(0, ran - count('Passed') - count('Skipped'));
  if (late) failed += report(file, output, `did not end within ${FILE_LIMIT_MS / 1000} s`);
  else if (ran === 0) failed += report(file, output, 'ran no test: is test.run() missing?');
  else if (failed > 0 || code !== 0) failed = Math.max(1, failed) * report(file, output, `exit ${code}`);
  return { passed, failed, skipped: skips.length + count('Skipped') };
}

function report(file: string, output: string, why: string): 1 {
  process.stdout.write(`\n--- ${file}: ${why}\n${output}\n---\n`);
  return 1;
}

await Promise.all(Array.from({ length: Math.max(1, Number(values.jobs)) }, lane));
const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : '';
process.stdout.write(`${total.passed} passed, ${total.failed} failed${skipped}\n`);
process.exitCode = total.failed > 0 ? 1 : 0;
