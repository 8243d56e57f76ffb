// Reads a file that a person wrote: whole, but never more than a bound, whatever the name leads to (a pipe, /dev/zero).
import { open } from 'node:fs/promises';

/** Its text, or undefined where it has more than `maxBytes`. Fails as the system does. */
export async function readSmall(path: string, maxBytes: number): Promise<string | undefined> {
  await using file = await open(path, 'r');
  const bytes = Buffer.alloc(maxBytes + 1);
  let length = 0;
  while (length < bytes.length) {
    const { bytesRead } = await file.read(bytes, length, bytes.length - length, null);
    if (bytesRead === 0) return bytes.toString('utf8', 0, length);
    length += bytesRead;
  }
  return undefined;
}
