// Follows a job that is there already: its place is the one it remembers, if this user submitted it from this machine.
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import type { JobView } from '../../../protocol/api/job.ts';
import type { JobSpec } from '../../../protocol/api/jobspec.ts';
import type { Config } from '../../config/config.ts';
import { type Call, flag, isSet } from '../call.ts';
import type { Mesh } from '../mesh.ts';
import { ownJobs } from '../own-jobs.ts';
import { shortId } from '../selector.ts';
import { accompany, handleInterrupts } from './accompany.ts';

/** Answers the exit code, as `run` would. */
export async function followJob(call: Call, config: Config, mesh: Mesh, view: JobView): Promise<number> {
  const spec = view.spec as unknown as JobSpec;
  const place = await placeOf(call, view.jobId, spec);
  const fetches = config.job.fetch !== false && place.outputDir !== undefined;
  await call.screen.say(`${shortId(view.jobId)}  ${view.state}${view.name === null ? '' : `  ${view.name}`}`);
  if (place.outputDir === undefined && config.job.fetch !== false) {
    await call.screen.say(
      `it was not submitted from here; its results: skein outputs get ${shortId(view.jobId)} --output-dir DIR`,
    );
  }
  const interrupts = handleInterrupts(call, { isLocal: mesh.isLocal, onExit: config.job.onExit });
  try {
    return await accompany({
      call,
      jobs: mesh.client,
      jobId: view.jobId,
      spec,
      taskCount: view.tasks.total,
      isLocal: mesh.isLocal,
      dataFolder: mesh.dataFolder,
      outputDir: fetches ? place.outputDir : undefined,
      overwrite: config.job.overwrite ?? false,
      folder: place.folder,
      follow: isSet(call, 'follow'),
      onExit: config.job.onExit,
      progress: config.job.progress ?? 'auto',
      interrupts,
    });
  } finally {
    interrupts.stop();
  }
}

export interface Place {
  /** Where its inputs came from, absolute. */
  readonly folder: string;
  /** Where its results go, absolute; undefined where nothing here may say so. */
  readonly outputDir: string | undefined;
}

/** `--output-dir` says it; else the job, but only to the user and machine that submitted it. */
export async function placeOf(call: Call, jobId: string, spec: JobSpec): Promise<Place> {
  const from = call.world.surroundings;
  const { origin } = spec;
  const isOwn = origin?.host === hostname() && (await ownJobs(from)).includes(jobId);
  const asked = flag(call, 'outputDir');
  const folder = isOwn ? origin.folder : from.cwd;
  if (asked !== undefined) return { folder, outputDir: resolve(from.cwd, asked) };
  return { folder, outputDir: isOwn ? origin.outputDir : undefined };
}
