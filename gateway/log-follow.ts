// Follows one stream of a task from attempt to attempt until the task has ended. A source that fails is asked again
// for as long as its attempt is open: the stream ends with `end` or `error`, never quietly.
import { attemptExit, taskExit } from '../protocol/api/exit.ts';
import type { ExitView, LogAttempt, LogEnd, LogEvent } from '../protocol/api/job.ts';
import { attemptView } from '../protocol/api/jobview.ts';
import { problemOf } from '../protocol/api/problem.ts';
import { SkeinError } from '../protocol/errors.ts';
import type { JobId } from '../protocol/ids.ts';
import type { AttemptRow, TaskRow, TaskState } from '../protocol/state/rows.ts';
import type { Context } from './context.ts';
import { deadline } from './deadline.ts';
import type { Watch } from './hub.ts';
import { toSkeinError } from './problem.ts';
import type { SseStream } from './sse.ts';

export interface LogSource {
  readonly jobId: JobId;
  readonly task: number;
  readonly stream: 'out' | 'err';
}

export interface LogPlace {
  readonly attempt: number;
  readonly offset: number;
  /** Whether the client still has to be told which attempt this is. */
  readonly announce: boolean;
  /** This attempt and no later one. */
  readonly only: boolean;
}

const WAIT_MS = 10_000;
const RETRY_MS = 500;
/** A task may change without an event of its own (its whole job is cancelled): looked at now and then. */
const RECHECK_MS = 5000;

/** `ATTEMPT.STREAM.OFFSET`, where a client goes on. */
export function parseLogId(id: unknown, stream: 'out' | 'err'): LogPlace {
  const match = typeof id === 'string' ? /^([1-9]\d{0,8})\.(out|err)\.(\d{1,15})$/.exec(id) : null;
  if (match === null || match[2] !== stream) {
    throw new SkeinError('invalid-request', `Last-Event-ID must be ATTEMPT.${stream}.OFFSET`);
  }
  return { attempt: Number(match[1]), offset: Number(match[3]), announce: false, only: false };
}

/** Fails where a log that is whole, or will not grow any more, ends before `offset`: nothing there can be resumed. */
export function checkOffset(attempt: AttemptRow, stream: 'out' | 'err', offset: number): void {
  const span = stream === 'out' ? attempt.stdout : attempt.stderr;
  if (attempt.exit === null || offset <= (span?.sizeBytes ?? 0)) return;
  const totalBytes = span?.sizeBytes ?? 0;
  throw new SkeinError(
    'range-not-satisfiable',
    `attempt ${attempt.n} wrote ${totalBytes} bytes, none from ${offset} on`,
    {
      fix: 'follow it from the start: without Last-Event-ID',
      extra: { totalBytes },
    },
  );
}

/** Feeds the stream; returns when it has ended or the client is gone. Does not throw. */
export async function followLog(context: Context, sse: SseStream, source: LogSource, from: LogPlace): Promise<void> {
  using watch = context.hub.watch(source.jobId);
  try {
    await new LogFollower(context, sse, source, watch).run(from);
  } catch (error) {
    if (sse.signal.aborted) return;
    const failure = toSkeinError(error);
    if (failure.code === 'internal-error') context.log.error({ err: error, ...source }, 'following a log failed');
    sse.send({ event: 'error', data: problemOf(failure, null) });
  } finally {
    sse.end();
  }
}

class LogFollower {
  readonly #context: Context;
  readonly #sse: SseStream;
  readonly #source: LogSource;
  readonly #watch: Watch;

  constructor(context: Context, sse: SseStream, source: LogSource, watch: Watch) {
    this.#context = context;
    this.#sse = sse;
    this.#source = source;
    this.#watch = watch;
  }

