// Whether what a job took along still is what lies here: a retry runs the job's bytes, not those edited since.
import { stat } from 'node:fs/promises';
import type { JobSpec } from '../../../protocol/api/jobspec.ts';
import { hashFile } from '../upload/hash.ts';
import { localPath } from '../upload/paths.ts';

/** The script and inputs that differ here now, by their names in the job; what is gone does not count. */
export async function drifted(spec: JobSpec, folder: string): Promise<readonly string[]> {
  const taken = [...(spec.script === undefined ? [] : [spec.script]), ...(spec.inputs ?? [])];
  const changed: string[] = [];
  for (const { path, sha256 } of taken) {
    const local = localPath(path, folder).path;
    if (sha256 === undefined || !(await isFile(local))) continue;
    if ((await hashFile(local, path)).sha256 !== sha256) changed.push(path);
  }
  return changed;
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    // Gone, or out of reach: the job has its own.
    return false;
  }
}
