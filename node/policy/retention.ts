// What is kept no longer: finished jobs past their time, idempotency keys that nobody can mean any more, expired tickets.
import type { JobId } from '../../protocol/ids.ts';
import type { IdempotencyRow, JobRow, ProgressRow, TicketRow } from '../../protocol/state/rows.ts';

const DAY_MS = 86_400_000;
/** The promise of the HTTP contract: a key gives the same answer for as long as the job is kept, and at least this long. */
const KEY_MIN_MS = 7 * DAY_MS;

/** For so long whoever comes with an expired ticket hears that it has expired, not that there is none. */
const TICKET_MIN_MS = 7 * DAY_MS;

interface Limits {
  /** Wall time of the leader, ms. */
  readonly now: number;
  /** The most that one pass drops: each is a record in the log. */
  readonly max: number;
}

/** Ids of finished jobs whose time is over, in the order given. */
export function jobsPastKeep(
  jobs: Iterable<{ readonly job: Pick<JobRow, 'jobId' | 'spec'>; readonly progress: Pick<ProgressRow, 'finishedAt'> }>,
  settings: { readonly keepMs: number },
  limits: Limits,
): readonly JobId[] {
  const past: JobId[] = [];
  for (const { job, progress } of jobs) {
    if (past.length >= limits.max) break;
    const keepMs = job.spec.keepMs ?? settings.keepMs;
    if (progress.finishedAt !== null && limits.now - progress.finishedAt > keepMs) past.push(job.jobId);
  }
  return past;
}

export interface HeldKey {
  readonly project: string;
  readonly key: string;
  readonly row: IdempotencyRow;
}

/** The job that an idempotency key's answer is about, if it is about one. */
function jobOfAnswer({ answer }: IdempotencyRow): JobId | undefined {
  return typeof answer.jobId === 'string' ? (answer.jobId as JobId) : undefined;
}

/** Keys to drop, by project. */
export function keysPastUse(
  held: Iterable<HeldKey>,
  isKept: (jobId: JobId) => boolean,
  limits: Limits,
): ReadonlyMap<string, readonly string[]> {
  const past = new Map<string, string[]>();
  let count = 0;
  for (const { project, key, row } of held) {
    if (count >= limits.max) break;
    const jobId = jobOfAnswer(row);
    if (limits.now - row.at <= KEY_MIN_MS || (jobId !== undefined && isKept(jobId))) continue;
    const keys = past.get(project) ?? [];
    past.set(project, keys);
    keys.push(key);
    count++;
  }
  return past;
}

/** Whether an expired ticket, used or not, may go. */
export const ticketPastUse = ({ expiresAt }: Pick<TicketRow, 'expiresAt'>, now: number): boolean =>
  now - expiresAt > TICKET_MIN_MS;
