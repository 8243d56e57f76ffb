// Reads local files piece by piece.
import { type FileHandle, open } from 'node:fs/promises';
import { giveBack, takeBuffer } from '../../blob/buffers.ts';

export interface Part {
  readonly start?: number;
  /** Excluded; to the end of the file where it is left out. */
  readonly end?: number;
  readonly signal?: AbortSignal;
}

/** Each chunk is good until the next is asked for. Fails as the system does, and with the signal's reason. */
export async function* chunksOf(local: string, part: Part = {}): AsyncGenerator<Uint8Array> {
  yield* chunksIn(await open(local, 'r'), part);
}

/** As chunksOf; closes the file at the end. */
export async function* chunksIn(
  file: FileHandle,
  { start = 0, end = Number.POSITIVE_INFINITY, signal }: Part = {},
): AsyncGenerator<Uint8Array> {
  const buffer = takeBuffer();
  try {
    for (let at = start; at < end; ) {
      signal?.throwIfAborted();
      const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, end - at), at);
      if (bytesRead === 0) return;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
    giveBack(buffer);
  }
}
