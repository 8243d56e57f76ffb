// Content-addressed files of one node.
import type { Readable } from 'node:stream';
import type { Sha256 } from '../../protocol/ids.ts';

export interface BlobStat {
  readonly sha256: Sha256;
  readonly sizeBytes: number;
}

export interface BlobStore {
  start(): Promise<void>;
  /** Undefined where it is not here whole. Counts as use: the sweep spares what was seen within its age. */
  stat(sha256: Sha256): Promise<BlobStat | undefined>;
  /** Streams `source` to a temporary file, hashes it, fsyncs, renames, fsyncs the folder. Fails with `digest-mismatch`, `too-large`, `disk-full`. */
  put(
    source: AsyncIterable<Uint8Array>,
    expect: { sha256?: Sha256; maxBytes?: number },
    signal?: AbortSignal,
  ): Promise<BlobStat>;
  /** Takes over a file of the same disk without copying it where possible; the file may be gone afterwards. Its hash is computed here. */
  adopt(path: string, options: { readonly keepSource: boolean }): Promise<BlobStat>;
  /** A part or the whole. Fails with `not-found`, `range-not-satisfiable`. */
  read(sha256: Sha256, range?: { readonly offset: number; readonly sizeBytes: number }): Promise<Readable>;
  /** One chunk as bytes, at most 256 KiB: what the transfer protocol serves. */
  chunk(sha256: Sha256, offset: number, maxBytes: number): Promise<Uint8Array>;
  /** Puts the blob, or a span of it, at `path` with `mode`; a copy or reflink, never a link to the store's own file. */
  place(
    sha256: Sha256,
    path: string,
    options: { readonly mode: number; readonly offset?: number; readonly sizeBytes?: number },
  ): Promise<void>;

  /** Resumable uploads, one per hash. */
  uploadOffset(sha256: Sha256): Promise<number>;
  /** Appends at `offset` (else `bad-offset`, with the right one in `extra.offset`). When `totalBytes` are there: verified and published. */
  uploadAppend(
    sha256: Sha256,
    offset: number,
    totalBytes: number,
    source: AsyncIterable<Uint8Array>,
    signal?: AbortSignal,
  ): Promise<{ readonly offset: number; readonly done: boolean }>;

  list(): AsyncIterable<BlobStat & { readonly usedAt: number }>;
  remove(sha256: Sha256): Promise<void>;
  usage(): Promise<{ readonly count: number; readonly bytes: number }>;
}
