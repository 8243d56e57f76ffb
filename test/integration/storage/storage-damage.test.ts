// What LevelDB loses in silence is said at the next start; what was never acknowledged is cut.
import { cp, mkdtemp, readdir, readFile, rm, stat, truncate, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Level } from 'level';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { realClock } from '../../../node/clock.ts';
import { entryKey } from '../../../node/storage/keys.ts';
import { LevelStorage } from '../../../node/storage/level.ts';
import type { Loaded } from '../../../node/storage/port.ts';
import { encodeRecord } from '../../../node/storage/record.ts';
import { Witness } from '../../../node/storage/witness.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import type { JobId } from '../../../protocol/ids.ts';
import type { Entry } from '../../../protocol/raft/message.ts';
import { initialEpoch } from './appender.ts';

const clock = realClock();

const entry = (index: number): Entry => ({
  index,
  term: 1,
  kind: 'command',
  data: { kind: 'job.dropped', jobId: `j-${'x'.repeat(400)}` as JobId, at: index },
});

const openStorage = (folder: string) => new LevelStorage({ clock }, { folder, lockWaitMs: 200 });

async function append(storage: LevelStorage, index: number): Promise<void> {
  await storage.append({
    entries: [entry(index)],
    hardState: { term: 1, vote: 1, commit: index - 1 },
    changes: index > 1 ? [{ key: `row/${index - 1}`, row: { n: index - 1 } }] : [],
    appliedIndex: index - 1,
    compactTo: undefined,
  });
}

