// What was in a work folder before its script began, kept in a file beside it: a restarted daemon collects by it.
import type { BigIntStats } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { SkeinError } from '../../protocol/errors.ts';
import type { Sha256 } from '../../protocol/ids.ts';

export type Known =
  | {
      readonly kind: 'file';
      readonly sha256: Sha256;
      readonly sizeBytes: number;
      readonly mode: number;
      readonly stamp: string;
    }
  | { readonly kind: 'link'; readonly target: string }
  | { readonly kind: 'folder'; readonly mode: number };

export type Snapshot = ReadonlyMap<string, Known>;

/** All that a change of a file would change, in one string. */
export function stampOf(stats: BigIntStats): string {
  return `${stats.size} ${stats.mtimeNs} ${stats.ctimeNs} ${stats.mode} ${stats.ino}`;
}

/** An empty one leaves no file. */
export async function writeSnapshot(path: string, snapshot: Snapshot): Promise<void> {
  if (snapshot.size === 0) return;
  // Not fsynced: after a power cut there is no attempt to collect.
  await writeFile(path, JSON.stringify([...snapshot]), { mode: 0o600 });
}

/** Fails with `folder-damaged`. */
export async function readSnapshot(path: string): Promise<Snapshot> {
  try {
    return new Map(JSON.parse(await readFile(path, 'utf8')) as [string, Known][]);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
    throw new SkeinError('folder-damaged', `the snapshot of an attempt cannot be read: ${path}`, { cause });
  }
}
