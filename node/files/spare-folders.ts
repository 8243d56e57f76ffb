// Folders of ended attempts that are empty again, kept for the next ones. Removing a folder waits for the file system's
// journal, a millisecond each and four for an attempt; renaming one does not.
import { lstatSync, mkdirSync, readdirSync, renameSync, rmdirSync, rmSync, unlinkSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { attemptFolder, FOLDER_MODE } from './attempt-folder.ts';

const ENTRIES_MAX = 32;
const AT_ONCE_MAX_BYTES = 64 * 1024;
const OWNER = 0o600;

export class SpareFolders {
  readonly #folder: string;
  readonly #max: number;
  readonly #spare: string[] = [];
  #count = 0;

  /** @param folder is emptied: what an earlier process kept there is not known to be clean. */
  constructor(folder: string, max: number) {
    this.#folder = folder;
    this.#max = max;
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  /** Puts a spare one at `target`, which must not be there. @returns whether there was one. */
  take(target: string): boolean {
    const spare = this.#spare.pop();
    if (spare === undefined) return false;
    try {
      renameSync(spare, target);
      return true;
    } catch {
      // The target is there, or the spare is gone: the long way sorts it out.
      return false;
    }
  }

  /** Keeps an attempt's folder where little is in it to clear away. @returns whether it is gone from its place. */
  async give(folder: string): Promise<boolean> {
    if (this.#spare.length >= this.#max) return false;
    try {
      if (!(await isEmptied(folder)) || this.#spare.length >= this.#max) return false;
      const spare = join(this.#folder, String(this.#count++));
      renameSync(folder, spare);
      this.#spare.push(spare);
      return true;
    } catch {
      // Whatever is in the way, removing it says what.
      return false;
    }
  }
}

/** Empties it, where it is still as it was made and holds little. */
async function isEmptied(folder: string): Promise<boolean> {
  const { workFolder, homeFolder, tmpFolder } = attemptFolder(folder);
  const room = { entries: ENTRIES_MAX };
  for (const own of [workFolder, homeFolder, tmpFolder]) {
    if (!isAsMade(own) || !(await isCleared(own, room))) return false;
  }
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isFile()) clear(join(folder, entry.name), entry.name);
    else if (!['work', 'home', 'tmp'].includes(entry.name)) return false;
  }
  return true;
}

/** Bounded, as it is done in one go but for large files, whose room takes long to be free again. */
async function isCleared(folder: string, room: { entries: number }): Promise<boolean> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (room.entries-- === 0) return false;
    if (entry.isDirectory()) {
      if (!(await isCleared(path, room))) return false;
      rmdirSync(path);
    } else {
      const { size, nlink } = lstatSync(path);
      if (size > AT_ONCE_MAX_BYTES && nlink === 1) await unlink(path);
      else unlinkSync(path);
    }
  }
  return true;
}

/** Empty files of the streams stay as they were made: making them costs more than finding them. */
function clear(path: string, name: string): void {
  if (!(name === 'stdout' || name === 'stderr') || !isFresh(path)) unlinkSync(path);
}

/** A script may have made its stream unwritable, and what has another name may be a blob or still be written to. */
function isFresh(path: string): boolean {
  const { size, nlink, mode } = lstatSync(path);
  return size === 0 && nlink === 1 && (mode & OWNER) === OWNER;
}

function isAsMade(folder: string): boolean {
  const stats = lstatSync(folder);
  return stats.isDirectory() && (stats.mode & 0o7777) === FOLDER_MODE;
}
