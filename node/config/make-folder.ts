// Makes a folder and those above it. Node's own `recursive` goes round for ever where a file system says ENOENT of a folder
// whose parent is there (/proc does).
import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/** Nothing happens where it is there already. Fails as the system does. */
export async function makeFolder(path: string, mode = 0o777): Promise<void> {
  try {
    makeOne(path, mode);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || dirname(path) === path) throw error;
    await makeFolder(dirname(path), mode);
    makeOne(path, mode);
  }
}

function makeOne(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    const there = (error as NodeJS.ErrnoException).code === 'EEXIST' && statSync(path).isDirectory();
    if (!there) throw error;
  }
}
