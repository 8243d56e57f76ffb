// A job's history, told from its rows: it is there for as long as the job is, however short the memory of events.
import { parseFence } from '../ids.ts';
import type { AttemptRow, JobRow, ProgressRow, TaskRow } from '../state/rows.ts';
import { rfc3339 } from './instant.ts';
import type { HistoryItem } from './job.ts';

const HISTORY_SHOWN = 200;

interface Moment {
  readonly index: number | null;
  readonly at: number;
  readonly type: string;
  readonly sentence: string;
}

/** Oldest first, at most 200: the beginning and the latest. */
export function historyOf(job: JobRow, progress: ProgressRow, tasks: readonly TaskRow[]): HistoryItem[] {
  const moments: Moment[] = tasks.flatMap((task) => task.attempts.flatMap((attempt) => ofAttempt(task, attempt)));
  if (progress.cancel !== null) moments.push(ofCancel(progress.cancel));
  moments.sort((a, b) => a.at - b.at || (a.index ?? Infinity) - (b.index ?? Infinity));
  if (progress.finishedAt !== null) {
    moments.push({
      index: null,
      at: progress.finishedAt,
      type: 'job.done',
      sentence: `${job.jobId} ended: ${progress.state}`,
    });
  }
  const submitted: Moment = {
    index: job.index,
    at: job.submittedAt,
    type: 'job.submitted',
    sentence: `${job.submittedBy} submitted ${job.jobId}`,
  };
  return [submitted, ...moments.slice(-HISTORY_SHOWN)].map((moment) => ({ ...moment, at: rfc3339(moment.at) }));
}

function ofCancel(cancel: { readonly at: number; readonly reason: string | null }): Moment {
  const why = cancel.reason === null ? '' : `: ${cancel.reason}`;
  return { index: null, at: cancel.at, type: 'job.cancelled', sentence: `cancelled${why}` };
}

function ofAttempt(task: TaskRow, attempt: AttemptRow): Moment[] {
  const what = `task ${task.n}, attempt ${attempt.n}`;
  const granted: Moment = {
    index: parseFence(attempt.fence)?.index ?? null,
    at: attempt.grantedAt,
    type: 'task.attempt',
    sentence: `${what} goes to ${attempt.peerName}`,
  };
  if (attempt.endedAt === null) return [granted];
  const sentence = `${what} on ${attempt.peerName}: ${howEnded(attempt)}`;
  return [granted, { index: null, at: attempt.endedAt, type: 'task.state', sentence }];
}

function howEnded(attempt: AttemptRow): string {
  if (attempt.state === 'finished' && attempt.exit !== null) {
    const exit = attempt.exit.signal ?? `exit ${attempt.exit.code ?? 'unknown'}`;
    return attempt.reason === 'exited' ? exit : `${attempt.reason}, ${exit}`;
  }
  return attempt.reason === null ? attempt.state : `${attempt.state}, ${attempt.reason}`;
}
