// Folders of ended attempts that are empty again, kept for the next ones. Removing a folder waits for the file system's
// journal, a millisecond each and four for an attempt; renaming one does not.
import { lstatSync, mkdirSync, readdirSync, renameSync, rmSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { attemptFolder, FOLDER_MODE } from './attempt-folder.ts';

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

  /** Keeps an attempt's folder where its script left nothing in it. @returns whether it is gone from its place. */
  give(folder: string): boolean {
    if (this.#spare.length >= this.#max) return false;
    try {
      if (!isClean(folder)) return false;
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

/** Empties it of skein's own files. */
function isClean(folder: string): boolean {
  const { workFolder, homeFolder, tmpFolder } = attemptFolder(folder);
  if (![workFolder, homeFolder, tmpFolder].every(isUntouched)) return false;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isFile()) clear(join(folder, entry.name), entry.name);
    else if (!['work', 'home', 'tmp'].includes(entry.name)) return false;
  }
  return true;
}

/** Empty files of the streams stay: making them costs more than finding them. Others may be blobs by another name. */
function clear(path: string, name: string): void {
  const stays = (name === 'stdout' || name === 'stderr') && lstatSync(path).size === 0;
  if (!stays) unlinkSync(path);
}

function isUntouched(folder: string): boolean {
  const stats = lstatSync(folder);
  return stats.isDirectory() && (stats.mode & 0o7777) === FOLDER_MODE && readdirSync(folder).length === 0;
}
