// Opens a file that a script left behind, whatever it may be by now.
import { chmodSync, closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { SkeinError } from '../../protocol/errors.ts';
import { systemCode } from './disk.ts';

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;

/** @returns its descriptor. Fails with `file-missing`, `file-unreadable` (also where it is a link, a folder, a pipe). */
export function openRegular(path: string): number {
  const fd = openReadable(path);
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  throw unreadable(path, 'it is no regular file');
}

/** All bytes, or undefined where there are more than `maxBytes`. Fails as openRegular does. */
export function readRegular(path: string, maxBytes: number): Uint8Array | undefined {
  const fd = openRegular(path);
  try {
    const { size } = fstatSync(fd);
    if (size > maxBytes) return undefined;
    const bytes = Buffer.allocUnsafe(size);
    let done = 0;
    for (let count = 1; count > 0 && done < size; done += count) count = readSync(fd, bytes, done, size - done, done);
    return bytes.subarray(0, done);
  } catch (error) {
    throw unreadable(path, String(error));
  } finally {
    closeSync(fd);
  }
}

function openReadable(path: string): number {
  // Not through a link, and not waiting for the writer of a pipe.
  const flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
  try {
    return openSync(path, flags);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT') throw new SkeinError('file-missing', `there is no ${path}`);
    if (code !== 'EACCES') throw unreadable(path, String(error));
  }
  try {
    // A script may have taken the right to read from its own output.
    chmodSync(path, 0o600);
    return openSync(path, flags);
  } catch (error) {
    throw unreadable(path, String(error));
  }
}

export function unreadable(path: string, why: string): SkeinError {
  return new SkeinError('file-unreadable', `${path} cannot be taken over: ${why}`);
}
