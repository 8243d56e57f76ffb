// One suite for both storages of the log: what consensus may believe of a LogStorage.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { realClock } from '../../node/clock.ts';
import { LevelStorage } from '../../node/storage/level.ts';
import { MemoryDisk, MemoryStorage } from '../../node/storage/memory.ts';
import type { Append, Epoch, LogStorage } from '../../node/storage/port.ts';
import { SkeinError } from '../../protocol/errors.ts';
import type { EpochId, JobId } from '../../protocol/ids.ts';
import type { Entry } from '../../protocol/raft/message.ts';

interface Context {
  /** A new storage on the same place, as after a restart. */
  again: () => LogStorage;
  storage: LogStorage;
  clean: () => Promise<void>;
}

const epoch: Epoch = { number: 1, id: 'a'.repeat(32) as EpochId };

const entry = (index: number, term: number): Entry => ({
  index,
  term,
  kind: 'command',
  data: { kind: 'job.dropped', jobId: `j-${index}` as JobId, at: term },
});

const entries = (from: number, to: number, term = 1): Entry[] =>
  Array.from({ length: to - from + 1 }, (_, n) => entry(from + n, term));

const append = (parts: Partial<Append>): Append => ({
  entries: [],
  hardState: undefined,
  changes: [],
  appliedIndex: 0,
  compactTo: undefined,
  ...parts,
});

async function all(rows: AsyncIterable<readonly [string, unknown]>): Promise<(readonly [string, unknown])[]> {
  return Array.fromAsync(rows);
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'none';
  } catch (error) {
    if (error instanceof SkeinError) return error.code;
    throw error;
  }
}

