// Finds jobs in the replicated rows and tells of them, the way every route does.
import type { JobView, LogTail } from '../protocol/api/job.ts';
import type { ItemEntry, JobSpec } from '../protocol/api/jobspec.ts';
import { ATTEMPTS_SHOWN, failuresOf, itemOf, itemText, type JobRows, jobView } from '../protocol/api/jobview.ts';
import { SkeinError } from '../protocol/errors.ts';
import { isJobId, type JobId, type Sha256 } from '../protocol/ids.ts';
import { taskState } from '../protocol/state/queue.ts';
import { type JobRow, keys, type ProgressRow, type TaskRow, type TaskState } from '../protocol/state/rows.ts';
import { readJsonBlob } from './manifest.ts';
import type { MeshPort } from './port.ts';

const PREFIX_MIN = 4;
const ROWS_SCANNED_MAX = 10_000;
const ROWS_KEPT_MAX = 1000;
const TAIL_BYTES = 2048;
const CANDIDATES_SHOWN = 5;

export interface FoundJob {
  readonly job: JobRow;
  readonly progress: ProgressRow;
}

export class Jobs {
  readonly #mesh: MeshPort;
  /** The names in the manifest read last: whoever looks at one failure looks at the next. */
  #names: { readonly sha256: string; readonly of: readonly (string | null)[] } | undefined;

  constructor(mesh: MeshPort) {
    this.#mesh = mesh;
  }

  /** @param ref a whole id, or a prefix of at least four characters that only one job has. */
  async find(ref: string, project: string): Promise<FoundJob> {
    const found = this.get((isJobId(ref) ? ref : await this.#byPrefix(ref, project)) as JobId, project);
    if (found === undefined) throw noSuchJob(ref);
    return found;
  }

  get(jobId: JobId, project: string): FoundJob | undefined {
    const job = this.#mesh.view.get(keys.job(jobId));
    const progress = this.#mesh.view.get(keys.progress(jobId));
    return job === undefined || progress === undefined || job.project !== project ? undefined : { job, progress };
  }

  async #byPrefix(ref: string, project: string): Promise<JobId> {
    if (ref.length < PREFIX_MIN || !/^(j-)?[a-z2-7]{1,16}$/.test(ref)) throw noSuchJob(ref);
    const prefix = ref.startsWith('j-') ? ref : `j-${ref}`;
    const candidates: JobId[] = [];
    for await (const [, row] of this.#mesh.scan<JobRow>(`job/${prefix}`)) {
      if (row.project === project && candidates.push(row.jobId) > CANDIDATES_SHOWN) break;
    }
    const [only, ...others] = candidates;
    if (only === undefined) throw noSuchJob(ref);
    if (others.length > 0) {
      throw new SkeinError('state-conflict', `${ref} could be ${candidates.join(', ')}`, {
        fix: 'give more of the id',
        extra: { candidates },
      });
    }
    return only;
  }

  task(jobId: JobId, n: number): TaskRow | undefined {
    return this.#mesh.view.get(keys.task(jobId, n));
  }

  /** The state of a task, also of one without a row; undefined where the job is gone. */
  state(jobId: JobId, n: number): TaskState | undefined {
    const progress = this.#mesh.view.get(keys.progress(jobId));
    return progress === undefined ? undefined : taskState(progress, this.task(jobId, n), n);
  }

  /** The rows that an answer about the whole job needs: all where they are few. */
  async rows({ job, progress }: FoundJob): Promise<JobRows> {
    if (job.taskCount === 1) {
      const only = this.task(job.jobId, 1);
      return { job, progress, tasks: only === undefined ? [] : [only], whole: true };
    }
    const tasks: TaskRow[] = [];
    let scanned = 0;
    const wantsMore = progress.counts.failed > 0 || progress.counts.running > 0;
    const most = wantsMore ? ROWS_SCANNED_MAX : ATTEMPTS_SHOWN + 1;
    for await (const [, task] of this.#mesh.scan<TaskRow>(`task/${job.jobId}/`, { limit: most })) {
      const told = scanned++ < ATTEMPTS_SHOWN || task.state === 'failed' || task.open !== null;
      if (told && tasks.push(task) >= ROWS_KEPT_MAX) break;
    }
    return { job, progress, tasks, whole: scanned <= ATTEMPTS_SHOWN };
  }

  async view(found: FoundJob): Promise<JobView> {
    const rows = await this.rows(found);
    const failures = failuresOf(rows.tasks);
    return jobView(rows, {
      begun: (task) => this.#mesh.begun(task),
      now: this.#mesh.now(),
      waiting: found.progress.finishedAt === null ? this.#mesh.waiting(found.job.jobId) : null,
      itemOf: failures.length === 0 ? () => null : await this.names(found.job.spec),
      tails: await this.#tails(failures),
    });
  }

  /** The name of each task's item, read from the manifest blob where the spec holds none. */
  async names(spec: JobSpec): Promise<(n: number) => string | null> {
    const { items } = spec;
    if (items === undefined || !('manifest' in items)) return (n) => itemOf(spec, n);
    const { sha256 } = items.manifest;
    if (this.#names?.sha256 !== sha256) {
      const entries = await readJsonBlob<ItemEntry[]>(this.#mesh.blobs, sha256 as Sha256).catch(unreadable);
      this.#names = { sha256, of: entries.map((entry) => entry.name ?? itemText(entry.item)) };
    }
    const names = this.#names.of;
    return (n) => names[n - 1] ?? null;
  }

  async #tails(failed: readonly TaskRow[]): Promise<ReadonlyMap<number, LogTail>> {
    const tails = new Map<number, LogTail>();
    for (const task of failed) {
      const tail = await this.#tail(task);
      if (tail !== undefined) tails.set(task.n, tail);
    }
    return tails;
  }

  async #tail(task: TaskRow): Promise<LogTail | undefined> {
    const span = task.attempts.at(-1)?.stderr;
    if (span === null || span === undefined || span.sizeBytes === 0) return undefined;
    const sizeBytes = Math.min(span.sizeBytes, TAIL_BYTES);
    const offset = span.sizeBytes - sizeBytes;
    const chunks: Uint8Array[] = [];
    try {
      const source = await this.#mesh.blobs.readSpan({ blob: span.blob, offset: span.offset + offset, sizeBytes });
      for await (const chunk of source) chunks.push(chunk as Uint8Array);
    } catch (error) {
      // A job whose logs went first is still told of, without them.
      if (error instanceof SkeinError) return undefined;
      throw error;
    }
    return { offset, base64: Buffer.concat(chunks).toString('base64') };
  }
}

/** Names are for people: a manifest that is not there any more leaves numbers. */
function unreadable(error: unknown): ItemEntry[] {
  if (error instanceof SkeinError) return [];
  throw error;
}

const noSuchJob = (ref: string): SkeinError =>
  new SkeinError('not-found', ref === '' ? 'no job is named' : `there is no job ${ref.slice(0, 80)}`, {
    fix: 'skein list shows those there are',
  });
