// The data folder as the file system shows it: the database in it and its lock, the marker that says that there must be
// one, and whether there is room again.
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Level } from 'level';
import { SkeinError } from '../../protocol/errors.ts';
import type { Clock } from '../../protocol/time.ts';
import type { Database } from './batch-writer.ts';

const LOCK_POLL_MS = 100;
/** Beyond what replaying LevelDB's own log needs: a table, a new log, a new manifest. */
const SPARE_BYTES = 1024 * 1024;

const databasePath = (folder: string): string => join(folder, 'log');
export const witnessPath = (folder: string): string => join(folder, 'log.witness');
const markerPath = (folder: string): string => join(folder, 'log.created');

export async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw storageError(folder, error);
  }
}

export function hasMarker(folder: string): Promise<boolean> {
  return exists(markerPath(folder));
}

/** Written last: from then on a missing database is damage, never a reason to make an empty one. */
export async function writeMarker(folder: string): Promise<void> {
  const temporary = `${markerPath(folder)}.tmp`;
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile('The log of a skein node lies beside this file. Delete both or neither.\n');
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, markerPath(folder));
  await syncFolder(folder);
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** LevelDB's own lock is the folder's lock; a node that is just ending gets some time to let go of it. */
export async function openDatabase(
  folder: string,
  options: { readonly clock: Clock; readonly createIfMissing: boolean; readonly lockWaitMs: number },
): Promise<Database> {
  const { clock, createIfMissing, lockWaitMs } = options;
  const encodings = { keyEncoding: 'buffer', valueEncoding: 'buffer' } as const;
  const deadline = clock.monotonic() + lockWaitMs;
  for (;;) {
    const db: Database = new Level<Buffer, Buffer>(databasePath(folder), { ...encodings, createIfMissing });
    try {
      await db.open();
      return db;
    } catch (error) {
      await db.close();
      if (!isLocked(error) || clock.monotonic() >= deadline) throw storageError(folder, error);
    }
    await clock.sleep(LOCK_POLL_MS);
  }
}

/** Whether the database could be closed and opened again: tried with a file, as quotas show in no statistics. */
export async function hasRoom(folder: string): Promise<boolean> {
  const probe = join(folder, 'log.probe');
  try {
    const file = await open(probe, 'w', 0o600);
    try {
      const block = Buffer.alloc(64 * 1024, 1);
      const needed = (await replayBytes(folder)) + SPARE_BYTES;
      for (let written = 0; written < needed; written += block.length) await file.writeFile(block);
      await file.sync();
    } finally {
      await file.close();
    }
    return true;
  } catch {
    // Whatever forbids the probe would forbid the database too; the caller tries again later.
    return false;
  } finally {
    await rm(probe, { force: true });
  }
}

/** LevelDB's write-ahead logs: opening turns them into tables before it drops them. */
async function replayBytes(folder: string): Promise<number> {
  const names = await readdir(databasePath(folder));
  const logs = names.filter((name) => name.endsWith('.log'));
  const sizes = await Promise.all(logs.map(async (name) => (await stat(join(databasePath(folder), name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

/** What LevelDB or the file system threw, as one of the failures that a user meets. */
export function storageError(folder: string, error: unknown): SkeinError {
  if (error instanceof SkeinError) return error;
  const text = describe(error);
  if (isLocked(error)) {
    return new SkeinError('folder-locked', `The data folder ${folder} is in use by another node.`, {
      cause: error,
      fix: 'Stop that node with `skein down`, or give this one another folder with --data.',
    });
  }
  if (/No space left|ENOSPC|EDQUOT|quota exceeded/i.test(text)) {
    return new SkeinError('disk-full', `The disk under ${folder} is full.`, {
      cause: error,
      fix: 'Make room on it; the node then goes on by itself.',
      retryAfterMs: 5_000,
    });
  }
  if (/corruption|does not exist|missing files|not an sstable/i.test(text)) return damaged(folder, text, error);
  return new SkeinError('folder-unusable', `The data folder ${folder} cannot be used: ${text}`, {
    cause: error,
    fix: 'Check that the folder exists, that it belongs to this user, and that its disk works.',
  });
}

export function damaged(folder: string, what: string, cause?: unknown): SkeinError {
  return new SkeinError('folder-damaged', `The data folder ${folder} is damaged: ${what}`, {
    cause,
    fix: 'Keep the folder as it is, and restore a backup or start with an empty one.',
  });
}

function isLocked(error: unknown): boolean {
  return codeOf(error) === 'LEVEL_LOCKED' || codeOf((error as { cause?: unknown })?.cause) === 'LEVEL_LOCKED';
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null | undefined)?.code;
}

/** LevelDB hides the reason in the cause. */
function describe(error: unknown): string {
  const cause = (error as { cause?: unknown } | null | undefined)?.cause;
  if (cause instanceof Error) return describe(cause);
  return error instanceof Error ? error.message : String(error);
}
