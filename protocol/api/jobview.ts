// Builds what the HTTP door says of a job from its rows. Pure: what needs a disk or a clock is handed in.
import type { JobId } from '../ids.ts';
import { taskState } from '../state/queue.ts';
import type { AttemptRow, JobRow, ProgressRow, TaskRow } from '../state/rows.ts';
import { jobDefaults } from './defaults.ts';
import { attemptExit, jobExit, taskExit } from './exit.ts';
import { historyOf } from './history.ts';
import { rfc3339, rfc3339OrNull } from './instant.ts';
import type {
  AttemptView,
  FailureView,
  JobListItem,
  JobView,
  LogTail,
  OutputView,
  TaskCounts,
  TaskView,
  WaitingView,
} from './job.ts';
import type { JobSpec } from './jobspec.ts';

export const FAILURES_SHOWN = 20;
export const ATTEMPTS_SHOWN = 200;
const OUTPUTS_SHOWN = 1000;

export interface JobRows {
  readonly job: JobRow;
  readonly progress: ProgressRow;
  /** In order of number. All that left the queue, or the first of them: then `whole` is false. */
  readonly tasks: readonly TaskRow[];
  readonly whole: boolean;
}

export interface Told {
  /** Whether a worker was heard to have begun the task's open grant. */
  readonly begun: (task: TaskRow) => boolean;
  /** Wall time, ms. */
  readonly now: number;
  readonly waiting: { readonly verdict: string; readonly sentence: string; readonly since: number } | null;
  readonly itemOf: (task: number) => string | null;
  readonly tails: ReadonlyMap<number, LogTail>;
}

export function jobView(rows: JobRows, told: Told): JobView {
  const { job, progress } = rows;
  const { spec } = job;
  const tasks = countsOf(rows, told.begun);
  return {
    schema: 'skein.job/1',
    jobId: job.jobId,
    name: spec.name ?? null,
    state: stateOf(progress, tasks),
    exit: jobExit(job, progress, rows.tasks[0]),
    tasks,
    failures: failuresOf(rows.tasks).map((task) => failureView(task, told)),
    attemptCount: progress.attempts,
    queuedMs: Math.max(0, (progress.startedAt ?? progress.finishedAt ?? told.now) - job.submittedAt),
    durationMs: durationOf(progress, told.now),
    outputDir: spec.origin?.outputDir ?? null,
    outputs: rows.whole ? outputsOf(rows.tasks) : null,
    costMicros: null,
    currency: null,
    url: jobPath(job.jobId),
    submittedBy: job.submittedBy,
    submittedAt: rfc3339(job.submittedAt),
    startedAt: rfc3339OrNull(progress.startedAt),
    finishedAt: rfc3339OrNull(progress.finishedAt),
    priority: spec.priority ?? jobDefaults.priority,
    labels: spec.labels ?? {},
    spec: specView(spec),
    eta: null,
    waiting: waitingView(told.waiting),
    cancelRequested: progress.cancel !== null,
    cancelReason: progress.cancel?.reason ?? null,
    attempts: attemptsOf(rows.tasks, told.begun),
    events: historyOf(job, progress, rows.tasks),
  };
}

export function jobListItem(job: JobRow, progress: ProgressRow, told: Pick<Told, 'now' | 'waiting'>): JobListItem {
  return {
    jobId: job.jobId,
    name: job.spec.name ?? null,
    state: progress.state,
    tasks: { total: job.taskCount, ...progress.counts },
    submittedAt: rfc3339(job.submittedAt),
    startedAt: rfc3339OrNull(progress.startedAt),
    finishedAt: rfc3339OrNull(progress.finishedAt),
    durationMs: durationOf(progress, told.now),
    costMicros: null,
    labels: job.spec.labels ?? {},
    waiting: waitingView(told.waiting),
  };
}

/** @param row undefined where the task never left the queue. */
export function taskView(
  { job, progress }: Pick<JobRows, 'job' | 'progress'>,
  n: number,
  row: TaskRow | undefined,
  told: Pick<Told, 'begun' | 'itemOf'>,
): TaskView {
  const state = taskState(progress, row, n);
  const unbegun = row !== undefined && row.open !== null && !told.begun(row);
  return {
    schema: 'skein.task/1',
    jobId: job.jobId,
    task: n,
    item: told.itemOf(n),
    state: unbegun ? 'queued' : state,
    cancelRequested: (row?.cancelRequested ?? false) || progress.cancel !== null,
    lost: row?.lost ?? 0,
    failed: row?.failed ?? 0,
    exit: row === undefined ? null : taskExit({ ...row, state }),
    attempts: row === undefined ? [] : attemptsOf([row], told.begun),
  };
}

export function attemptView(task: TaskRow, attempt: AttemptRow, begun: boolean): AttemptView {
  const running = begun ? 'running' : 'queued';
  return {
    task: task.n,
    n: attempt.n,
    peer: attempt.peerName,
    peerId: attempt.peerId,
    fence: attempt.fence,
    state: attempt.state === 'open' ? running : attempt.state,
    grantedAt: rfc3339(attempt.grantedAt),
    startedAt: rfc3339OrNull(attempt.startedAt),
    endedAt: rfc3339OrNull(attempt.endedAt),
    exit: attemptExit(attempt),
    reason: attempt.reason,
    detail: attempt.detail,
    blamed: attempt.blamed,
    stdoutBytes: logBytes(attempt, attempt.stdout),
    stderrBytes: logBytes(attempt, attempt.stderr),
  };
}

