// How an open grant closes, whatever closed it: the attempt is kept, the task ends or goes back, the job is counted anew.
import { jobDefaults } from '../api/defaults.ts';
import type { PeerId } from '../ids.ts';
import type { Draft } from './draft.ts';
import { giveBack } from './queue.ts';
import type { ExitReason, Result } from './result.ts';
import {
  type AttemptEnd,
  type AttemptRow,
  type Cancellation,
  type Counts,
  type JobRow,
  type JobState,
  keys,
  type ProgressRow,
  type TaskRow,
  type TaskState,
} from './rows.ts';

export type Closing =
  | { readonly kind: 'finished'; readonly result: Result; readonly at: number }
  | {
      readonly kind: 'lost' | 'handed-back';
      readonly reason: AttemptEnd;
      readonly blamed: boolean;
      /** Null where it did not begin, or nobody can tell when. */
      readonly startedAt: number | null;
      readonly at: number;
    };

export function close(draft: Draft, task: TaskRow, closing: Closing): TaskState {
  const job = draft.get(keys.job(task.jobId));
  const progress = draft.get(keys.progress(task.jobId));
  if (job === undefined || progress === undefined) return task.state;
  const cancelled = task.cancelRequested || progress.cancel !== null;
  const blamed = closing.kind !== 'finished' && closing.blamed && !cancelled;
  const lost = task.lost + (blamed ? 1 : 0);
  const failed = task.failed + (closing.kind === 'finished' && !succeeded(closing.result) ? 1 : 0);
  const state = cancelled ? 'cancelled' : stateAfter(job, closing, { lost, failed });
  const attempt = closedAttempt(task.attempts.at(-1) as AttemptRow, closing, cancelled);
  const attempts = [...task.attempts.slice(0, -1), attempt];
  draft.put(keys.task(task.jobId, task.n), { ...task, state, open: null, attempts, lost, failed });
  const counts = recount(progress.counts, 'running', state);
  const returned = state === 'queued' ? giveBack(progress.returned, task.n) : progress.returned;
  announce(draft, job, task, state, attempt);
  const now = { ...progress, counts, returned };
  settle(draft, job, state === 'failed' ? stopAfterFails(job, now, closing.at) : now, closing.at);
  return state;
}

/** Only a new failure is judged: those from before a retry must not stop what was asked for again. */
function stopAfterFails(job: JobRow, progress: ProgressRow, at: number): ProgressRow {
  const failsMax = job.spec.maxFails;
  if (failsMax === undefined || progress.counts.failed <= failsMax || progress.cancel !== null) return progress;
  return cancelQueued(job, progress, { at, reason: `more than ${failsMax} tasks failed` });
}

function succeeded(result: Result): boolean {
  return result.reason === 'exited' && result.exit.code === 0;
}

function stateAfter(job: JobRow, closing: Closing, count: { lost: number; failed: number }): TaskState {
  if (closing.kind === 'finished') {
    if (succeeded(closing.result)) return 'completed';
    return mayRetry(job, closing.result, count.failed) ? 'queued' : 'failed';
  }
  const lostMax = Math.max(1, job.spec.maxLost ?? jobDefaults.maxLost);
  return closing.blamed && count.lost >= lostMax ? 'failed' : 'queued';
}

function mayRetry(job: JobRow, result: Result, failed: number): boolean {
  if (failed > (job.spec.retries ?? jobDefaults.retries)) return false;
  const codes = job.spec.retryOn;
  return codes === undefined || (result.exit.code !== null && codes.includes(result.exit.code));
}

function closedAttempt(open: AttemptRow, closing: Closing, cancelled: boolean): AttemptRow {
  if (closing.kind !== 'finished') {
    return {
      ...open,
      state: cancelled ? 'cancelled' : closing.kind,
      startedAt: closing.startedAt,
      endedAt: closing.at,
      reason: cancelled ? 'cancelled' : closing.reason,
      blamed: closing.blamed && !cancelled,
    };
  }
  const { result } = closing;
  return {
    ...open,
    state: cancelled ? 'cancelled' : 'finished',
    startedAt: result.startedAt,
    endedAt: result.endedAt,
    exit: result.exit,
    reason: result.reason satisfies ExitReason,
    detail: result.detail,
    stdout: result.stdout,
    stderr: result.stderr,
    outputs: result.outputs,
  };
}

export function recount(counts: Counts, from: TaskState, to: TaskState, by = 1): Counts {
  if (from === to) return counts;
  return { ...counts, [from]: counts[from] - by, [to]: counts[to] + by };
}

/** Writes the progress, and ends the job where nothing of it is left to run. */
export function settle(draft: Draft, job: JobRow, progress: ProgressRow, at: number): void {
  const state = jobState(progress);
  const ended = state !== 'queued' && state !== 'running';
  draft.put(keys.progress(job.jobId), { ...progress, state, finishedAt: ended ? at : null });
  if (state !== progress.state) announceJob(draft, job, progress.counts, state);
  if (ended) draft.delete(keys.live(job.jobId));
}

function announceJob(draft: Draft, job: JobRow, counts: Counts, state: JobState): void {
  const subject = { project: job.project, jobId: job.jobId, fields: { state, tasks: counts } };
  draft.emit('job.state', `${job.jobId} is ${state}`, subject);
  if (state !== 'queued' && state !== 'running') draft.emit('job.done', `${job.jobId} ended: ${state}`, subject);
}

/** Takes everything that has not left the queue out of it. */
export function cancelQueued(job: JobRow, progress: ProgressRow, cancel: Cancellation): ProgressRow {
  const counts = recount(progress.counts, 'queued', 'cancelled', progress.counts.queued);
  return { ...progress, counts, cancel, next: job.taskCount + 1, returned: [] };
}

function jobState(progress: ProgressRow): JobState {
  const { counts } = progress;
  if (counts.running > 0) return 'running';
  if (counts.queued > 0) return progress.startedAt === null ? 'queued' : 'running';
  if (progress.cancel !== null && counts.cancelled > 0) return 'cancelled';
  if (counts.failed > 0) return 'failed';
  return counts.cancelled > 0 ? 'cancelled' : 'completed';
}

export function dropHold(draft: Draft, peerId: PeerId, index: number): void {
  const grants = (draft.get(keys.holds(peerId))?.grants ?? []).filter((hold) => hold.index !== index);
  if (grants.length === 0) draft.delete(keys.holds(peerId));
  else draft.put(keys.holds(peerId), { grants });
}

function announce(draft: Draft, job: JobRow, task: TaskRow, state: TaskState, attempt: AttemptRow): void {
  draft.emit('task.state', sentenceOf(task, state, attempt), {
    project: job.project,
    jobId: job.jobId,
    task: task.n,
    peerId: attempt.peerId,
    fields: {
      state,
      attempt: attempt.n,
      attemptState: attempt.state,
      peer: attempt.peerName,
      exit: attempt.exit,
      reason: attempt.reason,
    },
  });
}

function sentenceOf(task: TaskRow, state: TaskState, attempt: AttemptRow): string {
  const what = `task ${task.n}, attempt ${attempt.n} on ${attempt.peerName}`;
  if (attempt.state === 'finished') {
    const exit = attempt.exit?.signal ?? `exit ${attempt.exit?.code ?? 'unknown'}`;
    return state === 'queued' ? `${what}: ${exit}; it is tried again` : `${what}: ${exit}`;
  }
  if (state === 'queued') return `${what}: ${attempt.reason}; it goes back to the head of the queue`;
  return `${what}: ${attempt.reason}; the task is ${state}`;
}
