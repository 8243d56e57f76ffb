// What every write of the store goes through: room on the disk, fsyncs of folders in groups, errors with a code.
import { open, statfs } from 'node:fs/promises';
import { SkeinError } from '../../protocol/errors.ts';
import type { Clock } from '../../protocol/time.ts';

/** How long a look at the disk is believed, less what was taken since. */
const LOOK_MS = 1000;

/** More than a log ever needs: a laptop that is 92 % full still runs scripts. */
const RESERVE_MAX_BYTES = 4 * 1024 ** 3;

/** Keeps the last part of a disk free. The figure is an estimate between two looks: others write there too. */
export class DiskReserve {
  readonly #folder: string;
  readonly #share: number;
  readonly #clock: Clock;
  #left = 0;
  #lookedAt = Number.NEGATIVE_INFINITY;

  /** @param share of the whole disk that stays free, 0 to 1 */
  constructor(folder: string, share: number, clock: Clock) {
    this.#folder = folder;
    this.#share = share;
    this.#clock = clock;
  }

  /** Fails with `disk-full`. */
  async take(bytes: number): Promise<void> {
    await this.expect(bytes);
    this.#left -= bytes;
  }

  /** As take, but takes nothing: says early what cannot end well. */
  async expect(bytes: number): Promise<void> {
    if (bytes > this.#left || this.#clock.monotonic() - this.#lookedAt > LOOK_MS) await this.#look();
    if (bytes <= this.#left) return;
    throw new SkeinError('disk-full', `no room for ${bytes} bytes more in ${this.#folder}`, {
      fix: `make room on that disk: ${Math.round(this.#share * 100)} % of it, at most 4 GiB, stay free for the log`,
      retryAfterMs: 10_000,
    });
  }

  async #look(): Promise<void> {
    const disk = await onDisk('looking for room', statfs(this.#folder));
    const kept = Math.min(disk.blocks * disk.bsize * this.#share, RESERVE_MAX_BYTES);
    this.#left = disk.bavail * disk.bsize - kept;
    this.#lookedAt = this.#clock.monotonic();
  }
}

interface FolderState {
  changes: number;
  synced: number;
  running: Promise<void> | undefined;
}

/** Makes changes of folders durable. While one fsync of a folder runs, the changes made meanwhile wait for one more, together. */
export class FolderSync {
  readonly #folders = new Map<string, FolderState>();
  readonly #durable: boolean;

  /** @param durable false where a power cut may take everything: then nothing is waited for. */
  constructor(durable: boolean) {
    this.#durable = durable;
  }

  /** Call it before and after a change: whoever sees a half-made one then waits for an fsync as well. */
  changed(folder: string): void {
    this.#state(folder).changes++;
  }

  /** Resolves once all that was visible in the folder at the call is durable; at once where nothing changed. */
  async sync(folder: string): Promise<void> {
    if (!this.#durable) return;
    const state = this.#state(folder);
    const wanted = state.changes;
    while (state.synced < wanted) {
      state.running ??= fsyncFolder(folder, state).finally(() => {
        state.running = undefined;
      });
      await state.running;
    }
  }

  #state(folder: string): FolderState {
    let state = this.#folders.get(folder);
    if (state === undefined) {
      // One change at first sight: a node killed between rename and fsync may have left one.
      state = { changes: 1, synced: 0, running: undefined };
      this.#folders.set(folder, state);
    }
    return state;
  }
}

async function fsyncFolder(folder: string, state: FolderState): Promise<void> {
  const upTo = state.changes;
  const handle = await onDisk('opening a folder', open(folder, 'r'));
  try {
    await onDisk('making a folder durable', handle.sync());
  } finally {
    await handle.close();
  }
  state.synced = upTo;
}

/** The `code` of a failed system call, or undefined. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && 'syscall' in error && 'code' in error ? String(error.code) : undefined;
}

/** Gives a failed system call of the store its code: `disk-full`, else `folder-unusable`. */
export async function onDisk<T>(doing: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    throw diskError(doing, cause);
  }
}

/** As onDisk, for a call that is made at once. */
export function atOnce<T>(doing: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw diskError(doing, cause);
  }
}

export function diskError(doing: string, cause: unknown): unknown {
  const code = systemCode(cause);
  if (code === undefined) return cause;
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  const said = full ? `the disk is full (${doing})` : `${doing}: ${(cause as Error).message}`;
  return new SkeinError(full ? 'disk-full' : 'folder-unusable', said, {
    cause,
    ...(full ? { fix: 'make room on that disk', retryAfterMs: 10_000 } : {}),
  });
}

/** Undefined where the file or folder is not there. */
export async function ifThere<T>(doing: string, work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw diskError(doing, error);
  }
}
