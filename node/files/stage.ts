// Builds the folder that an attempt runs in, from blobs. Inputs come from outside: none may lie, or point, outside of it.
import { chmodSync, lstatSync, mkdirSync, symlinkSync, utimesSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { INPUT_MODE } from '../../protocol/api/defaults.ts';
import type { InputFile } from '../../protocol/api/jobspec.ts';
import { SkeinError } from '../../protocol/errors.ts';
import type { Sha256 } from '../../protocol/ids.ts';
import type { Clock } from '../../protocol/time.ts';
import { judgeInput } from '../../protocol/wire/manifest.ts';
import { onDisk, systemCode } from '../blob/disk.ts';
import type { BlobStore } from '../blob/port.ts';
import { type AttemptFolder, attemptFolder, FOLDER_MODE, removeAttemptFolder } from './attempt-folder.ts';
import { breaths } from './breaths.ts';
import { type Known, stampOf, writeSnapshot } from './snapshot.ts';
import type { SpareFolders } from './spare-folders.ts';
import { Window } from './window.ts';

const PLACED_AT_ONCE = 8;
const INPUTS_MAX = 250_000;

export interface StageDeps {
  readonly store: BlobStore;
  readonly clock: Clock;
  readonly spare?: SpareFolders;
}

export interface StageRequest {
  /** Made anew; what a broken-off staging left there goes. */
  readonly folder: string;
  /** The script is one of them. Their blobs must be in the store and be kept from eviction meanwhile. */
  readonly inputs: Iterable<InputFile> | AsyncIterable<InputFile>;
  readonly stdin: Sha256 | null;
}

/**
 * Fails with `invalid-request` (a path that leads out, two inputs in one place), `not-found` (a blob that is not here),
 * `disk-full`, `folder-unusable`.
 */
export async function stageAttempt(
  deps: StageDeps,
  request: StageRequest,
  signal?: AbortSignal,
): Promise<AttemptFolder> {
  const places = attemptFolder(request.folder);
  await onDisk('making the folder of an attempt', makeFolders(places, deps.spare));
  const stage = new Stage(deps, places.workFolder);
  await onDisk('placing the inputs of an attempt', stage.fill(request.inputs, signal));
  if (request.stdin !== null) await deps.store.place(request.stdin, places.stdinFile, { mode: 0o600 });
  await onDisk('keeping the snapshot of an attempt', writeSnapshot(places.snapshotFile, stage.snapshot));
  return places;
}

/** A handful of calls that never wait for the disk: a thread for each would cost more than they do. */
async function makeFolders(places: AttemptFolder, spare: SpareFolders | undefined): Promise<void> {
  if (spare?.take(places.folder) === true) return;
  try {
    mkdirSync(places.folder, { mode: 0o700 });
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
    // A staging that was broken off left it.
    await removeAttemptFolder(places.folder);
    mkdirSync(places.folder, { mode: 0o700 });
  }
  for (const folder of [places.workFolder, places.homeFolder, places.tmpFolder]) {
    mkdirSync(folder, { mode: FOLDER_MODE });
  }
}

class Stage {
  readonly snapshot = new Map<string, Known>();
  readonly #store: BlobStore;
  readonly #work: string;
  /** What each path is or will be: `folder`, or a file's or link's content. Judged before the disk is touched. */
  readonly #taken = new Map<string, string>();
  readonly #window = new Window(PLACED_AT_ONCE);
  readonly #changedAt: number;

  constructor(deps: StageDeps, work: string) {
    this.#store = deps.store;
    this.#work = work;
    // Inputs are as old as the second before: a change within one tick of the file system's clock then still shows.
    this.#changedAt = Math.floor(deps.clock.now() / 1000) - 1;
  }

  async fill(inputs: StageRequest['inputs'], signal: AbortSignal | undefined): Promise<void> {
    try {
      const breath = breaths();
      let count = 0;
      for await (const input of inputs) {
        signal?.throwIfAborted();
        await breath();
        if (++count > INPUTS_MAX) throw new SkeinError('too-large', `more than ${INPUTS_MAX} inputs`);
        await this.#take(judgeInput(input));
      }
      await this.#window.end();
    } finally {
      await this.#window.idle();
    }
  }

  async #take(input: InputFile): Promise<void> {
    if (input.folder === true) {
      this.#makeFolder(input.path);
      if (input.mode === undefined) return;
      const mode = input.mode | 0o700;
      chmodSync(this.#at(input.path), mode);
      this.snapshot.set(input.path, { kind: 'folder', mode });
      return;
    }
    this.#makeFolder(dirname(input.path));
    const content = `${input.sha256 ?? ''} ${input.mode ?? INPUT_MODE} ${input.link ?? ''}`;
    const there = this.#taken.get(input.path);
    if (there === content) return;
    if (there !== undefined) throw twice(input.path);
    this.#taken.set(input.path, content);
    await this.#window.add(() => this.#place(input));
  }

  #makeFolder(path: string): void {
    if (path === '.') return;
    const there = this.#taken.get(path);
    if (there === 'folder') return;
    // A file, or a link: what is put below a link would land where it points to.
    if (there !== undefined) throw twice(path);
    this.#makeFolder(dirname(path));
    this.#taken.set(path, 'folder');
    // Not recursive: where the disk takes two names for one, this fails rather than going through a link.
    mkdirSync(this.#at(path), { mode: FOLDER_MODE });
    // Said again, for the node's own umask must not show.
    chmodSync(this.#at(path), FOLDER_MODE);
    this.snapshot.set(path, { kind: 'folder', mode: FOLDER_MODE });
  }

  async #place(input: InputFile): Promise<void> {
    const path = this.#at(input.path);
    if (input.link !== undefined) {
      symlinkSync(input.link, path);
      this.snapshot.set(input.path, { kind: 'link', target: input.link });
      return;
    }
    const sha256 = input.sha256 as Sha256;
    await this.#store.place(sha256, path, { mode: input.mode ?? INPUT_MODE });
    utimesSync(path, this.#changedAt, this.#changedAt);
    const stats = lstatSync(path, { bigint: true });
    this.snapshot.set(input.path, {
      kind: 'file',
      sha256,
      sizeBytes: Number(stats.size),
      mode: Number(stats.mode) & 0o777,
      stamp: stampOf(stats),
    });
  }

  #at(path: string): string {
    return join(this.#work, path);
  }
}

function twice(path: string): SkeinError {
  return new SkeinError('invalid-request', `two inputs meet at ${JSON.stringify(path)}`);
}
