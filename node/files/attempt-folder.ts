// The folder of one attempt: where everything in it is, and how it goes.
import { chmod, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { onDisk, systemCode } from '../blob/disk.ts';

/** Of the folders that a script may write to. */
export const FOLDER_MODE = 0o755;

export interface AttemptFolder {
  readonly folder: string;
  /** The script's current folder, SKEIN_WORK. */
  readonly workFolder: string;
  readonly homeFolder: string;
  readonly tmpFolder: string;
  readonly stdinFile: string;
  readonly stdoutFile: string;
  readonly stderrFile: string;
  /** What was in the work folder before the script began (snapshot.ts). */
  readonly snapshotFile: string;
}

export function attemptFolder(folder: string): AttemptFolder {
  return {
    folder,
    workFolder: join(folder, 'work'),
    homeFolder: join(folder, 'home'),
    tmpFolder: join(folder, 'tmp'),
    stdinFile: join(folder, 'stdin'),
    stdoutFile: join(folder, 'stdout'),
    stderrFile: join(folder, 'stderr'),
    snapshotFile: join(folder, 'snapshot.json'),
  };
}

/** Removes an attempt's folder, also where its script took away the right to look into its own folders. */
export async function removeAttemptFolder(folder: string): Promise<void> {
  try {
    await rm(folder, { recursive: true, force: true });
  } catch (error) {
    const code = systemCode(error);
    if (code !== 'EACCES' && code !== 'EPERM') throw error;
    await openUp(Buffer.from(folder));
    await onDisk("removing an attempt's folder", rm(folder, { recursive: true, force: true }));
  }
}

async function openUp(folder: Buffer): Promise<void> {
  // Folders alone: the files share their mode with blobs.
  await chmod(folder, 0o700);
  for (const entry of await readdir(folder, { withFileTypes: true, encoding: 'buffer' })) {
    if (entry.isDirectory()) await openUp(Buffer.concat([folder, Buffer.from('/'), entry.name]));
  }
}
