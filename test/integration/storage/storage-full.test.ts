// A disk that is really full: a tmpfs of 8 MiB, filled, failed on, freed. Needs root for the mount.
import { execFileSync } from 'node:child_process';
import { appendFile, mkdtemp, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { realClock, realRandom } from '../../../node/clock.ts';
import { Consensus } from '../../../node/consensus/driver.ts';
import { LevelStorage } from '../../../node/storage/level.ts';
import { Witness } from '../../../node/storage/witness.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import type { Command } from '../../../protocol/state/command.ts';
import { apply, initialEpoch } from './appender.ts';

const DEADLINE_MS = 20_000;
const clock = realClock();

const system = (command: string, ...args: string[]): Buffer => execFileSync(command, args);

async function onSmallDisk(use: (folder: string) => Promise<void>): Promise<void> {
  const mountPoint = await mkdtemp(join(tmpdir(), 'skein-full-'));
  system('mount', '-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', mountPoint);
  try {
    await use(mountPoint);
  } finally {
    system('umount', mountPoint);
    await rm(mountPoint, { recursive: true });
  }
}

function rootTest(name: string, body: () => Promise<void>): void {
  const skip = process.getuid?.() !== 0 || process.platform !== 'linux';
  test(name, async () => {
    if (skip) process.stdout.write(`SKIP ${name}: a tmpfs is mounted by root on Linux only\n`);
    else await body();
  });
}

/** Takes what room there is. */
async function fill(disk: string): Promise<void> {
  for (let blockBytes = 256 * 1024; blockBytes >= 1; blockBytes = Math.floor(blockBytes / 4)) {
    try {
      for (;;) await appendFile(join(disk, 'filler'), Buffer.alloc(blockBytes));
    } catch (error) {
      assert.is((error as { code?: string }).code, 'ENOSPC');
    }
  }
}

const free = (disk: string): Promise<void> => truncate(join(disk, 'filler'), 0);

/** Large enough to need blocks of its own soon. */
const big = (n: number): Command => ({
  kind: 'key.revoked',
  keyHash: `k/${String(n).padStart(3, '0')}${'x'.repeat(2_000)}`,
  at: n,
});

async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = clock.monotonic() + DEADLINE_MS;
  while (!condition()) {
    if (clock.monotonic() > deadline) throw new Error(`not within ${DEADLINE_MS} ms: ${what}`);
    await clock.sleep(20);
  }
}

/** Proposes until the disk refuses; @returns what was acknowledged. */
async function proposeUntilFull(log: Consensus, from: number): Promise<number[]> {
  const acknowledged: number[] = [];
  for (let n = from; n < from + 1_000; n++) {
    try {
      await log.propose(big(n), { timeoutMs: 5_000 });
      acknowledged.push(n);
    } catch (error) {
      assert.ok(error instanceof SkeinError);
      assert.is(error.code, 'disk-full');
      assert.ok((error.retryAfterMs ?? 0) > 0);
      assert.match(error.message, 'full');
      return acknowledged;
    }
  }
  throw new Error('the disk never became full');
}

async function rowsOf(log: Consensus): Promise<number[]> {
  const rows = await Array.fromAsync(log.scan<{ times: number }>('k/'));
  for (const [key, row] of rows) assert.is(row.times, 1, `${key.slice(0, 6)} was applied once`);
  return rows.map(([key]) => Number(key.slice(2, 5)));
}

async function isSealed(folder: string): Promise<boolean | undefined> {
  const witness = await Witness.open(join(folder, 'log.witness'));
  await witness?.close();
  return witness?.current.sealed;
}

rootTest('with room again, nothing goes through the handle on which a write failed', () =>
  onSmallDisk(async (disk) => {
    const folder = join(disk, 'data');
    const storage = new LevelStorage({ clock }, { folder });
    await storage.open(initialEpoch);
    await fill(disk);
    const put = (key: string) => storage.putLocal([{ key, value: 'x'.repeat(60_000) }]);
    let key = 0;
    while (
      await put(`k${key}`).then(
        () => true,
        () => false,
      )
    )
      key++;
    await free(disk);
    const refused = await put('at once').then(
      () => 'taken',
      (error: unknown) => (error as SkeinError).code,
    );
    assert.is(refused, 'disk-full');
    await storage.reopen(AbortSignal.timeout(DEADLINE_MS));
    await put('later');
    await storage.close();
    const again = new LevelStorage({ clock }, { folder });
    await again.open();
    assert.is(again.getLocal('at once'), undefined);
    assert.ok(again.getLocal('later'));
    for (let n = 0; n < key; n++) assert.ok(again.getLocal(`k${n}`), `k${n} was acknowledged`);
    await again.close();
  }),
);

