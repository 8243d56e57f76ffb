// Blobs held in memory, for tests and the simulator; it keeps the port's promises but those about a disk.
import { createHash } from 'node:crypto';
import { chmod, lstat, readFile, writeFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { SkeinError } from '../../protocol/errors.ts';
import type { Sha256 } from '../../protocol/ids.ts';
import type { Clock } from '../../protocol/time.ts';
import { chunkMaxBytes } from '../../protocol/wire/blob.ts';
import { systemCode } from './disk.ts';
import { judgeRange, notHere } from './files.ts';
import type { BlobStat, BlobStore, Kept } from './port.ts';
import { abortable } from './pour.ts';
import { mismatch } from './uploads.ts';

interface Held {
  readonly bytes: Buffer;
  usedAt: number;
}

export class MemoryBlobStore implements BlobStore {
  readonly #clock: Clock;
  readonly #blobs = new Map<Sha256, Held>();
  readonly #uploads = new Map<Sha256, { bytes: Buffer; usedAt: number }>();

  constructor(deps: { readonly clock: Clock }) {
    this.#clock = deps.clock;
  }

  async start(): Promise<void> {}

  async stat(sha256: Sha256): Promise<BlobStat | undefined> {
    const held = this.#blobs.get(sha256);
    if (held === undefined) return undefined;
    held.usedAt = this.#clock.now();
    return { sha256, sizeBytes: held.bytes.length };
  }

  async put(
    source: AsyncIterable<Uint8Array>,
    expect: { sha256?: Sha256; maxBytes?: number },
    signal?: AbortSignal,
  ): Promise<BlobStat> {
    const here = expect.sha256 === undefined ? undefined : await this.stat(expect.sha256);
    if (here !== undefined) return here;
    const chunks: Uint8Array[] = [];
    await gather(source, chunks, expect.maxBytes ?? Number.POSITIVE_INFINITY, signal);
    const blob = this.#hold(Buffer.concat(chunks), expect.sha256);
    return blob;
  }

  async adopt(path: string, _options: { readonly keepSource: boolean }): Promise<BlobStat> {
    try {
      if (!(await lstat(path)).isFile()) throw new SkeinError('file-unreadable', `${path} is no regular file`);
      return this.#hold(await readFile(path), undefined);
    } catch (error) {
      if (systemCode(error) === 'ENOENT') throw new SkeinError('file-missing', `there is no ${path}`);
      throw error;
    }
  }

  async read(sha256: Sha256, range?: { readonly offset: number; readonly sizeBytes: number }): Promise<Readable> {
    const bytes = this.#span(sha256, range?.offset ?? 0, range?.sizeBytes);
    return Readable.from(bytes.length === 0 ? [] : [bytes]);
  }

  async chunk(sha256: Sha256, offset: number, maxBytes: number): Promise<Uint8Array> {
    return this.#span(sha256, offset, undefined).subarray(0, Math.min(maxBytes, chunkMaxBytes));
  }

  async place(
    sha256: Sha256,
    path: string,
    options: { readonly mode: number; readonly offset?: number; readonly sizeBytes?: number },
  ): Promise<void> {
    const bytes = this.#span(sha256, options.offset ?? 0, options.sizeBytes);
    try {
      await writeFile(path, bytes, { flag: 'wx' });
    } catch (error) {
      if (systemCode(error) === 'EEXIST') throw new SkeinError('state-conflict', `there is something at ${path}`);
      throw error;
    }
    await chmod(path, options.mode);
  }

  async uploadOffset(sha256: Sha256): Promise<number> {
    return this.#uploads.get(sha256)?.bytes.length ?? 0;
  }

  async uploadAppend(
    sha256: Sha256,
    offset: number,
    totalBytes: number,
    source: AsyncIterable<Uint8Array>,
    signal?: AbortSignal,
  ): Promise<{ readonly offset: number; readonly done: boolean }> {
    const here = await this.stat(sha256);
    if (here !== undefined) return { offset: here.sizeBytes, done: true };
    const before = this.#uploads.get(sha256)?.bytes ?? Buffer.alloc(0);
    if (before.length !== offset) {
      const message = `the upload continues at byte ${before.length}`;
      throw new SkeinError('bad-offset', message, { extra: { offset: before.length } });
    }
    const chunks: Uint8Array[] = [before];
    try {
      await gather(source, chunks, totalBytes - offset, signal);
    } catch (error) {
      if (error instanceof SkeinError && error.code === 'too-large') this.#uploads.delete(sha256);
      else this.#uploads.set(sha256, { bytes: Buffer.concat(chunks), usedAt: this.#clock.now() });
      throw error;
    }
    const bytes = Buffer.concat(chunks);
    if (bytes.length < totalBytes) {
      this.#uploads.set(sha256, { bytes, usedAt: this.#clock.now() });
      return { offset: bytes.length, done: false };
    }
    this.#uploads.delete(sha256);
    this.#hold(bytes, sha256);
    return { offset: totalBytes, done: true };
  }

  async expireUploads(unusedSince: number): Promise<number> {
    const stale = [...this.#uploads].filter(([, upload]) => upload.usedAt < unusedSince);
    for (const [sha256] of stale) this.#uploads.delete(sha256);
    return stale.length;
  }

  async *list(): AsyncIterable<BlobStat & { readonly usedAt: number }> {
    for (const [sha256, { bytes, usedAt }] of [...this.#blobs]) yield { sha256, sizeBytes: bytes.length, usedAt };
  }

  async remove(sha256: Sha256, options?: { readonly unusedSince: number }): Promise<boolean> {
    const held = this.#blobs.get(sha256);
    if (held === undefined || (options !== undefined && held.usedAt >= options.unusedSince)) return false;
    return this.#blobs.delete(sha256);
  }

  async evict(maxBytes: number, keep: Kept): Promise<{ readonly count: number; readonly bytes: number }> {
    const gone = { count: 0, bytes: 0 };
    let over = (await this.usage()).bytes - maxBytes;
    for (const [sha256, held] of [...this.#blobs].sort(([, a], [, b]) => a.usedAt - b.usedAt)) {
      if (over <= 0) break;
      if (keep.has(sha256)) continue;
      this.#blobs.delete(sha256);
      over -= held.bytes.length;
      gone.count++;
      gone.bytes += held.bytes.length;
    }
    return gone;
  }

  async usage(): Promise<{ readonly count: number; readonly bytes: number }> {
    let bytes = 0;
    for (const held of this.#blobs.values()) bytes += held.bytes.length;
    return { count: this.#blobs.size, bytes };
  }

  #hold(bytes: Buffer, expected: Sha256 | undefined): BlobStat {
    const sha256 = createHash('sha256').update(bytes).digest('hex') as Sha256;
    if (expected !== undefined && sha256 !== expected) throw mismatch(expected);
    this.#blobs.set(sha256, { bytes, usedAt: this.#clock.now() });
    return { sha256, sizeBytes: bytes.length };
  }

  #span(sha256: Sha256, offset: number, sizeBytes: number | undefined): Buffer {
    const held = this.#blobs.get(sha256);
    if (held === undefined) throw notHere(sha256);
    held.usedAt = this.#clock.now();
    judgeRange(sha256, held.bytes.length, { offset, sizeBytes: sizeBytes ?? 0 });
    return held.bytes.subarray(offset, sizeBytes === undefined ? undefined : offset + sizeBytes);
  }
}

async function gather(
  source: AsyncIterable<Uint8Array>,
  chunks: Uint8Array[],
  maxBytes: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  let total = 0;
  for await (const chunk of abortable(source, signal)) {
    total += chunk.length;
    if (total > maxBytes) throw new SkeinError('too-large', `more than ${maxBytes} bytes came`);
    chunks.push(chunk);
  }
}
