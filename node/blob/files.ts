// The blobs of one node as files named by their hash. A blob is written under a temporary name and fsynced before it gets
// its own, so what has a blob's name is whole. One process has the folder to itself (the data folder's lock).
// Calls that look at or name a file are made at once: a thread for each would cost ten times what they do.
import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  constants,
  createReadStream,
  fstatSync,
  fsync,
  futimesSync,
  linkSync,
  openSync,
  read,
  renameSync,
  statSync,
} from 'node:fs';
import { chmod, copyFile, mkdir, open, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { SkeinError } from '../../protocol/errors.ts';
import { isSha256, type Sha256 } from '../../protocol/ids.ts';
import type { Clock } from '../../protocol/time.ts';
import { chunkMaxBytes } from '../../protocol/wire/blob.ts';
import type { Faults } from '../faults.ts';
import { atOnce, DiskReserve, diskError, FolderSync, ifThere, onDisk, systemCode } from './disk.ts';
import { blobFile, blobsFolder } from './path.ts';
import type { BlobStat, BlobStore, Kept } from './port.ts';
import { hashFile, pour } from './pour.ts';
import { openRegular, unreadable } from './regular.ts';
import { mismatch, Uploads } from './uploads.ts';

/** How exactly "last used" is kept: a blob seen within this time is not touched again. */
const TOUCH_MS = 60_000;
const { COPYFILE_EXCL, COPYFILE_FICLONE } = constants;

export interface FileBlobStoreDeps {
  readonly clock: Clock;
  readonly faults?: Faults;
}

const sync = promisify(fsync);
const readInto = promisify(read);

export interface FileBlobStoreOptions {
  /** Made where it is missing. Attempts' folders must be on the same disk for `adopt` to be free of copying. */
  readonly folder: string;
  /** The part of the disk that blobs leave free, 0 to 1: 0.1 on a gateway, whose log needs it; 0 on a worker. */
  readonly reserve: number;
  /**
   * True on a gateway: what is here outlives a power cut. False on a worker, whose store is a cache: nothing is fsynced,
   * and it is cleared after a boot.
   */
  readonly durable: boolean;
}

export class FileBlobStore implements BlobStore {
  readonly #clock: Clock;
  readonly #faults: Faults | undefined;
  readonly #folder: string;
  readonly #blobs: string;
  readonly #temporary: string;
  readonly #uploadFolder: string;
  readonly #reserve: DiskReserve;
  readonly #folders: FolderSync;
  readonly #durable: boolean;
  readonly #uploads: Uploads;
  #names = 0;
  #usage: { count: number; bytes: number } | undefined;

  constructor(deps: FileBlobStoreDeps, options: FileBlobStoreOptions) {
    this.#clock = deps.clock;
    this.#faults = deps.faults;
    this.#durable = options.durable;
    this.#folders = new FolderSync(options.durable);
    this.#folder = options.folder;
    this.#blobs = blobsFolder(options.folder);
    this.#temporary = join(this.#blobs, 'tmp');
    this.#uploadFolder = join(this.#blobs, 'uploads');
    this.#reserve = new DiskReserve(this.#blobs, options.reserve, deps.clock);
    this.#uploads = new Uploads(
      {
        clock: deps.clock,
        reserve: this.#reserve,
        publish: (path, blob) => this.#publish(path, blob),
        sync: (handle) => this.#fsync(handle.fd),
      },
      this.#uploadFolder,
    );
  }

  async start(): Promise<void> {
    // Whatever a killed process was writing; its name says nothing about what is in it.
    await onDisk('clearing temporary files', rm(this.#temporary, { recursive: true, force: true }));
    await onDisk('making the folder of blobs', mkdir(this.#temporary, { recursive: true, mode: 0o700 }));
    await onDisk('making the folder of uploads', mkdir(this.#uploadFolder, { recursive: true, mode: 0o700 }));
    await this.#folders.sync(join(this.#blobs, '..'));
    await this.#makeFolders();
  }

  async stat(sha256: Sha256): Promise<BlobStat | undefined> {
    const look = () => statSync(this.#path(sha256), { throwIfNoEntry: false });
    const found = atOnce('looking for a blob', look);
    if (found === undefined || !(await this.#touch(sha256, found.mtimeMs))) return undefined;
    // Seen is not yet durable: its folder's fsync may still be under way, or was cut off by a kill.
    await this.#folders.sync(this.#folderOf(sha256));
    return { sha256, sizeBytes: found.size };
  }

  async put(
    source: AsyncIterable<Uint8Array>,
    expect: { sha256?: Sha256; maxBytes?: number },
    signal?: AbortSignal,
  ): Promise<BlobStat> {
    const here = expect.sha256 === undefined ? undefined : await this.stat(expect.sha256);
    if (here !== undefined) return here;
    // Said at once: a client that was refused need not send it all first.
    if (expect.maxBytes !== undefined) await this.#reserve.expect(expect.maxBytes);
    return this.#throughTemporary(async (path) => {
      const handle = await onDisk('making a temporary file', open(path, 'wx', 0o600));
      try {
        const hash = createHash('sha256');
        const maxBytes = expect.maxBytes ?? Number.POSITIVE_INFINITY;
        const sizeBytes = await pour(source, { handle, position: 0, hash, reserve: this.#reserve, maxBytes }, signal);
        const sha256 = hash.digest('hex') as Sha256;
        if (expect.sha256 !== undefined && sha256 !== expect.sha256) throw mismatch(expect.sha256);
        this.#setUsed(handle.fd);
        await this.#fsync(handle.fd);
        return { sha256, sizeBytes };
      } finally {
        await handle.close();
      }
    });
  }

  async adopt(path: string, options: { readonly keepSource: boolean }): Promise<BlobStat> {
    const fd = openRegular(path);
    try {
      if (options.keepSource) return await this.#copyIn(path);
      const blob = await this.#hashFinal(path, fd);
      const here = await this.stat(blob.sha256);
      if (here !== undefined) return here;
      // Another name of the file, out of our sight, would let it change after it was hashed.
      const { nlink } = fstatSync(fd);
      const linked = nlink === 1 && (await this.#linkIn(path, fd, blob));
      return linked ? blob : await this.#copyIn(path);
    } finally {
      closeSync(fd);
    }
  }

  async read(sha256: Sha256, range?: { readonly offset: number; readonly sizeBytes: number }): Promise<Readable> {
    const { fd, size } = await this.#open(sha256, range);
    const offset = range?.offset ?? 0;
    const sizeBytes = range?.sizeBytes ?? size;
    if (sizeBytes === 0) {
      closeSync(fd);
      return Readable.from([]);
    }
    const bounds = { start: offset, end: offset + sizeBytes - 1, highWaterMark: chunkMaxBytes };
    return createReadStream('', { fd, ...bounds });
  }

  async chunk(sha256: Sha256, offset: number, maxBytes: number): Promise<Uint8Array> {
    const { fd, size } = await this.#open(sha256, { offset, sizeBytes: 0 });
    try {
      return await readSpan(fd, offset, Math.min(maxBytes, chunkMaxBytes, size - offset));
    } finally {
      closeSync(fd);
    }
  }

  async place(
    sha256: Sha256,
    path: string,
    options: { readonly mode: number; readonly offset?: number; readonly sizeBytes?: number },
  ): Promise<void> {
    try {
      if (options.offset === undefined && options.sizeBytes === undefined) await this.#placeWhole(sha256, path);
      else await this.#placeSpan(sha256, path, options);
      chmodSync(path, options.mode);
    } catch (error) {
      if (systemCode(error) === 'EEXIST') throw new SkeinError('state-conflict', `there is something at ${path}`);
      throw diskError(`placing ${path}`, error);
    }
  }

  uploadOffset(sha256: Sha256): Promise<number> {
    return this.#uploads.offset(sha256);
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
    return this.#uploads.append({ sha256, offset, totalBytes }, source, signal);
  }

  expireUploads(unusedSince: number): Promise<number> {
    return this.#uploads.expire(unusedSince);
  }

  async *list(): AsyncIterable<BlobStat & { readonly usedAt: number }> {
    const seen = { count: 0, bytes: 0 };
    for (const prefix of await onDisk('listing blobs', readdir(this.#blobs))) {
      if (!/^[0-9a-f]{2}$/.test(prefix)) continue;
      const folder = join(this.#blobs, prefix);
      for (const name of await onDisk('listing blobs', readdir(folder))) {
        if (!isSha256(name)) continue;
        const found = await ifThere('looking at a blob', stat(join(folder, name)));
        if (found === undefined) continue;
        seen.count++;
        seen.bytes += found.size;
        yield { sha256: name, sizeBytes: found.size, usedAt: found.mtimeMs };
      }
    }
    this.#usage = seen;
  }

  async remove(sha256: Sha256, options?: { readonly unusedSince: number }): Promise<boolean> {
    const path = this.#path(sha256);
    const dropped = this.#newTemporary();
    try {
      // Both in one turn: a `stat` that answers "it is here" has touched the blob before, or finds it gone after.
      const found = statSync(path);
      if (options !== undefined && found.mtimeMs >= options.unusedSince) return false;
      renameSync(path, dropped);
      this.#count(-1, -found.size);
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return false;
      throw diskError('removing a blob', error);
    }
    await onDisk('removing a blob', rm(dropped));
    return true;
  }

  async evict(maxBytes: number, keep: Kept): Promise<{ readonly count: number; readonly bytes: number }> {
    const found: (BlobStat & { readonly usedAt: number })[] = [];
    for await (const blob of this.list()) found.push(blob);
    found.sort((a, b) => a.usedAt - b.usedAt);
    let over = found.reduce((sum, blob) => sum + blob.sizeBytes, 0) - maxBytes;
    const gone = { count: 0, bytes: 0 };
    for (const { sha256, sizeBytes, usedAt } of found) {
      if (over <= 0) break;
      if (keep.has(sha256) || !(await this.remove(sha256, { unusedSince: usedAt + 1 }))) continue;
      over -= sizeBytes;
      gone.count++;
      gone.bytes += sizeBytes;
    }
    return gone;
  }

  async usage(): Promise<{ readonly count: number; readonly bytes: number }> {
    if (this.#usage === undefined) for await (const _ of this.list());
    return { ...(this.#usage ?? { count: 0, bytes: 0 }) };
  }

  #folderOf(sha256: Sha256): string {
    return dirname(this.#path(sha256));
  }

  #path(sha256: Sha256): string {
    return blobFile(this.#folder, sha256);
  }

  #newTemporary(): string {
    return join(this.#temporary, String(++this.#names));
  }

  async #throughTemporary(write: (path: string) => Promise<BlobStat>): Promise<BlobStat> {
    const path = this.#newTemporary();
    try {
      const blob = await write(path);
      await this.#publish(path, blob);
      return blob;
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    }
  }

  /** Copies a file that stays another's: by reflink where the disk can. */
  #copyIn(path: string): Promise<BlobStat> {
    return this.#throughTemporary(async (temporary) => {
      const { size } = await onDisk('looking at a file', stat(path));
      await this.#reserve.take(size);
      await onDisk('copying a file in', copyFile(path, temporary, COPYFILE_EXCL | COPYFILE_FICLONE));
      await onDisk('copying a file in', chmod(temporary, 0o600));
      const handle = await onDisk('opening a copy', open(temporary, 'r+'));
      try {
        this.#setUsed(handle.fd);
        const synced = this.#fsync(handle.fd);
        synced.catch(() => undefined); // met below
        const hash = createHash('sha256');
        const sizeBytes = await hashFile(handle.fd, hash, fstatSync(handle.fd).size).finally(() => synced);
        return { sha256: hash.digest('hex') as Sha256, sizeBytes };
      } finally {
        await handle.close();
      }
    });
  }

  /** Hashes a file that nobody writes to any more; it goes to disk meanwhile. */
  async #hashFinal(path: string, fd: number): Promise<BlobStat> {
    const before = fstatSync(fd);
    const hash = createHash('sha256');
    const synced = this.#fsync(fd);
    synced.catch(() => undefined); // met below
    const sizeBytes = await hashFile(fd, hash, before.size).finally(() => synced);
    const after = fstatSync(fd);
    const isSame = after.mtimeMs === before.mtimeMs && after.size === before.size && sizeBytes === before.size;
    if (!isSame) throw unreadable(path, 'it changed meanwhile');
    return { sha256: hash.digest('hex') as Sha256, sizeBytes };
  }

  /**
   * Gives the file a second name, its blob's. The first stays until the attempt's folder goes: a node killed half way
   * through an attempt's outputs finds them all again. @returns false where disk or owner do not allow it
   */
  async #linkIn(path: string, fd: number, blob: BlobStat): Promise<boolean> {
    const folder = this.#folderOf(blob.sha256);
    await this.#faults?.reach('blob.rename.before');
    this.#folders.changed(folder);
    try {
      this.#setUsed(fd);
      linkSync(path, this.#path(blob.sha256));
    } catch (error) {
      if (error instanceof SkeinError || systemCode(error) !== 'EEXIST') return false;
    }
    await this.#published(folder, blob.sizeBytes);
    return true;
  }

  async #publish(path: string, blob: BlobStat): Promise<void> {
    const folder = this.#folderOf(blob.sha256);
    await this.#faults?.reach('blob.rename.before');
    this.#folders.changed(folder);
    await onDisk('naming a blob', rename(path, this.#path(blob.sha256)));
    await this.#published(folder, blob.sizeBytes);
  }

  async #published(folder: string, sizeBytes: number): Promise<void> {
    this.#folders.changed(folder);
    this.#count(1, sizeBytes);
    await this.#faults?.reach('blob.rename.after');
    await this.#folders.sync(folder);
    await this.#faults?.reach('blob.folder.after');
  }

  #count(blobs: number, bytes: number): void {
    if (this.#usage === undefined) return;
    this.#usage.count += blobs;
    this.#usage.bytes += bytes;
  }

  /** Forgets everything: after a boot the files of a store that is not durable may be cut. Before `start`. */
  async clear(): Promise<void> {
    await onDisk('clearing the cache', rm(this.#blobs, { recursive: true, force: true }));
  }

  /** All 256 at the first start: one fsync then, instead of one more for each of the first blobs. */
  async #makeFolders(): Promise<void> {
    const names = Array.from({ length: 256 }, (_, n) => n.toString(16).padStart(2, '0'));
    const there = new Set(await onDisk('listing the folders of blobs', readdir(this.#blobs)));
    const missing = names.filter((name) => !there.has(name));
    const made = missing.map((name) => mkdir(join(this.#blobs, name), { mode: 0o700 }));
    await onDisk('making the folders of blobs', Promise.all(made));
    this.#folders.changed(this.#blobs);
    await this.#folders.sync(this.#blobs);
  }

  async #fsync(fd: number): Promise<void> {
    if (!this.#durable) return;
    await this.#faults?.reach('blob.fsync.before');
    await onDisk('making a blob durable', sync(fd));
    await this.#faults?.reach('blob.fsync.after');
  }

  #setUsed(fd: number): void {
    const seconds = this.#clock.now() / 1000;
    futimesSync(fd, seconds, seconds);
  }

  /** @returns false where the blob went meanwhile */
  async #touch(sha256: Sha256, usedAt: number): Promise<boolean> {
    const now = this.#clock.now();
    if (Math.abs(now - usedAt) <= TOUCH_MS) return true;
    const done = await ifThere(
      'noting the time of use',
      utimes(this.#path(sha256), now / 1000, now / 1000).then(() => true),
    );
    return done ?? false;
  }

  /** Opened for reading, touched, the range judged. */
  async #open(
    sha256: Sha256,
    range: { readonly offset: number; readonly sizeBytes: number } | undefined,
  ): Promise<{ fd: number; size: number }> {
    const fd = openBlob(this.#path(sha256));
    if (fd === undefined) throw notHere(sha256);
    try {
      const { size, mtimeMs } = fstatSync(fd);
      await this.#touch(sha256, mtimeMs);
      if (range !== undefined) judgeRange(sha256, size, range);
      return { fd, size };
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  async #placeWhole(sha256: Sha256, path: string): Promise<void> {
    const found = await this.stat(sha256);
    if (found === undefined) throw notHere(sha256);
    await copyFile(this.#path(sha256), path, COPYFILE_EXCL | COPYFILE_FICLONE);
  }

  async #placeSpan(
    sha256: Sha256,
    path: string,
    span: { readonly offset?: number; readonly sizeBytes?: number },
  ): Promise<void> {
    const offset = span.offset ?? 0;
    const { fd, size } = await this.#open(sha256, { offset, sizeBytes: span.sizeBytes ?? 0 });
    try {
      const end = offset + (span.sizeBytes ?? size - offset);
      const target = await open(path, 'wx', 0o600);
      try {
        for (let at = offset; at < end; at += chunkMaxBytes) {
          await writeFile(target, await readSpan(fd, at, Math.min(chunkMaxBytes, end - at)));
        }
      } catch (error) {
        await rm(path, { force: true });
        throw error;
      } finally {
        await target.close();
      }
    } finally {
      closeSync(fd);
    }
  }
}

/** Undefined where there is none. */
function openBlob(path: string): number | undefined {
  try {
    return openSync(path, 'r');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw diskError('opening a blob', error);
  }
}

export function notHere(sha256: Sha256): SkeinError {
  return new SkeinError('not-found', `the blob ${sha256} is not here`);
}

export function judgeRange(sha256: Sha256, size: number, range: { offset: number; sizeBytes: number }): void {
  if (range.offset >= 0 && range.sizeBytes >= 0 && range.offset + range.sizeBytes <= size) return;
  throw new SkeinError(
    'range-not-satisfiable',
    `${range.sizeBytes} bytes from ${range.offset} lie outside the ${size} bytes of the blob ${sha256}`,
    { extra: { sizeBytes: size } },
  );
}

async function readSpan(fd: number, offset: number, sizeBytes: number): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafeSlow(sizeBytes);
  let done = 0;
  while (done < sizeBytes) {
    const { bytesRead } = await onDisk('reading a blob', readInto(fd, bytes, done, sizeBytes - done, offset + done));
    if (bytesRead === 0) throw new SkeinError('folder-unusable', 'a blob is shorter than it was');
    done += bytesRead;
  }
  return bytes;
}
