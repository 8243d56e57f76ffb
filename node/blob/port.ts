// Content-addressed files of one node.
import type { Readable } from 'node:stream';
import type { Sha256 } from '../../protocol/ids.ts';

export interface BlobStat {
  readonly sha256: Sha256;
  readonly sizeBytes: number;
}

/** Asked of each at the moment that it would go. */
export type Kept = Pick<ReadonlySet<Sha256>, 'has'>;

export interface BlobStore {
  start(): Promise<void>;
  /** Undefined where it is not here whole. Counts as use: the sweep spares what was seen within its age. */
  stat(sha256: Sha256): Promise<BlobStat | undefined>;
  /**
   * Streams `source` to a temporary file, hashes it, fsyncs, renames, fsyncs the folder. What is here already under
   * `expect.sha256` is not read again. Fails with `digest-mismatch`, `too-large`, `disk-full`, or as `source` failed.
   */
  put(
    source: AsyncIterable<Uint8Array>,
    expect: { sha256?: Sha256; maxBytes?: number },
    signal?: AbortSignal,
  ): Promise<BlobStat>;
  /**
   * Takes over a file of the same disk without copying it where possible: the blob gets the file itself, under a second
   * name, so nobody may write to it any more. With `keepSource` the file stays apart and may change later. Its hash is
   * computed here. Doing it again gives the same answer.
   * Fails with `file-missing`, `file-unreadable` (no regular file, or it changed meanwhile), `disk-full`.
   */
  adopt(path: string, options: { readonly keepSource: boolean }): Promise<BlobStat>;
  /** A part or the whole. Fails with `not-found`, `range-not-satisfiable`. */
  read(sha256: Sha256, range?: { readonly offset: number; readonly sizeBytes: number }): Promise<Readable>;
  /** One chunk as bytes, at most 256 KiB: what the transfer protocol serves. */
  chunk(sha256: Sha256, offset: number, maxBytes: number): Promise<Uint8Array>;
  /**
   * Puts the blob, or a span of it, at `path` with `mode`; a copy or reflink, never a link to the store's own file.
   * Fails with `not-found`, `range-not-satisfiable`, `state-conflict` where something is at `path`, `disk-full`.
   */
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
  /** With `unusedSince`: only where it was not used at or after that wall time, judged in one step with the removal. @returns whether it went */
  remove(sha256: Sha256, options?: { readonly unusedSince: number }): Promise<boolean>;
  /** Drops uploads that nobody went on with since that wall time. @returns how many went */
  expireUploads(unusedSince: number): Promise<number>;
  /** Removes what was used longest ago, until at most `maxBytes` are left or only what `keep` names is. */
  evict(maxBytes: number, keep: Kept): Promise<{ readonly count: number; readonly bytes: number }>;
  usage(): Promise<{ readonly count: number; readonly bytes: number }>;
}
