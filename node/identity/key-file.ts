// Secrets on disk: written whole, readable by their owner alone, and fsynced before anyone is told what they name.
import { constants, type FileHandle, mkdir, open, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { SkeinError } from '../../protocol/errors.ts';

const maxBytes = 4096;

/**
 * Reads the file; where there is none, writes what `make` gives. A key that a member list already names must never be
 * lost to a power cut, so file and folder are synced before this returns. Fails with `folder-unusable`, `folder-damaged`.
 */
export async function readOrMake(path: string, make: () => Uint8Array | Promise<Uint8Array>): Promise<Uint8Array> {
  return (await readKey(path)) ?? (await writeKey(path, await make()));
}

async function readKey(path: string): Promise<Uint8Array | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw unusable(path, cause);
  }
  try {
    const { size } = await file.stat();
    if (size === 0 || size > maxBytes) throw damaged(path, `it has ${size} bytes`);
    return new Uint8Array(await file.readFile());
  } finally {
    await file.close();
  }
}

async function writeKey(path: string, bytes: Uint8Array): Promise<Uint8Array> {
  const folder = dirname(path);
  const temporary = `${path}.new`;
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const file = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC, 0o600);
    try {
      await file.chmod(0o600);
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(folder);
    return bytes;
  } catch (cause) {
    throw unusable(path, cause);
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(join(folder, '.'), constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export function damaged(path: string, why: string, cause?: unknown): SkeinError {
  const fix = 'Restore the file from a copy; a node with another key is another member.';
  return new SkeinError('folder-damaged', `the key file ${path} is damaged: ${why}`, { fix, cause });
}

function unusable(path: string, cause: unknown): SkeinError {
  return new SkeinError('folder-unusable', `the key file ${path} cannot be used: ${(cause as Error).message}`, {
    cause,
  });
}