function contract(name: string, make: () => Promise<Omit<Context, 'storage'>>): void {
  const test = suite<Context>(name);
  test.before.each(async (context) => {
    Object.assign(context, await make());
    context.storage = context.again();
  });
  test.after.each(async (context) => {
    await context.storage.close();
    await context.clean();
  });

  const restart = async (context: Context) => {
    await context.storage.close();
    context.storage = context.again();
    return context.storage.open();
  };

  test('a fresh folder is empty and takes the epoch it is given, once', async (context) => {
    const first = await context.storage.open();
    assert.is(first.epoch, undefined);
    assert.is(first.voterId, 0);
    const loaded = await context.storage.open(epoch);
    assert.equal(loaded.epoch, epoch);
    assert.is(loaded.voterId, 1);
    assert.equal(loaded.hardState, { term: 0, vote: 0, commit: 0 });
    assert.is(loaded.firstIndex, 1);
    assert.is(loaded.lastIndex, 0);
    const other = await context.storage.open({ number: 2, id: 'b'.repeat(32) as EpochId });
    assert.equal(other.epoch, epoch);
    assert.equal((await restart(context)).epoch, epoch);
  });

  test('a second storage on an open place is refused', async ({ storage, again }) => {
    await storage.open(epoch);
    assert.is(await codeOf(again().open()), 'folder-locked');
  });

  test('what was appended is there after a restart', async (context) => {
    await context.storage.open(epoch);
    const hardState = { term: 3, vote: 1, commit: 2 };
    const changes = [{ key: 'job/1', row: { n: 1 } }];
    await context.storage.append(append({ entries: entries(1, 3), hardState }));
    await context.storage.append(append({ entries: entries(4, 4, 3), hardState, changes, appliedIndex: 2 }));
    const loaded = await restart(context);
    assert.is(loaded.lastIndex, 4);
    assert.is(loaded.appliedIndex, 2);
    assert.equal(loaded.hardState, hardState);
    assert.equal(context.storage.entry(2), entry(2, 1));
    assert.is(context.storage.term(4), 3);
    assert.is(context.storage.term(0), 0);
    assert.is(context.storage.term(5), undefined);
    assert.equal(context.storage.row('job/1'), { n: 1 });
  });

  test('a vote alone is kept', async (context) => {
    await context.storage.open(epoch);
    await context.storage.append(append({ hardState: { term: 9, vote: 4, commit: 0 } }));
    assert.equal((await restart(context)).hardState, { term: 9, vote: 4, commit: 0 });
  });

  test('entries that conflict replace the tail', async (context) => {
    await context.storage.open(epoch);
    await context.storage.append(append({ entries: entries(1, 9) }));
    await context.storage.append(append({ entries: entries(4, 5, 2), hardState: { term: 2, vote: 0, commit: 0 } }));
    const loaded = await restart(context);
    assert.is(loaded.lastIndex, 5);
    assert.equal(context.storage.entry(4), entry(4, 2));
    assert.is(context.storage.term(3), 1);
    assert.is(context.storage.term(6), undefined);
    assert.is(context.storage.entry(6), undefined);
  });

  test('entries are dropped from below, and the term before the first stays known', async (context) => {
    await context.storage.open(epoch);
    await context.storage.append(append({ entries: [...entries(1, 3, 1), ...entries(4, 8, 2)] }));
    await context.storage.append(append({ appliedIndex: 6, compactTo: 5 }));
    for (let times = 0; times < 2; times++) {
      assert.is(context.storage.entry(5), undefined);
      assert.is(context.storage.term(4), undefined);
      assert.is(context.storage.term(5), 2);
      assert.equal(context.storage.entry(6), entry(6, 2));
      assert.is((await restart(context)).firstIndex, 6);
    }
    await context.storage.append(append({ entries: entries(9, 9, 2), appliedIndex: 8 }));
    await context.storage.append(append({ appliedIndex: 9, compactTo: 9 }));
    assert.is((await restart(context)).lastIndex, 9);
    assert.is(context.storage.term(9), 2);
  });

  test('rows are put, replaced and deleted', async (context) => {
    const { storage } = context;
    await storage.open(epoch);
    const put = (key: string, row: unknown, appliedIndex: number) =>
      storage.append(append({ entries: [entry(appliedIndex, 1)], changes: [{ key, row }], appliedIndex }));
    await put('a', { v: 1 }, 1);
    await put('a', { v: 2 }, 2);
    await put('b', null, 3);
    assert.equal(storage.row('a'), { v: 2 });
    assert.is(storage.row('b'), null);
    await put('a', undefined, 4);
    assert.is(storage.row('a'), undefined);
    await restart(context);
    assert.is(context.storage.row('a'), undefined);
    assert.is(context.storage.row('b'), null);
  });

  test('rows come in the order of their UTF-8 bytes, within bounds, both ways', async ({ storage }) => {
    await storage.open(epoch);
    const keys = ['job/1', 'job/2', 'job/\uffee', 'job/\u{1f680}', 'jobs', 'joa', 'job/'];
    const changes = keys.map((key) => ({ key, row: key }));
    await storage.append(append({ entries: [entry(1, 1)], changes, appliedIndex: 1 }));
    const names = async (options: Parameters<LogStorage['rows']>[1]) =>
      (await all(storage.rows('job/', options))).map(([key]) => key.slice(4));
    assert.equal(await names({}), ['', '1', '2', '\uffee', '\u{1f680}']);
    assert.equal(await names({ reverse: true }), ['\u{1f680}', '\uffee', '2', '1', '']);
    assert.equal(await names({ after: 'job/1' }), ['2', '\uffee', '\u{1f680}']);
    assert.equal(await names({ after: 'job/2', reverse: true }), ['1', '']);
    assert.equal(await names({ after: 'job/1', limit: 1 }), ['2']);
    assert.equal(await names({ after: 'a' }), await names({}));
    assert.equal(await names({ after: 'z', reverse: true }), await names({ reverse: true }));
    assert.equal(await names({ after: 'z' }), []);
    assert.equal(await names({ limit: 0 }), []);
  });

  test('a scan shows the rows of one moment', async ({ storage }) => {
    await storage.open(epoch);
    const changes = Array.from({ length: 2_000 }, (_, n) => ({ key: `r/${String(n).padStart(5, '0')}`, row: 1 }));
    await storage.append(append({ entries: [entry(1, 1)], changes, appliedIndex: 1 }));
    const seen: unknown[] = [];
    for await (const [, row] of storage.rows('r/', {})) {
      if (seen.length === 0) {
        const newer = changes.map(({ key }) => ({ key, row: 2 }));
        await storage.append(append({ entries: [entry(2, 1)], changes: newer, appliedIndex: 2 }));
      }
      seen.push(row);
    }
    assert.equal(seen, new Array(2_000).fill(1));
  });

  test('the state hash depends on the rows and not on how they came to be', async (context) => {
    const { storage } = context;
    await storage.open(epoch);
    assert.is(storage.snapshot().stateHash, '0'.repeat(16));
    const step = (appliedIndex: number, changes: Append['changes']) =>
      storage.append(append({ entries: [entry(appliedIndex, 1)], changes, appliedIndex }));
    await step(1, [
      { key: 'a', row: 1 },
      { key: 'b', row: 2 },
    ]);
    const { stateHash } = storage.snapshot();
    await step(2, [
      { key: 'b', row: 3 },
      { key: 'c', row: 4 },
    ]);
    assert.is.not(storage.snapshot().stateHash, stateHash);
    await step(3, [
      { key: 'c', row: undefined },
      { key: 'b', row: 2 },
    ]);
    assert.is(storage.snapshot().stateHash, stateHash);
    await storage.verify(new AbortController().signal);
    await restart(context);
    assert.is(context.storage.snapshot().stateHash, stateHash);
    await context.storage.verify(new AbortController().signal);
  });

  test('the state hash of known rows is what it always was', async ({ storage }) => {
    await storage.open(epoch);
    const changes = [
      { key: 'mesh', row: { name: 'local' } },
      { key: 'job/é', row: [1, null, 'ü'] },
    ];
    await storage.append(append({ entries: [entry(1, 1)], changes, appliedIndex: 1 }));
    assert.is(storage.snapshot().stateHash, '2a63f21ba5aa45da');
  });

  test('a snapshot holds every row of its index, whatever is written meanwhile', async ({ storage }) => {
    await storage.open(epoch);
    const changes = [
      { key: 'b', row: 2 },
      { key: 'a', row: 1 },
    ];
    await storage.append(append({ entries: [entry(1, 1)], changes, appliedIndex: 1 }));
    const snapshot = storage.snapshot();
    await storage.append(append({ entries: [entry(2, 1)], changes: [{ key: 'c', row: 3 }], appliedIndex: 2 }));
    assert.is(snapshot.index, 1);
    assert.equal(await all(snapshot.rows), [
      ['a', 1],
      ['b', 2],
    ]);
  });

  test("the node's own values are kept apart from the rows", async (context) => {
    await context.storage.open();
    await context.storage.putLocal([
      { key: 'incarnation', value: 3 },
      { key: 'result/1', value: { ok: true } },
      { key: 'result/2', value: { ok: false } },
    ]);
    await context.storage.putLocal([{ key: 'result/1', value: undefined }]);
    await restart(context);
    assert.is(context.storage.getLocal('incarnation'), 3);
    assert.is(context.storage.getLocal('result/1'), undefined);
    assert.equal(await all(context.storage.scanLocal('result/')), [['result/2', { ok: false }]]);
    assert.equal(await all(context.storage.rows('', {})), []);
  });

  test('writes of several callers at once all hold', async (context) => {
    await context.storage.open(epoch);
    const puts = Array.from({ length: 50 }, (_, n) => context.storage.putLocal([{ key: `k/${n}`, value: n }]));
    await Promise.all([...puts, context.storage.append(append({ entries: entries(1, 5) }))]);
    assert.is((await restart(context)).lastIndex, 5);
    assert.is((await all(context.storage.scanLocal('k/'))).length, 50);
  });

  test.run();
}

contract('level storage', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'skein-storage-'));
  return {
    again: () => new LevelStorage({ clock: realClock() }, { folder, lockWaitMs: 50 }),
    clean: () => rm(folder, { recursive: true }),
  };
});

contract('memory storage', async () => {
  const disk = new MemoryDisk();
  return { again: () => new MemoryStorage(disk), clean: async () => undefined };
});