/** A folder with 400 entries, closed. */
async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'skein-damage-'));
  try {
    const storage = openStorage(folder);
    await storage.open(initialEpoch);
    for (let index = 1; index <= 400; index++) await append(storage, index);
    await storage.close();
    await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function failure(work: () => unknown): Promise<SkeinError> {
  try {
    await work();
  } catch (error) {
    if (error instanceof SkeinError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

async function openFailure(folder: string): Promise<SkeinError> {
  const storage = openStorage(folder);
  const error = await failure(() => storage.open(initialEpoch));
  // A refused folder is let go of.
  assert.equal(await failure(() => storage.open(initialEpoch)).then(({ code }) => code), error.code);
  return error;
}

async function opened(folder: string): Promise<Loaded> {
  const storage = openStorage(folder);
  const loaded = await storage.open();
  await storage.close();
  return loaded;
}

/** Changes the database behind the storage's back. */
async function tamper(folder: string, change: (db: Level<Buffer, Buffer>) => Promise<void>): Promise<void> {
  const db = new Level<Buffer, Buffer>(join(folder, 'log'), { keyEncoding: 'buffer', valueEncoding: 'buffer' });
  await db.open();
  await change(db);
  await db.close();
}

async function logFile(folder: string): Promise<string> {
  const names = (await readdir(join(folder, 'log'))).filter((name) => name.endsWith('.log'));
  const sized = await Promise.all(
    names.map(async (name) => ({ name, size: (await stat(join(folder, 'log', name))).size })),
  );
  const largest = sized.sort((a, b) => b.size - a.size)[0];
  assert.ok(largest !== undefined && largest.size > 100_000, 'all is still in one log file');
  return join(folder, 'log', largest?.name ?? '');
}

test('a database that is gone, or has lost its CURRENT, is damage and not a fresh start', () =>
  withFolder(async (folder) => {
    await unlink(join(folder, 'log', 'CURRENT'));
    const error = await openFailure(folder);
    assert.is(error.code, 'folder-damaged');
    assert.match(error.message, folder);
    await rm(join(folder, 'log'), { recursive: true });
    assert.is((await openFailure(folder)).code, 'folder-damaged');
    assert.equal((await readdir(folder)).includes('log.created'), true);
  }));

test('one flipped bit in the middle is found, and the first missing entry is named', () =>
  withFolder(async (folder) => {
    const path = await logFile(folder);
    const bytes = await readFile(path);
    const at = Math.floor(bytes.length / 2);
    bytes.writeUInt8((bytes[at] ?? 0) ^ 1, at);
    await writeFile(path, bytes);
    const error = await openFailure(folder);
    assert.is(error.code, 'folder-damaged');
    assert.match(error.message, /log entry \d+ is missing: entries 1 to \d+ are whole, but entry 400 was acknowledged/);
  }));

test('a log cut below the witness is damage', () =>
  withFolder(async (folder) => {
    const path = await logFile(folder);
    await truncate(path, (await stat(path)).size - 5_000);
    const error = await openFailure(folder);
    assert.is(error.code, 'folder-damaged');
    assert.match(error.message, /entry 400 was acknowledged/);
  }));

test('a single entry that is missing, or no longer fits its checksum, is named', () =>
  withFolder(async (folder) => {
    await tamper(folder, (db) => db.put(entryKey(77), encodeRecord(entryKey(78), JSON.stringify(entry(77)))));
    assert.match((await openFailure(folder)).message, /log entry 77 is missing.*checksum of entry 77/);
    await tamper(folder, (db) => db.del(entryKey(77)));
    assert.match((await openFailure(folder)).message, /log entry 77 is missing.*next one found is 78/);
    await tamper(folder, (db) => db.put(entryKey(77), encodeRecord(entryKey(77), JSON.stringify(entry(77)))));
    assert.is((await opened(folder)).lastIndex, 400);
  }));

test('a witness that is gone is damage, too', () =>
  withFolder(async (folder) => {
    await unlink(join(folder, 'log.witness'));
    const error = await openFailure(folder);
    assert.is(error.code, 'folder-damaged');
    assert.match(error.message, 'witness');
  }));

test('a torn tail above the witness is cut, and writing goes on there', () =>
  withFolder(async (folder) => {
    const older = join(folder, 'older-witness');
    await cp(join(folder, 'log.witness'), older);
    const storage = openStorage(folder);
    await storage.open();
    for (let index = 401; index <= 420; index++) await append(storage, index);
    await storage.close();
    // As after a power cut: the witness had been synced at 400, and of what came later one entry is lost.
    await cp(older, join(folder, 'log.witness'));
    await tamper(folder, (db) => db.del(entryKey(419)));
    assert.is((await openFailure(folder)).code, 'folder-damaged', 'entry 419 was applied: that is no torn tail');
    await tamper(folder, (db) => db.put(entryKey(419), encodeRecord(entryKey(419), JSON.stringify(entry(419)))));
    await tamper(folder, (db) => db.put(entryKey(420), Buffer.from('torn')));
    assert.is((await opened(folder)).lastIndex, 419);
    const again = openStorage(folder);
    await again.open();
    await append(again, 420);
    assert.equal(again.entry(420), entry(420));
    await again.close();
    assert.is((await opened(folder)).lastIndex, 420);
  }));

test('what a failed write left is void, though it is whole', () =>
  withFolder(async (folder) => {
    const witness = await Witness.open(join(folder, 'log.witness'));
    if (witness === undefined) throw new Error('the witness is unreadable');
    await witness.keep({ ...witness.current, sealed: true });
    await witness.close();
    await tamper(folder, (db) => db.put(entryKey(401), encodeRecord(entryKey(401), JSON.stringify(entry(401)))));
    const storage = openStorage(folder);
    assert.is((await storage.open()).lastIndex, 400);
    await storage.close();
    const later = await Witness.open(join(folder, 'log.witness'));
    assert.is(later?.current.sealed, false);
    await later?.close();
    assert.is((await opened(folder)).lastIndex, 400, 'it is gone, not only passed over');
  }));

test('a row that was lost or changed is found by the state hash', () =>
  withFolder(async (folder) => {
    const storage = openStorage(folder);
    const { signal } = new AbortController();
    await storage.open();
    await storage.verify(signal);
    await storage.close();
    const key = Buffer.from('s/1/row/9');
    await tamper(folder, (db) => db.del(key));
    const lossy = openStorage(folder);
    await lossy.open();
    const lost = await failure(() => lossy.verify(signal));
    assert.is(lost.code, 'folder-damaged');
    assert.match(lost.message, 'state hash');
    await lossy.close();
    await tamper(folder, (db) => db.put(key, Buffer.from('\x01abcd{"n":9}')));
    const changed = openStorage(folder);
    await changed.open();
    assert.is((await failure(() => changed.verify(signal))).code, 'folder-damaged');
    const read = await failure(() => changed.row('row/9'));
    assert.is(read.code, 'folder-damaged');
    assert.match(read.message, 's/1/row/9');
    await changed.close();
  }));

test('a folder of a newer version is refused as such', () =>
  withFolder(async (folder) => {
    const key = Buffer.from('m/layout');
    await tamper(folder, (db) => db.put(key, encodeRecord(key, JSON.stringify({ version: 99 }))));
    const error = await openFailure(folder);
    assert.is(error.code, 'folder-newer');
    assert.match(error.message, '99');
  }));

test('a folder in use is refused after a wait, with its name and what to do, and taken when it is let go', () =>
  withFolder(async (folder) => {
    const holder = openStorage(folder);
    await holder.open();
    const error = await openFailure(folder);
    assert.is(error.code, 'folder-locked');
    assert.match(error.message, folder);
    assert.ok(error.fix);
    const patient = new LevelStorage({ clock }, { folder });
    const opening = patient.open();
    await holder.close();
    assert.is((await opening).lastIndex, 400);
    await patient.close();
  }));

test('a folder that cannot be made is said to be unusable', async () => {
  const error = await failure(() => openStorage(join(import.meta.filename, 'data')).open());
  assert.is(error.code, 'folder-unusable');
});

test.run();