  async run(from: LogPlace): Promise<void> {
    let { attempt: n, offset, announce } = from;
    for (;;) {
      const attempt = await this.#attempt(n);
      if (attempt === undefined) return this.#end(undefined, 0);
      if (announce) this.#announce(attempt);
      offset = await this.#stream(attempt, offset);
      const closed = await this.#closed(n);
      if (this.#sse.signal.aborted) return;
      if (closed?.n === from.attempt) checkOffset(closed, this.#source.stream, from.offset);
      if (from.only || closed === undefined) return this.#end(closed ?? attempt, offset);
      const next = await this.#attempt(n + 1);
      if (next === undefined) return this.#end(closed, offset);
      n = next.n;
      offset = 0;
      announce = true;
    }
  }

  #task(): TaskRow | undefined {
    return this.#context.jobs.task(this.#source.jobId, this.#source.task);
  }

  /** Attempt `n`, waited for; undefined where the task ends without it. */
  async #attempt(n: number): Promise<AttemptRow | undefined> {
    while (!this.#sse.signal.aborted) {
      const attempt = this.#task()?.attempts.find((one) => one.n >= n);
      if (attempt !== undefined) return attempt;
      if (this.#hasEnded()) return undefined;
      await this.#change();
    }
    return undefined;
  }

  /** Attempt `n` once its grant is closed; undefined where the job is gone. */
  async #closed(n: number): Promise<AttemptRow | undefined> {
    while (!this.#sse.signal.aborted) {
      const attempt = this.#task()?.attempts.find((one) => one.n === n);
      if (attempt === undefined || attempt.state !== 'open') return attempt;
      await this.#change();
    }
    return undefined;
  }

  #hasEnded(): boolean {
    const found = this.#context.jobs.state(this.#source.jobId, this.#source.task);
    return found !== 'queued' && found !== 'running';
  }

  async #change(): Promise<void> {
    using wait = deadline(this.#context.clock, RECHECK_MS, this.#sse.signal);
    await this.#watch.next(wait.signal);
  }

  /** Sends what the attempt wrote from `offset` on, to its end. Returns where that is. */
  async #stream(attempt: AttemptRow, from: number): Promise<number> {
    const { mesh, clock } = this.#context;
    const { signal } = this.#sse;
    let offset = from;
    while (!signal.aborted) {
      try {
        const chunk = await mesh.readLog({ ...this.#source, attempt: attempt.n, offset, waitMs: WAIT_MS }, signal);
        if (chunk.bytes.length > 0) offset = this.#send(attempt, chunk.offset, chunk.bytes);
        if (chunk.end) return offset;
      } catch (error) {
        if (signal.aborted || !this.#isOpen(attempt)) return this.#giveUp(error, attempt, offset);
        await clock.sleep(RETRY_MS, signal);
      }
      await this.#sse.drained();
    }
    return offset;
  }

  #isOpen(attempt: AttemptRow): boolean {
    return this.#task()?.attempts.find((one) => one.n === attempt.n)?.state === 'open';
  }

  /** A lost attempt may take its log with it; that of a finished one must be there, or be said to be gone. */
  #giveUp(error: unknown, attempt: AttemptRow, offset: number): number {
    const closed = this.#task()?.attempts.find((one) => one.n === attempt.n);
    if (this.#sse.signal.aborted || closed?.state !== 'finished') return offset;
    throw error;
  }

  #send(attempt: AttemptRow, offset: number, bytes: Uint8Array): number {
    const end = offset + bytes.length;
    const { stream } = this.#source;
    const data: LogEvent = { attempt: attempt.n, stream, offset, base64: Buffer.from(bytes).toString('base64') };
    this.#sse.send({ event: 'log', id: this.#id(attempt.n, end), data });
    return end;
  }

  #id(attempt: number, offset: number): string {
    return `${attempt}.${this.#source.stream}.${offset}`;
  }

  #announce(attempt: AttemptRow): void {
    const task = this.#task();
    const before = task?.attempts.findLast((one) => one.n < attempt.n);
    const previous = task === undefined || before === undefined ? null : attemptView(task, before, false);
    const data: LogAttempt = { attempt: attempt.n, peer: attempt.peerName, previous };
    this.#sse.send({ event: 'task.attempt', id: this.#id(attempt.n, 0), data });
  }

  #end(attempt: AttemptRow | undefined, offset: number): void {
    const state = this.#context.jobs.state(this.#source.jobId, this.#source.task);
    const data: LogEnd = {
      state: state ?? null,
      attempt: attempt?.n ?? null,
      offset,
      exit: this.#exit(attempt, state),
    };
    const id = attempt === undefined ? {} : { id: this.#id(attempt.n, offset) };
    this.#sse.send({ event: 'end', ...id, data });
  }

  /** The task's exit, or that of an earlier attempt where one was asked for. */
  #exit(attempt: AttemptRow | undefined, state: TaskState | undefined): ExitView | null {
    const task = this.#task();
    if (task === undefined || state === undefined) return null;
    const earlier = attempt !== undefined && attempt.n !== task.attempts.at(-1)?.n;
    return earlier ? attemptExit(attempt) : taskExit({ ...task, state });
  }
}