rootTest('a full disk loses nothing acknowledged, keeps nothing refused, and is left by itself', () =>
  onSmallDisk(async (disk) => {
    const folder = join(disk, 'data');
    const open = async () => {
      const storage = new LevelStorage({ clock }, { folder });
      const log = new Consensus({ storage, clock, random: realRandom(), apply }, { initialEpoch });
      await log.start();
      return { storage, log };
    };
    const first = await open();
    await fill(disk);
    const acknowledged = await proposeUntilFull(first.log, 0);
    assert.ok(acknowledged.length > 0, 'some went in before');
    assert.is(first.log.status().disk, 'full');
    assert.equal(await proposeUntilFull(first.log, 900), [], 'later ones are refused at once');
    assert.equal(await rowsOf(first.log), acknowledged, 'reads go on');

    await free(disk);
    await until('the node goes on by itself', () => first.log.status().disk === 'ok' && first.log.status().leading);
    assert.equal(await rowsOf(first.log), acknowledged);
    await fill(disk);
    acknowledged.push(...(await proposeUntilFull(first.log, 200)));
    await free(disk);
    await until('it goes on a second time', () => first.log.status().leading && first.log.status().disk === 'ok');
    for (let n = 500; n < 520; n++) {
      await first.log.propose(big(n), { timeoutMs: 5_000 });
      acknowledged.push(n);
    }
    await first.log.stop();
    await first.storage.close();

    const second = await open();
    assert.equal(await rowsOf(second.log), acknowledged, 'after a restart too');
    await second.log.snapshot();
    await second.storage.verify(new AbortController().signal);
    await second.log.stop();
    await second.storage.close();
  }),
);

rootTest('a node that is killed while its disk is full keeps nothing that it refused', () =>
  onSmallDisk(async (disk) => {
    const folder = join(disk, 'data');
    const first = new LevelStorage({ clock }, { folder });
    const log = new Consensus({ storage: first, clock, random: realRandom(), apply }, { initialEpoch });
    await log.start();
    await fill(disk);
    const acknowledged = await proposeUntilFull(log, 0);
    // Nothing more is written through the failed handle, so closing it leaves what a kill would.
    await log.stop();
    await first.close();
    assert.is(await isSealed(folder), true);
    await free(disk);
    const second = new LevelStorage({ clock }, { folder });
    const again = new Consensus({ storage: second, clock, random: realRandom(), apply }, { initialEpoch });
    await again.start();
    assert.equal(await rowsOf(again), acknowledged);
    assert.is(await isSealed(folder), false);
    await again.stop();
    await second.close();
  }),
);

rootTest('a start on a full disk says so, and a value of the node itself is refused as well', () =>
  onSmallDisk(async (disk) => {
    const storage = new LevelStorage({ clock }, { folder: join(disk, 'data') });
    await fill(disk);
    const codeOf = (work: Promise<unknown>) =>
      work.then(
        () => 'none',
        (error: unknown) => (error instanceof SkeinError ? error.code : String(error)),
      );
    assert.is(await codeOf(storage.open(initialEpoch)), 'disk-full');
    await free(disk);
    await storage.open(initialEpoch);
    await fill(disk);
    let code = 'none';
    for (let n = 0; code === 'none'; n++) {
      code = await codeOf(storage.putLocal([{ key: `k${n}`, value: 'x'.repeat(50_000) }]));
    }
    assert.is(code, 'disk-full');
    await free(disk);
    const healed = await storage.reopen(AbortSignal.timeout(DEADLINE_MS));
    assert.is(healed.lastIndex, 0);
    await storage.putLocal([{ key: 'k', value: 1 }]);
    await storage.close();
  }),
);

test.run();
