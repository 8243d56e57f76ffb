// The live queue, indexed in memory: every job that has not ended, in the order in which its tasks go out.
// Every gateway keeps it, so that a new leader starts with it and any gateway can say why a job waits.
import { jobDefaults } from '../../protocol/api/defaults.ts';
import { type JobId, makeFence, type PeerId } from '../../protocol/ids.ts';
import { headOf } from '../../protocol/state/queue.ts';
import { type JobRow, keys, type ProgressRow } from '../../protocol/state/rows.ts';
import type { AppliedEntry, ReplicatedLog } from '../consensus/log.ts';
import type { OpenJob } from '../policy/placement.ts';

export interface LiveJob {
  readonly job: JobRow;
  readonly progress: ProgressRow;
  /** Wall time since when tasks of it wait without one of it running. */
  readonly waitingSince: number;
}

/** The jobs of one priority that have tasks to give, in order of arrival; those with tasks that came back go first. */
interface Rank {
  readonly returned: Map<JobId, LiveJob>;
  readonly queued: Map<JobId, LiveJob>;
}

export class LiveJobs {
  readonly #log: Pick<ReplicatedLog, 'view' | 'scan'>;
  readonly #jobs = new Map<JobId, LiveJob>();
  readonly #ranks = new Map<number, Rank>();
  #priorities: number[] = [];

  constructor(log: Pick<ReplicatedLog, 'view' | 'scan'>) {
    this.#log = log;
  }

  /** Reads all live jobs in order of arrival, at start and when the rows were replaced. */
  async load(): Promise<void> {
    this.#jobs.clear();
    this.#ranks.clear();
    this.#priorities = [];
    const found: { jobId: JobId; index: number }[] = [];
    for await (const [key, row] of this.#log.scan<{ readonly index: number }>('live/')) {
      found.push({ jobId: key.slice('live/'.length) as JobId, index: row.index });
    }
    for (const { jobId } of found.sort((a, b) => a.index - b.index)) this.#refresh(jobId, undefined);
  }

  /** Takes over what the applied entries changed. */
  onApplied(entries: readonly AppliedEntry[]): void {
    const touched = new Map<JobId, number>();
    for (const { command, outcome, events } of entries) {
      if (outcome.kind !== 'done') continue;
      for (const { jobId } of events) if (jobId !== null) touched.set(jobId, command.at);
      if ('jobId' in command) touched.set(command.jobId, command.at);
    }
    for (const [jobId, at] of touched) this.#refresh(jobId, at);
  }

  /** @param at of the command that changed the job; undefined where it is read at start */
  #refresh(jobId: JobId, at: number | undefined): void {
    const job = this.#log.view.get(keys.job(jobId));
    const progress = this.#log.view.get(keys.progress(jobId));
    const before = this.#jobs.get(jobId);
    if (job === undefined || progress === undefined || progress.finishedAt !== null) {
      if (before !== undefined) this.#forget(before);
      return;
    }
    const live: LiveJob = { job, progress, waitingSince: waitingSince(job, progress, before, at) };
    this.#jobs.set(jobId, live);
    this.#file(live);
  }

  #forget(live: LiveJob): void {
    this.#jobs.delete(live.job.jobId);
    const rank = this.#ranks.get(live.job.spec.priority ?? jobDefaults.priority);
    rank?.returned.delete(live.job.jobId);
    rank?.queued.delete(live.job.jobId);
  }

  #file(live: LiveJob): void {
    const { jobId } = live.job;
    const rank = this.#rank(live.job.spec.priority ?? jobDefaults.priority);
    const returned = live.progress.returned.length > 0;
    const queued = live.progress.counts.queued > 0;
    // A Map keeps the place of a key that is set again, so a job keeps its turn while it is worked on.
    if (queued && returned) rank.returned.set(jobId, live);
    else rank.returned.delete(jobId);
    if (queued) rank.queued.set(jobId, live);
    else rank.queued.delete(jobId);
  }

  #rank(priority: number): Rank {
    const known = this.#ranks.get(priority);
    if (known !== undefined) return known;
    const rank: Rank = { returned: new Map(), queued: new Map() };
    this.#ranks.set(priority, rank);
    this.#priorities = [...this.#ranks.keys()].sort((a, b) => b - a);
    return rank;
  }

  get(jobId: JobId): LiveJob | undefined {
    return this.#jobs.get(jobId);
  }

  all(): Iterable<LiveJob> {
    return this.#jobs.values();
  }

  /** The queue in order, foremost first. */
  *queued(): Iterable<LiveJob> {
    for (const priority of this.#priorities) {
      const rank = this.#ranks.get(priority);
      if (rank === undefined) continue;
      yield* rank.returned.values();
      for (const [jobId, live] of rank.queued) if (!rank.returned.has(jobId)) yield live;
    }
  }

  /** The head of the queue: at most `most` tasks. */
  window(most: number): readonly OpenJob[] {
    const open: OpenJob[] = [];
    let tasks = 0;
    for (const { job, progress } of this.queued()) {
      if (tasks >= most) break;
      const allowance = (job.spec.maxParallel ?? Number.POSITIVE_INFINITY) - progress.counts.running;
      if (allowance <= 0) continue;
      const head = headOf(progress, job.taskCount, Math.min(most - tasks, allowance));
      open.push({ jobId: job.jobId, needs: job.spec.needs, allowance, head });
      tasks += head.length;
    }
    return open;
  }
}

function waitingSince(job: JobRow, progress: ProgressRow, before: LiveJob | undefined, at: number | undefined): number {
  if (before !== undefined && waits(before.progress) && waits(progress)) return before.waitingSince;
  return at ?? progress.startedAt ?? job.submittedAt;
}

const waits = ({ counts }: ProgressRow): boolean => counts.queued > 0 && counts.running === 0;

/** The fences of a peer's open grants, as the applied rows have them. */
export function fencesOf(log: Pick<ReplicatedLog, 'view' | 'status'>, peerId: PeerId) {
  const { epochId } = log.status();
  return (log.view.get(keys.holds(peerId))?.grants ?? []).map((hold) => ({
    ...hold,
    fence: makeFence(epochId, hold.index),
  }));
}
