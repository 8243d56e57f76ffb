// npm run sim:mutants: mistakes planted in production's code, each in a copy of its own. The simulator alone must find each
// one; how many seeds that took is printed. Fails if one survives.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { mutants } from './mistakes.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    seeds: { type: 'string', default: '60' },
    minutes: { type: 'string', default: '6' },
    hours: { type: 'string', default: '0.3' },
    every: { type: 'string', default: '10' },
  },
});

interface Found {
  readonly seeds: number;
  readonly violation: string | undefined;
}

function hunt(folder: string, workers: number): Found {
  const limits = ['--first', '1', '--seeds', values.seeds, '--minutes', values.minutes];
  const run = ['--hours', values.hours, '--every', values.every, '--workers', String(workers)];
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', 'test/sim/search.ts', ...limits, ...run],
    { cwd: folder, encoding: 'utf8', maxBuffer: 2 ** 27 },
  );
  const seeds = Number(/^(\d+) seeds of/m.exec(stdout)?.[1] ?? 0);
  const violation = /^VIOLATION: (.*)$/m.exec(stdout)?.[1];
  // One that does not even run proves nothing.
  if (violation === undefined && !/^\d+ seeds of/m.test(stdout)) throw new Error(stdout + stderr);
  return { seeds: seeds + 1, violation };
}

function withMistake<T>(file: string, from: string, to: string, act: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'sim-mutant-'));
  try {
    for (const part of ['protocol', 'node', 'gateway', 'test/sim', 'package.json']) {
      cpSync(join(root, part), join(folder, part), { recursive: true });
    }
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
    const text = readFileSync(join(folder, file), 'utf8');
    if (text.split(from).length !== 2) throw new Error(`${file} does not hold once: ${from}`);
    writeFileSync(
      join(folder, file),
      text.replace(from, () => to),
    );
    return act(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const survivors: string[] = [];
for (const { name, file, from, to, workers } of mutants) {
  if (values.only !== undefined && !name.includes(values.only)) continue;
  const { seeds, violation } = withMistake(file, from, to, (folder) => hunt(folder, workers));
  if (violation === undefined) survivors.push(name);
  const how = violation === undefined ? 'SURVIVES' : `${String(seeds).padStart(4)}  ${violation.slice(0, 90)}`;
  process.stdout.write(`${name.padEnd(52)} ${how}\n`);
}
process.stdout.write(survivors.length === 0 ? 'every mistake was found\n' : `${survivors.length} survive\n`);
if (survivors.length > 0) process.exitCode = 1;
