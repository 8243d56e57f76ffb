// The parts of the log's storage one by one: stored forms with their golden bytes, the order of keys, what is remembered.
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BatchWriter, type Database, type Operation } from '../../../node/storage/batch-writer.ts';
import { compareKeys, entryIndex, entryKey } from '../../../node/storage/keys.ts';
import { DamagedRecord, decodeRecord, encodeRecord } from '../../../node/storage/record.ts';
import { RowCache } from '../../../node/storage/row-cache.ts';
import { TermRuns } from '../../../node/storage/term-runs.ts';
import { type Testimony, Witness } from '../../../node/storage/witness.ts';
import { SkeinError } from '../../../protocol/errors.ts';

/** A database that keeps its batches open until a test ends them. */
function scriptedDatabase(): {
  readonly db: Database;
  readonly batches: { operations: Operation[]; end: (error?: Error) => void }[];
} {
  const batches: { operations: Operation[]; end: (error?: Error) => void }[] = [];
  const batch = (operations: Operation[]): Promise<void> =>
    new Promise((resolve, reject) => {
      batches.push({ operations, end: (error) => (error === undefined ? resolve() : reject(error)) });
    });
  return { db: { batch } as unknown as Database, batches };
}

const deletion = (key: string): Operation => ({ type: 'del', key: Buffer.from(key) });
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('what comes during a write goes in the next one, together', async () => {
  const { db, batches } = scriptedDatabase();
  const writer = new BatchWriter(db);
  const writes = ['a', 'b', 'c'].map((key) => writer.write([deletion(key)]));
  assert.is(batches.length, 1);
  batches[0]?.end();
  await writes[0];
  assert.equal(
    batches.map(({ operations }) => operations.map(({ key }) => key.toString())),
    [['a'], ['b', 'c']],
  );
  batches[1]?.end();
  await Promise.all(writes);
});

test('after a failed write nothing more is handed to the database, nor is what was waiting', async () => {
  const { db, batches } = scriptedDatabase();
  const writer = new BatchWriter(db);
  const outcomes = Promise.allSettled([writer.write([deletion('a')]), writer.write([deletion('b')])]);
  batches[0]?.end(new Error('no room'));
  assert.equal(
    (await outcomes).map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  const later = await Promise.allSettled([writer.write([deletion('c')])]);
  await turn();
  assert.is(later[0]?.status, 'rejected');
  assert.is(batches.length, 1);
});

test('a record is read back, and what was written years ago too', () => {
  assert.is(decodeRecord('job/1', encodeRecord('job/1', '{"é":1}')), '{"é":1}');
  const golden = Buffer.from('016b374e287b226e223a317d', 'hex');
  assert.equal(encodeRecord('job/1', '{"n":1}').toString('hex'), golden.toString('hex'));
  assert.is(decodeRecord('job/1', golden), '{"n":1}');
});

test('a record under another key, or with any bit flipped, is damage', () => {
  const record = encodeRecord('a', '{"n":1}');
  assert.throws(
    () => decodeRecord('b', record),
    (error: unknown) => error instanceof DamagedRecord,
  );
  for (let bit = 0; bit < record.length * 8; bit++) {
    const flipped = Buffer.from(record);
    flipped.writeUInt8((flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7)), bit >> 3);
    assert.throws(
      () => decodeRecord('a', flipped),
      (error: unknown) => error instanceof DamagedRecord,
    );
  }
  assert.throws(
    () => decodeRecord('a', Buffer.of(1)),
    (error: unknown) => error instanceof DamagedRecord,
  );
});

test('a record in an encoding that is not known is refused as newer', () => {
  // Encoding 2, with a checksum that fits.
  const record = Buffer.from('02432536a87b7d', 'hex');
  assert.throws(
    () => decodeRecord('a', record),
    (error: unknown) => error instanceof SkeinError && error.code === 'folder-newer',
  );
});

test('keys of entries sort as their indexes do', () => {
  const indexes = [1, 2, 255, 256, 65_536, 2 ** 32, 2 ** 40 + 1];
  const keys = indexes.map(entryKey);
  assert.equal([...keys].sort(Buffer.compare), keys);
  assert.equal(keys.map(entryIndex), indexes);
});

