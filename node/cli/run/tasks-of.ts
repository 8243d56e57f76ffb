// The tasks that a selector means, of a job that is there.
import type { JobView } from '../../../protocol/api/job.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import type { Selected } from '../selector.ts';

/** Fails with `not-found` where the job has fewer tasks. */
export function tasksOf({ tasks }: Selected, job: JobView): readonly number[] {
  const { total } = job.tasks;
  const { from, to } = tasks ?? { from: 1, to: total };
  if (to > total) {
    const has = total === 1 ? 'one task' : `tasks 1 to ${total}`;
    throw new SkeinError('not-found', `${job.jobId} has ${has}, no task ${to}`, { fix: `skein status ${job.jobId}` });
  }
  return Array.from({ length: to - from + 1 }, (_, n) => from + n);
}
