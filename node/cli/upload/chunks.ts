// Reads local files piece by piece.
import { type FileHandle, open } from 'node:fs/promises';
import { giveBack, takeBuffer } from '../../blob/buffers.ts';

/**
 * The bytes from `start` up to, without, `end`, or to the end of the file. Each chunk is good until the next is asked for.
 * Fails as the system does, and with the signal's reason.
 */
export async function* chunksOf(
  local: string,
  { start = 0, end = Number.POSITIVE_INFINITY, signal }: { start?: number; end?: number; signal?: AbortSignal } = {},
): AsyncGenerator<Uint8Array> {
  const buffer = takeBuffer();
  let file: FileHandle | undefined;
  try {
    file = await open(local, 'r');
    for (let at = start; at < end; ) {
      signal?.throwIfAborted();
      const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, end - at), at);
      if (bytesRead === 0) return;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file?.close();
    giveBack(buffer);
  }
}