/** A finished attempt without a span wrote nothing; of any other it is not known. */
function logBytes(attempt: AttemptRow, span: AttemptRow['stdout']): number | null {
  if (span !== null) return span.sizeBytes;
  return attempt.exit === null ? null : 0;
}

function attemptsOf(tasks: readonly TaskRow[], begun: Told['begun']): AttemptView[] {
  const views: AttemptView[] = [];
  for (const task of tasks) {
    if (views.length >= ATTEMPTS_SHOWN) break;
    const heard = task.open !== null && begun(task);
    for (const attempt of task.attempts) views.push(attemptView(task, attempt, heard));
  }
  return views.slice(0, ATTEMPTS_SHOWN);
}

/** The failed tasks that a job's answer names. */
export function failuresOf(tasks: readonly TaskRow[]): TaskRow[] {
  const failed: TaskRow[] = [];
  for (const task of tasks) {
    if (task.state === 'failed' && failed.push(task) === FAILURES_SHOWN) break;
  }
  return failed;
}

function failureView(task: TaskRow, told: Told): FailureView {
  return {
    task: task.n,
    item: told.itemOf(task.n),
    peer: task.attempts.at(-1)?.peerName ?? null,
    exit: taskExit(task),
    reason: failureSentence(task),
    stderrTail: told.tails.get(task.n) ?? null,
  };
}

/** Why a task failed, in a few words for people. */
export function failureSentence(task: TaskRow): string {
  const last = task.attempts.at(-1);
  if (last === undefined) return 'never started';
  if (last.state === 'lost') {
    const names = task.attempts.filter((attempt) => attempt.blamed).map((attempt) => attempt.peerName);
    return `lost ${names.length} ${names.length === 1 ? 'worker' : 'workers'}: ${names.join(', ')}`;
  }
  if (last.exit !== null && last.reason === 'exited') {
    const how = last.exit.signal === null ? `exit ${last.exit.code}` : `killed by ${last.exit.signal}`;
    return `${how} on ${last.peerName}`;
  }
  if (last.detail !== null) return last.detail;
  return `${last.reason ?? 'failed'} on ${last.peerName}`;
}

function outputsOf(tasks: readonly TaskRow[]): OutputView[] | null {
  const outputs: OutputView[] = [];
  for (const task of tasks) {
    const published = publishedAttempt(task)?.outputs ?? null;
    if (published === null) continue;
    if (published.kind === 'manifest' || outputs.length + published.files.length > OUTPUTS_SHOWN) return null;
    for (const file of published.files) {
      if (file.kind !== 'file') continue;
      outputs.push({ task: task.n, path: file.path, bytes: file.span.sizeBytes, sha256: file.sha256 });
    }
  }
  return outputs;
}

/**
 * The attempt whose result is the task's, or undefined while it has none. A cancelled task's is what it saved when it was
 * told to stop, never an earlier attempt's.
 */
export function publishedAttempt(task: TaskRow): AttemptRow | undefined {
  if (task.state === 'queued' || task.state === 'running') return undefined;
  const last = task.attempts.at(-1);
  return last?.state === (task.state === 'cancelled' ? 'cancelled' : 'finished') ? last : undefined;
}

/** Granted tasks that no worker was heard to begin still count as queued. */
function countsOf({ job, progress, tasks }: JobRows, begun: Told['begun']): TaskCounts {
  const { counts } = progress;
  let unbegun = 0;
  if (counts.running > 0) {
    for (const task of tasks) if (task.open !== null && !begun(task)) unbegun++;
  }
  const moved = Math.min(unbegun, counts.running);
  return { total: job.taskCount, ...counts, queued: counts.queued + moved, running: counts.running - moved };
}

function stateOf(progress: ProgressRow, tasks: TaskCounts): JobView['state'] {
  return progress.state === 'running' && tasks.queued === tasks.total ? 'queued' : progress.state;
}

function durationOf(progress: ProgressRow, now: number): number | null {
  return progress.startedAt === null ? null : Math.max(0, (progress.finishedAt ?? now) - progress.startedAt);
}

export function waitingView(waiting: Told['waiting']): WaitingView | null {
  if (waiting === null) return null;
  return { verdict: waiting.verdict, sentence: waiting.sentence, since: rfc3339(waiting.since) };
}

/** As it was sent, but for the values of `env`, which may be secret. */
export function specView(spec: JobSpec): Readonly<Record<string, unknown>> {
  const view = { schema: jobDefaults.schema, ...spec };
  if (spec.env === undefined) return view;
  return { ...view, env: Object.fromEntries(Object.keys(spec.env).map((name) => [name, null])) };
}

/** The name of a task's item as its spec tells it; null where only a manifest blob does. */
export function itemOf(spec: JobSpec, n: number): string | null {
  const { items } = spec;
  if (items === undefined || 'manifest' in items) return null;
  if ('range' in items) return String(items.range.from + n - 1);
  return itemText(items.list[n - 1]);
}

/** An item as text: a string as it stands, anything else as JSON. */
export function itemText(item: unknown): string | null {
  if (item === undefined) return null;
  return typeof item === 'string' ? item : JSON.stringify(item);
}

export const jobPath = (jobId: JobId): string => `/v1/jobs/${jobId}`;
