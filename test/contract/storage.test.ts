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

const place = { from: 2, index: 20 };
const installation = { index: 20, term: 3, keepsTail: true, hardState: { term: 5, vote: 2, commit: 7 } };
const rows: [string, unknown][] = [
  ['job/1', { n: 1 }],
  ['job/\uffee', null],
  ['job/\u{1f680}', 'x'],
  ['mesh', { name: 'é' }],
];

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

  test('a snapshot is staged in pieces, goes on after a restart, and becomes the state in one step', async (context) => {
    await context.storage.open(epoch);
    await context.storage.append(
      append({ entries: entries(1, 6), changes: [{ key: 'old', row: 1 }], appliedIndex: 4 }),
    );
    assert.is(context.storage.staged(), undefined);
    await context.storage.stage(place, []);
    assert.equal(context.storage.staged(), { ...place, lastKey: undefined, stateHash: '0'.repeat(16) });
    await context.storage.stage(place, rows.slice(0, 2));
    const before = context.storage.staged();
    assert.is(before?.lastKey, 'job/\uffee');
    const loaded = await restart(context);
    assert.equal([loaded.lastIndex, loaded.appliedIndex], [6, 4], 'it is not in use yet');
    assert.is(context.storage.row('job/1'), undefined);
    assert.equal(context.storage.staged(), before);
    await context.storage.stage(place, rows);
    const whole = context.storage.staged();
    await context.storage.install(installation);
    for (let times = 0; times < 2; times++) {
      assert.is(context.storage.staged(), undefined);
      assert.equal(await all(context.storage.rows('', {})), rows);
      assert.is(context.storage.row('old'), undefined);
      assert.equal(context.storage.row('job/1'), { n: 1 });
      assert.is(context.storage.snapshot().index, 20);
      assert.is(context.storage.snapshot().stateHash, whole?.stateHash);
      await context.storage.verify(new AbortController().signal);
      assert.is(context.storage.term(20), 3);
      assert.is(context.storage.term(6), undefined);
      assert.is(context.storage.entry(6), undefined);
      const { hardState, firstIndex, lastIndex, appliedIndex, voterId } = await restart(context);
      assert.equal(hardState, { term: 5, vote: 2, commit: 20 });
      assert.equal([firstIndex, lastIndex, appliedIndex, voterId], [21, 20, 20, 1]);
    }
    await context.storage.append(
      append({ entries: entries(21, 22, 5), changes: [{ key: 'new', row: 1 }], appliedIndex: 21 }),
    );
    assert.is((await restart(context)).lastIndex, 22);
    assert.equal((await all(context.storage.rows('', {}))).length, rows.length + 1);
    await context.storage.verify(new AbortController().signal);
  });

  test('the hash of a snapshot is that of the rows it was made of', async (context) => {
    await context.storage.open(epoch);
    const changes = rows.map(([key, row]) => ({ key, row }));
    await context.storage.append(append({ entries: [entry(1, 1)], changes, appliedIndex: 1 }));
    const { stateHash, rows: read } = context.storage.snapshot();
    for await (const row of read) await context.storage.stage(place, [row]);
    assert.is(context.storage.staged()?.stateHash, stateHash);
  });

  test('rows from another sender, or of another index, void what is staged', async (context) => {
    await context.storage.open(epoch);
    await context.storage.stage(place, rows);
    for (const other of [{ ...place, from: 3 }, { from: 3, index: 21 }, place]) {
      await context.storage.stage(other, rows.slice(1, 2));
      assert.is(context.storage.staged()?.lastKey, rows[1]?.[0]);
    }
    await context.storage.stage(place, []);
    await restart(context);
    await context.storage.install(installation);
    assert.equal(await all(context.storage.rows('', {})), rows.slice(1, 2));
    await context.storage.verify(new AbortController().signal);
  });

  test('a snapshot without a row empties the state', async (context) => {
    await context.storage.open(epoch);
    await context.storage.append(
      append({ entries: entries(1, 1), changes: [{ key: 'old', row: 1 }], appliedIndex: 1 }),
    );
    await context.storage.stage(place, []);
    await context.storage.install(installation);
    assert.equal(await all(context.storage.rows('', {})), []);
    assert.is(context.storage.row('old'), undefined);
    assert.is((await restart(context)).appliedIndex, 20);
  });

  test('entries after a snapshot stay where the one at its index has its term', async (context) => {
    await context.storage.open(epoch);
    await context.storage.append(append({ entries: [...entries(1, 19), ...entries(20, 25, 3)] }));
    await context.storage.stage(place, rows);
    await context.storage.install(installation);
    for (let times = 0; times < 2; times++) {
      assert.equal(context.storage.entry(21), entry(21, 3));
      assert.equal([context.storage.term(20), context.storage.term(19)], [3, undefined]);
      assert.is(context.storage.entry(20), undefined);
      const { firstIndex, lastIndex } = await restart(context);
      assert.equal([firstIndex, lastIndex], [21, 25]);
    }
  });

  for (const [why, keepsTail, stored] of [
    ['they contradict it', true, entries(1, 25, 2)],
    ['they end before it', true, entries(1, 19, 3)],
    ['they are said to be void', false, entries(1, 25, 3)],
  ] as const) {
    test(`entries after a snapshot go where ${why}`, async (context) => {
      await context.storage.open(epoch);
      await context.storage.append(append({ entries: stored, hardState: { term: 3, vote: 1, commit: 0 } }));
      await context.storage.stage(place, rows);
      await context.storage.install({ ...installation, keepsTail, hardState: undefined });
      for (let times = 0; times < 2; times++) {
        assert.equal([context.storage.term(20), context.storage.term(21)], [3, undefined]);
        assert.is(context.storage.entry(19), undefined);
        const { hardState, ...loaded } = await restart(context);
        assert.is(loaded.lastIndex, 20);
        assert.equal(hardState, { term: 3, vote: 1, commit: 20 });
      }
    });
  }

  test('a reader that began before a snapshot was taken into use reads the old rows to their end', async (context) => {
    const { storage } = context;
    await storage.open(epoch);
    const changes = Array.from({ length: 2_000 }, (_, n) => ({ key: `r/${String(n).padStart(5, '0')}`, row: 1 }));
    await storage.append(append({ entries: [entry(1, 1)], changes, appliedIndex: 1 }));
    const scan = storage.rows('r/', {});
    const reading = scan[Symbol.asyncIterator]();
    assert.equal((await reading.next()).value, ['r/00000', 1]);
    const { stateHash, rows: held, index } = storage.snapshot();
    for (let n = 20; n < 32; n++) {
      // Again and again, so that the generation gets a digit more.
      await storage.stage({ from: 2, index: n }, [['r/00001', 2]]);
      await storage.install({ ...installation, index: n });
    }
    assert.equal([index, stateHash === storage.snapshot().stateHash], [1, false]);
    const seen = await all({ [Symbol.asyncIterator]: () => reading });
    assert.equal(
      seen,
      changes.slice(1).map(({ key, row }) => [key, row]),
    );
    assert.equal(
      await all(held),
      changes.map(({ key, row }) => [key, row]),
    );
    await restart(context);
    assert.equal(await all(context.storage.rows('', {})), [['r/00001', 2]]);
    await context.storage.verify(new AbortController().signal);
  });

  test('a folder becomes a replica of a name that it is given, and keeps it', async (context) => {
    await context.storage.open();
    const joined = await context.storage.become({ number: 2, id: epoch.id }, 17);
    assert.equal([joined.voterId, joined.epoch?.number, joined.hardState.term], [17, 2, 0]);
    assert.is((await context.storage.open(epoch)).voterId, 17);
    await context.storage.append(append({ hardState: { term: 4, vote: 3, commit: 0 } }));
    const loaded = await restart(context);
    assert.equal([loaded.voterId, loaded.epoch?.number, loaded.hardState.term], [17, 2, 4]);
  });

  test('a replica that is forgotten leaves the values of the node, and the folder takes another', async (context) => {
    await context.storage.open(epoch);
    await context.storage.putLocal([{ key: 'incarnation', value: 3 }]);
    await context.storage.append(
      append({
        entries: entries(1, 6, 4),
        changes: [{ key: 'old', row: 1 }],
        appliedIndex: 4,
        hardState: { term: 4, vote: 2, commit: 5 },
      }),
    );
    await context.storage.stage(place, rows);
    await context.storage.forget();
    for (let times = 0; times < 2; times++) {
      assert.is(context.storage.staged(), undefined);
      assert.is(context.storage.row('old'), undefined);
      assert.is(context.storage.entry(1), undefined);
      assert.equal(await all(context.storage.rows('', {})), []);
      assert.is(context.storage.getLocal('incarnation'), 3);
      const { epoch: kept, voterId, hardState, firstIndex, lastIndex, appliedIndex } = await restart(context);
      assert.equal([kept, voterId, firstIndex, lastIndex, appliedIndex], [undefined, 0, 1, 0, 0]);
      assert.equal(hardState, { term: 0, vote: 0, commit: 0 });
    }
    await context.storage.become(epoch, 9);
    await context.storage.append(append({ entries: entries(1, 2), changes: [{ key: 'a', row: 2 }], appliedIndex: 1 }));
    const loaded = await restart(context);
    assert.equal([loaded.voterId, loaded.lastIndex, loaded.hardState.term], [9, 2, 0]);
    assert.equal(await all(context.storage.rows('', {})), [['a', 2]]);
    await context.storage.verify(new AbortController().signal);
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
