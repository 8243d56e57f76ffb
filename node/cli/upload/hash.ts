// The sha-256 of local files, streamed, a few at a time.
import { createHash } from 'node:crypto';
import type { Sha256 } from '../../../protocol/ids.ts';
import { chunksOf } from './chunks.ts';
import { unreadable } from './folder.ts';

const AT_ONCE = 4;

/** Where a blob's bytes come from. A file may begin at an offset: standard input that was read from before. */
export type Source =
  | {
      readonly kind: 'file';
      readonly local: string;
      readonly start: number;
      readonly sizeBytes: number;
      readonly because: string;
    }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array; readonly because: string };

export interface Hashed {
  readonly sha256: Sha256;
  readonly sizeBytes: number;
}

/** Fails with `file-unreadable`. */
export async function hashFile(local: string, because: string, start = 0, signal?: AbortSignal): Promise<Hashed> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  try {
    for await (const chunk of chunksOf(local, { start, ...(signal ? { signal } : {}) })) {
      hash.update(chunk);
      sizeBytes += chunk.length;
    }
  } catch (error) {
    if (signal?.aborted === true) throw error;
    throw unreadable(local, because, error as NodeJS.ErrnoException);
  }
  return { sha256: hash.digest('hex') as Sha256, sizeBytes };
}

export function hashBytes(bytes: Uint8Array): Hashed {
  return { sha256: createHash('sha256').update(bytes).digest('hex') as Sha256, sizeBytes: bytes.length };
}

/** Runs `work` over all items, a few at once; the first failure ends it. */
export async function eachOf<T>(items: Iterable<T>, work: (item: T) => Promise<void>, atOnce = AT_ONCE): Promise<void> {
  const rest = items[Symbol.iterator]();
  const lane = async (): Promise<void> => {
    for (let next = rest.next(); next.done !== true; next = rest.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
}
