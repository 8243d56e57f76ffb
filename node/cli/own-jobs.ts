// The jobs that this user submitted from this machine: what `@last` means, and which jobs may say where their results
// go. A job that another person submitted must not choose a folder here.
import { appendFile, mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SkeinError } from '../../protocol/errors.ts';
import { type Surroundings, stateFolder } from '../config/folders.ts';

const KEPT = 1000;
/** Of about twice as many lines: then the older half goes. */
const FILE_MAX_BYTES = 40_000;
const fileOf = (from: Surroundings): string => join(stateFolder(from), 'jobs.list');

export async function noteJob(jobId: string, from: Surroundings): Promise<void> {
  const file = fileOf(from);
  await mkdir(stateFolder(from), { recursive: true, mode: 0o700 });
  await appendFile(file, `${jobId}\n`, { mode: 0o600 });
  if ((await stat(file)).size < FILE_MAX_BYTES) return;
  const kept = (await ownJobs(from)).slice(-KEPT).map((each) => `${each}\n`);
  await writeFile(`${file}.${process.pid}`, kept.join(''), { mode: 0o600 });
  await rename(`${file}.${process.pid}`, file);
}

/** Oldest first. */
export async function ownJobs(from: Surroundings): Promise<readonly string[]> {
  const text = await readFile(fileOf(from), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  return text.split('\n').filter((line) => line !== '');
}

/** Fails with `not-found` where there is none yet. */
export async function lastJob(from: Surroundings): Promise<string> {
  const last = (await ownJobs(from)).at(-1);
  if (last !== undefined) return last;
  throw new SkeinError('not-found', 'this user has run no job from this machine yet', {
    fix: 'skein list shows all jobs',
  });
}
