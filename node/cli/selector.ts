// How people name a job or some of its tasks: `@last`, the beginning of an id, `JOB/17`, `JOB/3-9`.
import { SkeinError } from '../../protocol/errors.ts';
import type { Surroundings } from '../config/folders.ts';
import { lastJob } from './own-jobs.ts';

export interface Selected {
  /** An id, or the beginning of one: the gateway finds the rest. */
  readonly job: string;
  readonly tasks: { readonly from: number; readonly to: number } | undefined;
}

/** Fails with `usage` where the text is no selector, `not-found` where there is no last job. */
export async function select(text: string | undefined, from: Surroundings): Promise<Selected> {
  const selected = parseSelector(text ?? '');
  return selected.job === '@last' ? { ...selected, job: await lastJob(from) } : selected;
}

export function parseSelector(text: string): Selected {
  const match = /^(@last|(?:j-)?[a-z2-7]{2,16})(?:\/(\d{1,9})(?:-(\d{1,9}))?)?$/.exec(text);
  if (match === null) {
    const what = text === '' ? 'no job is named' : `${text} names no job`;
    throw new SkeinError('usage', what, { fix: 'give an id or its first characters, @last, JOB/17 or JOB/3-9' });
  }
  const [, name = '', first, last] = match;
  const job = name === '@last' || name.startsWith('j-') ? name : `j-${name}`;
  // At least four characters, `j-` included in none of them.
  if (job !== '@last' && job.length < 6) {
    throw new SkeinError('usage', `${text} is too short to name a job`, {
      fix: 'give at least four characters of its id',
    });
  }
  return { job, tasks: tasksOf(first, last, text) };
}

function tasksOf(first: string | undefined, last: string | undefined, text: string): Selected['tasks'] {
  if (first === undefined) return undefined;
  const [from, to] = [Number(first), Number(last ?? first)];
  if (from < 1 || to < from)
    throw new SkeinError('usage', `${text} names no tasks`, { fix: 'tasks count from 1: JOB/17, JOB/3-9' });
  return { from, to };
}

/** The one task that a selector names. Fails with `usage` where it names several. */
export function oneTask(selected: Selected): number | undefined {
  if (selected.tasks === undefined) return undefined;
  if (selected.tasks.from !== selected.tasks.to) {
    throw new SkeinError('usage', 'one task at a time', { fix: `give ${selected.job}/${selected.tasks.from}` });
  }
  return selected.tasks.from;
}

/** A job's id as people are shown it. The whole is 80 random bits; the first 30 tell a user's jobs apart. */
export const shortId = (jobId: string): string => jobId.slice(0, 8);

/** A command for the user to type: `skein attach j-7kqm2w`, with the mesh where this call named one. */
export function skeinCommand(
  { flags }: { readonly flags: Readonly<Record<string, unknown>> },
  verb: string,
  jobId: string,
): string {
  const mesh = typeof flags.mesh === 'string' ? ` --mesh ${flags.mesh}` : '';
  return `skein${mesh} ${verb} ${shortId(jobId)}`;
}
