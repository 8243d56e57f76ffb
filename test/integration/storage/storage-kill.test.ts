// kill -9 before and after each fsync, commit, apply and answer, and at moments nobody chose: whatever was acknowledged
// is there afterwards, applied once.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { realClock, realRandom } from '../../../node/clock.ts';
import { Consensus } from '../../../node/consensus/driver.ts';
import { LevelStorage } from '../../../node/storage/level.ts';
import { apply, initialEpoch, rowKey } from './appender.ts';

const APPENDER = join(import.meta.dirname, 'appender.ts');
const DEADLINE_MS = 30_000;

const FAULTS = [
  'storage.created.before-marker',
  'storage.created.after-marker',
  'log.vote.before-sync',
  'log.vote.after-sync',
  'log.append.before-sync',
  'storage.witness.before',
  'log.append.after-sync',
  'log.commit.before',
  'log.commit.after',
  'log.apply.before',
  'log.apply.after',
  'log.answer.before',
  'log.rows.before-sync',
  'log.rows.after-sync',
];

interface Run {
  readonly started: boolean;
  readonly acknowledged: readonly number[];
  readonly signal: string | null;
  readonly stderr: string;
}

/** Runs the appender until it is killed, by itself or after `killAfter` acknowledgements. */
async function run(folder: string, first: number, fault: readonly string[], killAfter?: number): Promise<Run> {
  const child = spawn(process.execPath, [APPENDER, folder, String(first), ...fault], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const timer = setTimeout(() => child.kill('SIGTERM'), DEADLINE_MS);
  let output = '';
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    if (killAfter !== undefined && output.split('\n').length > killAfter) child.kill('SIGKILL');
  });
  const [, signal] = (await once(child, 'close')) as [number | null, string | null];
  clearTimeout(timer);
  // A line that was cut by the kill was never said.
  const acknowledged = [...output.matchAll(/^acknowledged (\d+)\n/gm)].map(([, n]) => Number(n));
  return { started: output.startsWith('started '), acknowledged, signal, stderr };
}

/** Opens what the killed process left, and compares it with what it had said. */
async function inspect(folder: string, acknowledged: readonly number[]): Promise<void> {
  const storage = new LevelStorage({ clock: realClock() }, { folder });
  const log = new Consensus({ storage, clock: realClock(), random: realRandom(), apply }, { initialEpoch });
  await log.start();
  try {
    let rows = 0;
    for await (const [key, row] of log.scan<{ times: number }>('k/')) {
      assert.is(row.times, 1, `${key} was applied once`);
      rows++;
    }
    for (const n of acknowledged) assert.ok(log.view.get(rowKey(n)), `${n} was acknowledged and is there`);
    if (rows > 0) assert.equal(log.view.get('total'), { n: rows });
    await log.snapshot();
    await storage.verify(new AbortController().signal);
  } finally {
    await log.stop();
    await storage.close();
  }
}

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'skein-kill-'));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

for (const fault of FAULTS) {
  test(`killed at ${fault}, a node has everything that it acknowledged`, () =>
    inFolder(async (folder) => {
      const acknowledged: number[] = [];
      let next = 0;
      // A vote comes once a life, a first start once for ever; the others are met at their first time and at a later one.
      const visits = fault.startsWith('storage.created') ? [1] : fault.startsWith('log.vote') ? [1, 1] : [1, 30];
      for (const nth of visits) {
        const life = await run(folder, next, [fault, String(nth)]);
        assert.is(life.signal, 'SIGKILL', `it came to the place: ${life.stderr}`);
        acknowledged.push(...life.acknowledged);
        next += 100_000;
        await inspect(folder, acknowledged);
      }
    }));
}

test('killed at moments nobody chose, one life after another, a node has everything that it acknowledged', () =>
  inFolder(async (folder) => {
    const acknowledged: number[] = [];
    for (let life = 0; life < 5; life++) {
      const { started, signal, ...rest } = await run(folder, life * 100_000, [], 50 + 97 * life);
      assert.ok(started, rest.stderr);
      assert.is(signal, 'SIGKILL');
      acknowledged.push(...rest.acknowledged);
      await inspect(folder, acknowledged);
    }
    assert.ok(acknowledged.length > 500, `${acknowledged.length} were acknowledged`);
  }));

test.run();
