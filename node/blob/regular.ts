// Opens a file that a script left behind, whatever it may be by now.
import { constants } from 'node:fs';
import { chmod, type FileHandle, open } from 'node:fs/promises';
import { SkeinError } from '../../protocol/errors.ts';
import { onDisk, systemCode } from './disk.ts';

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;

/** Opens it for reading. Fails with `file-missing`, `file-unreadable` (also where it is a link, a folder, a pipe). */
export async function openRegular(path: string): Promise<FileHandle> {
  const handle = await openReadable(path);
  const found = await onDisk('looking at a file', handle.stat());
  if (found.isFile()) return handle;
  await handle.close();
  throw unreadable(path, 'it is no regular file');
}

async function openReadable(path: string): Promise<FileHandle> {
  // Not through a link, and not waiting for the writer of a pipe.
  const flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
  try {
    return await open(path, flags);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT') throw new SkeinError('file-missing', `there is no ${path}`);
    if (code !== 'EACCES') throw unreadable(path, String(error));
  }
  try {
    // A script may have taken the right to read from its own output.
    await chmod(path, 0o600);
    return await open(path, flags);
  } catch (error) {
    throw unreadable(path, String(error));
  }
}

export function unreadable(path: string, why: string): SkeinError {
  return new SkeinError('file-unreadable', `${path} cannot be taken over: ${why}`);
}
