// Jobs: submission, cancellation, retry, and their removal once they are kept no longer.
import { cancelQueued, recount, settle } from './close.ts';
import type { Command, Outcome } from './command.ts';
import type { Draft } from './draft.ts';
import { done, once, refused } from './outcome.ts';
import type { Place } from './place.ts';
import { append, firstRow, take, taskState } from './queue.ts';
import { type JobRow, keys, type ProgressRow, type TaskRow } from './rows.ts';

type Of<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>;

export function submit(draft: Draft, command: Of<'job.submitted'>, place: Place): Outcome {
  return once(draft, command, () => {
    const { jobId, project, spec, taskCount, at } = command;
    if (draft.get(keys.job(jobId)) !== undefined) return refused('state-conflict', `the id ${jobId} is taken`);
    draft.put(keys.job(jobId), {
      jobId,
      project,
      index: place.index,
      spec,
      taskCount,
      submittedAt: at,
      submittedBy: command.by,
      retried: 0,
    });
    draft.put(keys.progress(jobId), {
      jobId,
      state: 'queued',
      counts: { queued: taskCount, running: 0, completed: 0, failed: 0, cancelled: 0 },
      next: 1,
      returned: [],
      cancel: null,
      attempts: 0,
      startedAt: null,
      finishedAt: null,
    });
    draft.put(keys.arrival(place.index), { jobId });
    draft.put(keys.live(jobId), { index: place.index });
    draft.emit('job.state', `${jobId} is queued`, {
      project,
      jobId,
      fields: { state: 'queued', tasks: { queued: taskCount } },
    });
    return done({ jobId });
  });
}

interface Found {
  readonly job: JobRow;
  readonly progress: ProgressRow;
}

function find(draft: Draft, command: { jobId: JobRow['jobId']; project: string }): Found | undefined {
  const job = draft.get(keys.job(command.jobId));
  const progress = draft.get(keys.progress(command.jobId));
  // Another project's job is none of this one's business: it is as if it were not there.
  if (job === undefined || progress === undefined || job.project !== command.project) return undefined;
  return { job, progress };
}

export function cancel(draft: Draft, command: Of<'job.cancelled'>): Outcome {
  return once(draft, command, () => {
    const found = find(draft, command);
    if (found === undefined) return refused('not-found', `there is no job ${command.jobId}`);
    const { job, progress } = found;
    if (progress.finishedAt !== null) return refused('state-conflict', `${job.jobId} has ended: ${progress.state}`);
    if (command.tasks !== null) return cancelTasks(draft, found, command.tasks, command.at);
    const { at, reason, graceMs, signal } = command;
    const how = { ...(graceMs === undefined ? {} : { graceMs }), ...(signal === undefined ? {} : { signal }) };
    // Asked again, it may be in more of a hurry; who asked first and why stays.
    const stopped = { at, reason, ...progress.cancel, ...how };
    settle(draft, job, cancelQueued(job, progress, stopped), command.at);
    return done({ jobId: job.jobId });
  });
}

function cancelTasks(draft: Draft, { job, progress }: Found, range: readonly [number, number], at: number): Outcome {
  let now = progress;
  for (let n = Math.max(1, range[0]); n <= Math.min(job.taskCount, range[1]); n++) {
    const task = draft.get(keys.task(job.jobId, n));
    const state = taskState(now, task, n);
    if (state === 'running' && task !== undefined) {
      draft.put(keys.task(job.jobId, n), { ...task, cancelRequested: true });
    } else if (state === 'queued') {
      draft.put(keys.task(job.jobId, n), { ...(task ?? firstRow(job.jobId, n)), state: 'cancelled' });
      now = { ...now, ...take(now, n), counts: recount(now.counts, 'queued', 'cancelled') };
    }
  }
  settle(draft, job, now, at);
  return done({ jobId: job.jobId });
}

/** Requeues ended tasks of the same job. What is still being cancelled must have stopped first: a retry never overlaps it. */
export function retry(draft: Draft, command: Of<'job.retried'>): Outcome {
  return once(draft, command, () => {
    const found = find(draft, command);
    if (found === undefined) return refused('not-found', `there is no job ${command.jobId}`);
    const { job, progress } = found;
    if (progress.cancel !== null && progress.counts.running > 0) {
      return refused(
        'state-conflict',
        `${job.jobId} is still being cancelled; ${progress.counts.running} of its tasks run`,
      );
    }
    const chosen = choose(draft, found, command.tasks);
    if (typeof chosen === 'string') return refused('state-conflict', chosen);
    if (chosen.length === 0) return refused('state-conflict', `${job.jobId} has no task to retry`);
    let counts = progress.counts;
    for (const n of chosen) {
      const task = draft.get(keys.task(job.jobId, n));
      counts = recount(counts, taskState(progress, task, n), 'queued');
      if (task !== undefined) {
        draft.put(keys.task(job.jobId, n), afresh(task));
      }
    }
    draft.put(keys.job(job.jobId), { ...job, retried: job.retried + 1 });
    draft.put(keys.live(job.jobId), { index: job.index });
    const returned = append(progress.returned, chosen);
    settle(draft, job, { ...progress, counts, returned, cancel: null, finishedAt: null }, command.at);
    return done({ jobId: job.jobId, tasks: chosen.length });
  });
}

/** Both budgets start anew, so what was lost before is blamed no more. */
function afresh(task: TaskRow): TaskRow {
  const attempts = task.attempts.map((attempt) => (attempt.blamed ? { ...attempt, blamed: false } : attempt));
  return { ...task, state: 'queued', attempts, lost: 0, failed: 0, cancelRequested: false };
}

/** The tasks to run again, ascending; or the sentence why one of them cannot. */
function choose(draft: Draft, { job, progress }: Found, wanted: Of<'job.retried'>['tasks']): number[] | string {
  const chosen: number[] = [];
  const all = typeof wanted === 'string';
  const candidates = all
    ? Array.from({ length: job.taskCount }, (_, at) => at + 1)
    : [...new Set(wanted)].sort((a, b) => a - b);
  for (const n of candidates) {
    if (n < 1 || n > job.taskCount) return `${job.jobId} has no task ${n}`;
    const task = draft.get(keys.task(job.jobId, n));
    const state = taskState(progress, task, n);
    const ended = state !== 'queued' && state !== 'running';
    if (!all && !ended) return `task ${n} of ${job.jobId} has not ended`;
    if (ended && (wanted !== 'failed' || state !== 'completed')) chosen.push(n);
  }
  return chosen;
}

export function drop(draft: Draft, command: Of<'job.dropped'>): Outcome {
  const job = draft.get(keys.job(command.jobId));
  const progress = draft.get(keys.progress(command.jobId));
  if (job === undefined || progress === undefined) return refused('not-found', `there is no job ${command.jobId}`);
  if (progress.finishedAt === null) return refused('state-conflict', `${job.jobId} has not ended`);
  for (let n = 1; n <= job.taskCount; n++) {
    if (draft.get(keys.task(job.jobId, n)) !== undefined) draft.delete(keys.task(job.jobId, n));
  }
  draft.delete(keys.arrival(job.index));
  draft.delete(keys.live(job.jobId));
  draft.delete(keys.progress(job.jobId));
  draft.delete(keys.job(job.jobId));
  return done();
}

export function dropIdempotency(draft: Draft, command: Of<'idempotency.dropped'>): Outcome {
  for (const key of command.keys) draft.delete(keys.idempotency(command.project, key));
  return done();
}
