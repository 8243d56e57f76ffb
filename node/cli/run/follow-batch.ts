// Follows a job of several tasks: hears of each task's end, has its results fetched, keeps the counts for the display,
// and with --follow shows the lines of all as they come.
import type { JobView } from '../../../protocol/api/job.ts';
import type { Clock } from '../../../protocol/time.ts';
import type { Jobs } from '../mesh.ts';
import { LineSplitter } from '../output/lines.ts';

export interface BatchFollower {
  readonly jobs: Jobs;
  readonly jobId: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Called for each ended task once; a few at a time. */
  readonly onEnded: (task: number) => Promise<void>;
  readonly onView: (view: JobView) => Promise<void>;
  /** A line of a task, where lines are followed. */
  readonly onLine: ((task: number, line: string) => Promise<void>) | undefined;
}

const VIEW_MS = 500;
const VIEW_IDLE_MS = 2000;
const FETCHED_AT_ONCE = 4;
const FOLLOWED_AT_ONCE = 32;
const ENDED = new Set(['completed', 'failed', 'cancelled']);

/** Resolves with the job's last view once all has ended and been fetched. */
export async function followBatch(to: BatchFollower): Promise<JobView> {
  const ended = new Lanes(FETCHED_AT_ONCE, to.onEnded);
  const lines = to.onLine === undefined ? undefined : followLines(to, to.onLine);
  const quit = new AbortController();
  const signal = AbortSignal.any([to.signal, quit.signal]);
  const watched = watch(to, signal);
  // Awaited below; until then a failure must not count as unhandled.
  watched.catch(() => undefined);
  try {
    for await (const event of to.jobs.events(to.jobId, signal)) {
      // A `gap` names no task: the list at the end tells what was missed.
      const task = event.task ?? undefined;
      if (task !== undefined && event.type === 'task.attempt') lines?.add(task);
      if (task !== undefined && event.type === 'task.state' && ENDED.has(String(event.fields.state))) ended.add(task);
      if (ended.failure !== undefined || lines?.failure !== undefined) break;
      if (event.type === 'job.done') break;
    }
    quit.abort();
    await watched.catch(() => undefined);
    const failure = ended.failure ?? lines?.failure;
    if (failure !== undefined) throw failure;
    const view = await lastView(to);
    for await (const task of endedTasks(to)) {
      lines?.add(task);
      ended.add(task);
    }
    await ended.done();
    await lines?.done();
    return view;
  } finally {
    quit.abort();
  }
}

/** The counts, soon while they change and now and then while they don't. */
async function watch(to: BatchFollower, signal: AbortSignal): Promise<void> {
  let shown = '';
  while (!signal.aborted) {
    const view = await to.jobs.job(to.jobId, signal);
    await to.onView(view);
    const now = JSON.stringify(view.tasks);
    await to.clock.sleep(now === shown ? VIEW_IDLE_MS : VIEW_MS, signal);
    shown = now;
  }
}

async function lastView(to: BatchFollower): Promise<JobView> {
  for (;;) {
    const view = await to.jobs.waitFor(to.jobId, 30_000, to.signal);
    if (view.finishedAt !== null) return view;
    await to.onView(view);
  }
}

/** Events may have been missed; the list tells all. */
async function* endedTasks(to: BatchFollower): AsyncIterable<number> {
  let cursor: string | undefined;
  do {
    const page = await to.jobs.tasks(to.jobId, cursor, to.signal);
    for (const { task, state, attempts } of page.items) {
      if (ENDED.has(state) && attempts.length > 0) yield task;
    }
    cursor = page.next ?? undefined;
  } while (cursor !== undefined);
}

function followLines(to: BatchFollower, onLine: (task: number, line: string) => Promise<void>): Lanes {
  return new Lanes(FOLLOWED_AT_ONCE, async (task) => {
    const splitter = new LineSplitter();
    for await (const item of to.jobs.followLog(to.jobId, task, { stream: 'out', attempt: 'latest' }, to.signal)) {
      if (item.kind === 'log') for (const line of splitter.push(item.bytes)) await onLine(task, line);
      if (item.kind === 'end') break;
    }
    for (const line of splitter.end()) await onLine(task, line);
  });
}

/** Does work for each task once, a few at a time, and keeps the first failure. */
class Lanes {
  readonly #atOnce: number;
  readonly #work: (task: number) => Promise<void>;
  readonly #seen = new Set<number>();
  readonly #waiting: number[] = [];
  readonly #busy = new Set<Promise<void>>();
  failure: unknown;

  constructor(atOnce: number, work: (task: number) => Promise<void>) {
    this.#atOnce = atOnce;
    this.#work = work;
  }

  add(task: number): void {
    if (this.#seen.has(task)) return;
    this.#seen.add(task);
    this.#waiting.push(task);
    this.#next();
  }

  /** Fails with the first failure. */
  async done(): Promise<void> {
    while (this.#busy.size > 0) await Promise.race(this.#busy);
    if (this.failure !== undefined) throw this.failure;
  }

  #next(): void {
    while (this.#busy.size < this.#atOnce && this.failure === undefined) {
      const task = this.#waiting.shift();
      if (task === undefined) return;
      const work = this.#work(task)
        .catch((error: unknown) => {
          this.failure ??= error;
        })
        .finally(() => {
          this.#busy.delete(work);
          this.#next();
        });
      this.#busy.add(work);
    }
  }
}
