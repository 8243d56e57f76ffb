// Brings the results of tasks to their places: of one task into the output folder itself, of a batch into OUT/ITEM/
// with each task's stdout and stderr beside its files.
import { join } from 'node:path';
import type { OutputEntry, OutputManifest } from '../../../protocol/api/job.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import type { Jobs } from '../mesh.ts';
import { eachOf } from '../upload/hash.ts';
import { writing } from './download.ts';
import type { JobFiles } from './job-files.ts';
import { readNear } from './near-blobs.ts';
import { type Placed, Placer } from './place.ts';
import type { WrittenRecord } from './record.ts';

export interface FetchedFile {
  readonly task: number;
  /** As the script named it. */
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string | null;
  readonly placed: Placed;
}

export interface FetchOptions {
  readonly jobId: string;
  /** Absolute. */
  readonly outputDir: string;
  readonly isBatch: boolean;
  readonly overwrite: boolean;
  /** The data folder of a node of the mesh on this machine, or null. */
  readonly dataFolder: string | null;
  /** Of the files of one task. */
  readonly onProgress?: (files: number, of: number) => void;
  /** Of the files of each task. */
  readonly wants: (path: string) => boolean;
  readonly signal: AbortSignal;
}

const FILES_AT_ONCE = 4;
/** Python makes its caches anew; they are no result. */
const isCache = (path: string): boolean => path.split('/').includes('__pycache__');

export class Fetcher {
  readonly #jobs: Jobs;
  readonly #files: JobFiles;
  readonly #options: FetchOptions;
  readonly #placer: Placer;

  constructor(jobs: Jobs, files: JobFiles, record: WrittenRecord, options: FetchOptions) {
    this.#jobs = jobs;
    this.#files = files;
    this.#options = options;
    this.#placer = new Placer({
      jobId: options.jobId,
      overwrite: options.overwrite,
      uploaded: (path) => files.uploaded.get(path),
      record,
      outside: files.outside,
    });
  }

  folderOf(task: number): string {
    const { outputDir, isBatch } = this.#options;
    return isBatch ? join(outputDir, this.#files.nameOf(task)) : outputDir;
  }

  /** One that has no place here is told as `failed` among the others. Fails with `transfer-failed`, `disk-full`, `gone`, … */
  async fetchTask(task: number): Promise<readonly FetchedFile[]> {
    const { jobId, signal, wants, isBatch, onProgress } = this.#options;
    const manifest = await this.#jobs.outputs(jobId, task, signal);
    const wanted = (kind: OutputEntry['kind']): readonly OutputEntry[] =>
      manifest.items.filter((entry) => entry.kind === kind && wants(entry.path) && !isCache(entry.path));
    const fetched: FetchedFile[] = [];
    // Links last, so that no file of one result is written through its own links; the modes of folders after all, for
    // one may forbid to write there.
    const finishFolders = await this.#makeFolders(task, wanted('folder'), fetched);
    const files = wanted('file');
    await eachOf(
      files,
      async (entry) => {
        fetched.push(await this.#fetch(task, entry));
        onProgress?.(fetched.length, files.length);
      },
      FILES_AT_ONCE,
    );
    for (const link of wanted('link')) fetched.push(await this.#fetch(task, link));
    for (const finish of finishFolders) await finish();
    if (isBatch) fetched.push(...(await this.#fetchLogs(task, manifest)));
    return fetched.sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  /** What is left to do to each folder, the innermost first. */
  async #makeFolders(
    task: number,
    entries: readonly OutputEntry[],
    fetched: FetchedFile[],
  ): Promise<readonly (() => Promise<void>)[]> {
    const left: (() => Promise<void>)[] = [];
    for (const entry of entries) {
      const place = join(this.folderOf(task), entry.path);
      const made = await this.#placer.placeFolder(entry, this.folderOf(task)).catch(unplaced(place));
      if (typeof made === 'function') left.unshift(made);
      else if (made !== undefined) fetched.push({ task, path: entry.path, bytes: 0, sha256: null, placed: made });
    }
    return left;
  }

  async #fetch(task: number, entry: OutputEntry): Promise<FetchedFile> {
    const { jobId, dataFolder, signal } = this.#options;
    const ask = (offset: number) => this.#jobs.readOutput(jobId, task, entry.path, offset, signal);
    const open = async (offset: number): Promise<AsyncIterable<Uint8Array>> =>
      offset > 0 && offset === entry.bytes
        ? nothing()
        : readNear({ folder: dataFolder, sha256: entry.sha256, offset }, () => ask(offset));
    const folder = this.folderOf(task);
    const placed = await this.#placer.place(entry, folder, open).catch(unplaced(join(folder, entry.path)));
    return { task, path: entry.path, bytes: entry.bytes ?? 0, sha256: entry.sha256, placed };
  }

  /**
   * `stdout` and `stderr`, with `.skein` appended where the script wrote a file of that name. No outputs of the script:
   * only those that could not be placed are told.
   */
  async #fetchLogs(task: number, manifest: OutputManifest): Promise<readonly FetchedFile[]> {
    const { jobId, signal } = this.#options;
    const failed: FetchedFile[] = [];
    for (const [stream, name, sizeBytes] of [
      ['out', 'stdout', manifest.stdoutBytes],
      ['err', 'stderr', manifest.stderrBytes],
    ] as const) {
      const free = manifest.items.some(({ path }) => path === name) ? `${name}.skein` : name;
      const bytes = sizeBytes === 0 ? nothing() : await this.#jobs.readLog(jobId, task, { stream }, 0, signal);
      const place = join(this.folderOf(task), free);
      const placed = await this.#placer.placeStream(place, bytes).catch(unplaced(place));
      if (placed.kind === 'failed') failed.push({ task, path: free, bytes: 0, sha256: null, placed });
    }
    return failed;
  }
}

/** What this disk refuses to take at one place must not hold back the results that have others. */
function unplaced(path: string): (error: unknown) => Placed {
  return (cause) => {
    const error = writing(path, cause);
    if (!(error instanceof SkeinError) || error.code !== 'file-unreadable') throw error;
    return { path, bytes: 0, kind: 'failed', note: error.message };
  };
}

async function* nothing(): AsyncIterable<Uint8Array> {
  // A part file that is whole already, an empty log: nothing is left to ask for.
}
