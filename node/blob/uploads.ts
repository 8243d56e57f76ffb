// Uploads that may be broken off and gone on with, one per hash. What has come is a file; it counts only once its hash is right.
import { createHash, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, readdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { SkeinError } from '../../protocol/errors.ts';
import { isSha256, type Sha256 } from '../../protocol/ids.ts';
import type { Clock } from '../../protocol/time.ts';
import { type DiskReserve, ifThere, onDisk } from './disk.ts';
import type { BlobStat } from './port.ts';
import { hashFile, pour } from './pour.ts';

/** Hashes under way that are kept in memory; an upload beyond reads its file again when it goes on. */
const HASHES_MAX = 64;

interface Deps {
  readonly clock: Clock;
  readonly reserve: DiskReserve;
  /** Makes a synced, closed file the blob of this hash, durably. */
  readonly publish: (path: string, blob: BlobStat) => Promise<void>;
  /** fsyncs. */
  readonly sync: (handle: FileHandle) => Promise<void>;
}

interface Running {
  readonly controller: AbortController;
  readonly ended: Promise<void>;
}

export class Uploads {
  readonly #deps: Deps;
  readonly #folder: string;
  readonly #hashes = new Map<Sha256, { readonly hash: Hash; readonly bytes: number }>();
  readonly #running = new Map<Sha256, Running>();

  constructor(deps: Deps, folder: string) {
    this.#deps = deps;
    this.#folder = folder;
  }

  async offset(sha256: Sha256): Promise<number> {
    return (await ifThere('looking at an upload', stat(this.#path(sha256))))?.size ?? 0;
  }

  /** The port's `uploadAppend`. A later call for the same hash ends this one: its sender has come back over another connection. */
  async append(
    upload: { readonly sha256: Sha256; readonly offset: number; readonly totalBytes: number },
    source: AsyncIterable<Uint8Array>,
    signal?: AbortSignal,
  ): Promise<{ readonly offset: number; readonly done: boolean }> {
    for (let before = this.#running.get(upload.sha256); before !== undefined; ) {
      before.controller.abort(new SkeinError('state-conflict', 'the upload goes on over another connection'));
      await before.ended;
      before = this.#running.get(upload.sha256);
    }
    const controller = new AbortController();
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    this.#running.set(upload.sha256, { controller, ended });
    try {
      const either = signal === undefined ? controller.signal : AbortSignal.any([signal, controller.signal]);
      return await this.#append(upload, source, either);
    } finally {
      this.#running.delete(upload.sha256);
      end();
    }
  }

  async expire(unusedSince: number): Promise<number> {
    let gone = 0;
    for (const name of await onDisk('listing uploads', readdir(this.#folder))) {
      const sha256 = name as Sha256;
      if (!isSha256(name) || this.#running.has(sha256)) continue;
      const found = await ifThere('looking at an upload', stat(this.#path(sha256)));
      if (found === undefined || found.mtimeMs >= unusedSince || this.#running.has(sha256)) continue;
      await this.#drop(sha256);
      gone++;
    }
    return gone;
  }

  async #append(
    upload: { readonly sha256: Sha256; readonly offset: number; readonly totalBytes: number },
    source: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<{ readonly offset: number; readonly done: boolean }> {
    const { sha256, offset, totalBytes } = upload;
    const handle = await onDisk('opening an upload', open(this.#path(sha256), constants.O_RDWR | constants.O_CREAT));
    try {
      const { size } = await onDisk('looking at an upload', handle.stat());
      if (size !== offset) throw badOffset(size);
      if (totalBytes < size) throw new SkeinError('invalid-request', `${size} bytes are here, more than ${totalBytes}`);
      await this.#deps.reserve.expect(totalBytes - size);
      const hash = await this.#hashOf(sha256, handle, size);
      const sink = { handle, position: size, hash, reserve: this.#deps.reserve, maxBytes: totalBytes - size };
      const reached = size + (await pour(source, sink, signal));
      await onDisk('noting the time', handle.utimes(this.#deps.clock.now() / 1000, this.#deps.clock.now() / 1000));
      if (reached < totalBytes) {
        this.#keep(sha256, hash, reached);
        return { offset: reached, done: false };
      }
      if (hash.digest('hex') !== sha256) throw mismatch(sha256);
      await this.#deps.sync(handle);
    } catch (error) {
      // More than was announced, or whole and not what it was called: nothing of it is worth going on with.
      if (isWorthless(error)) await this.#drop(sha256);
      throw error;
    } finally {
      await handle.close();
    }
    await this.#deps.publish(this.#path(sha256), { sha256, sizeBytes: totalBytes });
    return { offset: totalBytes, done: true };
  }

  async #hashOf(sha256: Sha256, handle: FileHandle, size: number): Promise<Hash> {
    const kept = this.#hashes.get(sha256);
    this.#hashes.delete(sha256);
    if (kept !== undefined && kept.bytes === size) return kept.hash;
    const hash = createHash('sha256');
    await hashFile(handle.fd, hash, size);
    return hash;
  }

  #keep(sha256: Sha256, hash: Hash, bytes: number): void {
    this.#hashes.set(sha256, { hash, bytes });
    const [oldest] = this.#hashes.keys();
    if (this.#hashes.size > HASHES_MAX && oldest !== undefined) this.#hashes.delete(oldest);
  }

  async #drop(sha256: Sha256): Promise<void> {
    this.#hashes.delete(sha256);
    await ifThere('dropping an upload', unlink(this.#path(sha256)));
  }

  #path(sha256: Sha256): string {
    return join(this.#folder, sha256);
  }
}

function badOffset(offset: number): SkeinError {
  return new SkeinError('bad-offset', `the upload continues at byte ${offset}`, { extra: { offset } });
}

export function mismatch(sha256: Sha256): SkeinError {
  return new SkeinError('digest-mismatch', `the bytes that came do not have the sha-256 ${sha256}`, {
    fix: 'send the file again from its start',
  });
}

function isWorthless(error: unknown): boolean {
  return error instanceof SkeinError && (error.code === 'digest-mismatch' || error.code === 'too-large');
}