test('keys compare as their UTF-8 bytes do', () => {
  const keys = ['', 'a', 'a/', 'aa', 'b', 'é', '\ud7ff', '\ue000', '\uffff', '\u{10000}', '\u{1f680}', '\u{1f680}a'];
  for (const a of keys) {
    for (const b of keys) {
      assert.is(Math.sign(compareKeys(a, b)), Buffer.compare(Buffer.from(a), Buffer.from(b)), `${a} and ${b}`);
    }
  }
});

test('runs of terms answer for every kept entry and the one before', () => {
  const terms = new TermRuns({ index: 4, term: 1 });
  for (const term of [1, 1, 2, 2, 5]) terms.push(term);
  const known = () => Array.from({ length: 12 }, (_, index) => terms.at(index));
  assert.equal(known().slice(3), [undefined, 1, 1, 1, 2, 2, 5, undefined, undefined]);
  terms.cutAbove(7);
  assert.is(terms.lastIndex, 7);
  assert.is(terms.lastTerm, 2);
  terms.push(6);
  terms.cutBelow(6);
  assert.equal(known().slice(5), [undefined, 1, 2, 6, undefined, undefined, undefined]);
  terms.cutAbove(6);
  assert.is(terms.lastIndex, 6);
  assert.is(terms.lastTerm, 1);
});

test('the row cache keeps what is used and stays within its bound', () => {
  const cache = new RowCache({ maxBytes: 20_000 });
  const row = (n: number) => ({ row: n, hash: 0n, sizeBytes: 300 });
  for (let n = 0; n < 1_000; n++) {
    cache.set(`k${n}`, row(n));
    assert.is(cache.get('k0')?.row, 0, 'the one in use stays');
  }
  const held = Array.from({ length: 1_000 }, (_, n) => cache.get(`k${n}`)).filter((one) => one !== undefined);
  assert.ok(held.length * 500 <= 20_000 + 500, `${held.length} rows are held`);
  cache.delete('k0');
  assert.is(cache.get('k0'), undefined);
});

const testimony = (term: number): Testimony => ({
  voterId: 1,
  term,
  vote: 1,
  lastIndex: term * 10,
  lastTerm: term,
  sealed: false,
});

async function withWitness(use: (path: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'skein-witness-'));
  try {
    await use(join(folder, 'witness'));
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function spoil(path: string, slot: number): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(Buffer.alloc(20, 0xab), 0, 20, slot * 4096 + 10);
  await file.close();
}

test('the witness says what it was last told', () =>
  withWitness(async (path) => {
    const witness = await Witness.create(path, testimony(1));
    await witness.keep(testimony(2));
    witness.raise(25, 2);
    witness.raise(26, 2);
    await witness.close();
    const found = await Witness.open(path);
    assert.equal(found?.current, { ...testimony(2), lastIndex: 26 });
    await found?.close();
  }));

test('what was raised while a change is being kept stays raised', () =>
  withWitness(async (path) => {
    const witness = await Witness.create(path, testimony(1));
    const keeping = witness.keep({ sealed: true });
    witness.raise(99, 1);
    await keeping;
    await witness.close();
    const found = await Witness.open(path);
    assert.equal([found?.current.sealed, found?.current.lastIndex], [true, 99]);
    await found?.close();
  }));

test('a torn write of either slot costs the witness no term and no vote', () =>
  withWitness(async (path) => {
    for (const slot of [0, 1]) {
      for (const raises of [0, 1, 2]) {
        const witness = await Witness.create(path, testimony(1));
        await witness.keep(testimony(7));
        for (let n = 0; n < raises; n++) witness.raise(70 + n, 7);
        await witness.close();
        await spoil(path, slot);
        const found = await Witness.open(path);
        assert.is(found?.current.term, 7);
        assert.is(found?.current.vote, 1);
        await found?.close();
      }
    }
  }));

test('a witness with neither slot readable says so', () =>
  withWitness(async (path) => {
    await (await Witness.create(path, testimony(1))).close();
    await spoil(path, 0);
    await spoil(path, 1);
    assert.is(await Witness.open(path), undefined);
  }));

test.run();
