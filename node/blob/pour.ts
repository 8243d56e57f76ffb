// Streams: bytes from a source into a file, hashed on the way, and the hash of a file that is there already.
import type { Hash } from 'node:crypto';
import { read } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { SkeinError } from '../../protocol/errors.ts';
import { blocksOf, giveBack, takeBuffer } from './buffers.ts';
import { type DiskReserve, onDisk } from './disk.ts';

const readInto = promisify(read);

export interface Sink {
  readonly handle: FileHandle;
  readonly position: number;
  readonly hash: Hash;
  readonly reserve: DiskReserve;
  readonly maxBytes: number;
}

/**
 * Writes all of `source`; one write is under way while the next bytes come in. When it fails, nothing is under way any more.
 * Fails with `too-large`, `disk-full`, or as the source failed. @returns bytes written
 */
export async function pour(source: AsyncIterable<Uint8Array>, sink: Sink, signal?: AbortSignal): Promise<number> {
  const buffers = [takeBuffer(), takeBuffer()];
  let total = 0;
  let writing: Promise<void> = Promise.resolve();
  try {
    for await (const block of blocksOf(abortable(source, signal), buffers)) {
      if (total + block.length > sink.maxBytes) {
        throw new SkeinError('too-large', `more than ${sink.maxBytes} bytes came`);
      }
      sink.hash.update(block);
      await writing;
      await sink.reserve.take(block.length);
      writing = writeAll(sink.handle, block, sink.position + total);
      // The failure is met at the next block; until then nobody listens.
      writing.catch(() => undefined);
      total += block.length;
    }
  } finally {
    await writing.finally(() => buffers.forEach(giveBack));
  }
  return total;
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await onDisk(
      'writing a blob',
      handle.write(bytes, done, bytes.length - done, position + done),
    );
    done += bytesWritten;
  }
}

/** Hashes the first `sizeBytes` of a file, reading ahead by one buffer. @returns bytes read: fewer where it is shorter */
export async function hashFile(fd: number, hash: Hash, sizeBytes: number): Promise<number> {
  let current = takeBuffer();
  let ahead = takeBuffer();
  const read = (into: Buffer, at: number): Promise<{ readonly bytesRead: number }> =>
    onDisk('reading a file', readInto(fd, into, 0, Math.min(into.length, sizeBytes - at), at));
  let reading: Promise<{ readonly bytesRead: number }> | undefined;
  let total = 0;
  try {
    while (total < sizeBytes) {
      const { bytesRead } = await (reading ?? read(current, 0));
      reading = undefined;
      if (bytesRead === 0) break;
      total += bytesRead;
      if (total < sizeBytes) reading = read(ahead, total);
      hash.update(current.subarray(0, bytesRead));
      [current, ahead] = [ahead, current];
    }
    return total;
  } finally {
    giveBack(current);
    giveBack(ahead);
  }
}

/** Goes through `source` and stops at once when the signal fires, also while the source is silent. */
export async function* abortable<T>(source: AsyncIterable<T>, signal?: AbortSignal): AsyncGenerator<T> {
  if (signal === undefined) {
    yield* source;
    return;
  }
  const iterator = source[Symbol.asyncIterator]();
  // One listener for all turns: racing each turn with one promise would keep every turn's memory until the end.
  let giveUp: (reason: unknown) => void = () => undefined;
  const onAbort = (): void => giveUp(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    for (;;) {
      signal.throwIfAborted();
      const next = await new Promise<IteratorResult<T>>((resolve, reject) => {
        giveUp = reject;
        iterator.next().then(resolve, reject);
      });
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    close(source, iterator);
  }
}

function close<T>(source: AsyncIterable<T>, iterator: AsyncIterator<T>): void {
  if (source instanceof Readable) source.destroy();
  // Not awaited: a generator that is waiting for its own source answers only after that.
  iterator.return?.().then(undefined, () => undefined);
}
