// Which arguments name something here, what comes along for them, and how they read in the work folder.
// An argument is looked at whole, and after `--x=`; all that names nothing here passes untouched.
import { accessSync, constants, type Stats } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';
import { SkeinError } from '../../../protocol/errors.ts';
import type { Collection } from './collect.ts';
import { takeFolder, unreadable } from './folder.ts';
import type { PathMap } from './paths.ts';
import { statOf } from './stat.ts';

export interface ArgumentContext {
  readonly paths: PathMap;
  readonly home: string;
  readonly taken: Collection;
  /** Sentences for the user. */
  readonly notes: string[];
}

/** The argument as the script shall get it. Fails with `usage` for `/` and the home folder, `file-unreadable`. */
export async function takeArgument(arg: string, to: ArgumentContext): Promise<string> {
  const assigned = /^(--?[A-Za-z0-9][A-Za-z0-9_.-]*=)([\s\S]+)$/.exec(arg);
  const path = assigned?.[2] ?? arg;
  // A flag, unless a file is called so.
  const isFlag = assigned === null && arg.startsWith('-') && statOf(resolve(to.paths.cwd, arg)) === undefined;
  if (path === '' || isFlag) return arg;
  return (assigned?.[1] ?? '') + (await takePath(path, arg, to));
}

async function takePath(path: string, arg: string, to: ArgumentContext): Promise<string> {
  const local = to.paths.absolute(path);
  const stats = statOf(local);
  if (stats === undefined) return outputPath(path, local, to);
  if (stats.isFile()) return takeFile(path, local, stats, arg, to);
  if (stats.isDirectory()) return takeNamedFolder(path, local, arg, to);
  // A device is there on every machine; a pipe (`<(…)`) only here.
  if (stats.isFIFO()) to.notes.push(`${arg} is a pipe of this machine; the script will not find it`);
  return path;
}

function takeFile(path: string, local: string, stats: Stats, arg: string, to: ArgumentContext): string {
  try {
    accessSync(local, constants.R_OK);
  } catch (error) {
    throw unreadable(path, arg, error as NodeJS.ErrnoException);
  }
  const workPath = to.paths.workPath(local);
  const { mode, size } = stats;
  to.taken.add({ kind: 'file', path: workPath, local, mode: mode & 0o777, sizeBytes: size, because: arg });
  return rewritten(path, workPath);
}

async function takeNamedFolder(path: string, local: string, arg: string, to: ArgumentContext): Promise<string> {
  refuseWholeDisk(local, to.home, arg);
  if (!to.paths.isInside(local)) {
    to.notes.push(`${arg} is a folder outside the current one; it stays here (--input ${arg} brings it)`);
    return path;
  }
  await takeFolder(local, to.paths, to.taken, arg, to.notes);
  return rewritten(path, to.paths.workPath(local));
}

/** Nobody means to send their whole disk or home (DESIGN.md section 6). */
export function refuseWholeDisk(local: string, home: string, arg: string): void {
  const whole = local === '/' ? 'the whole disk' : local === resolve(home) ? 'your whole home folder' : undefined;
  if (whole === undefined) return;
  throw new SkeinError('usage', `${arg} is ${whole}; skein never takes that along`, {
    fix: 'name the folder or the files that the script needs',
  });
}

/** Folders where a new file is no result to be brought back. */
const NO_OUTPUTS = ['/', '/dev', '/proc', '/sys'];

/** Nothing here by that name: where its folder is, the script shall find that folder, and write into it. */
function outputPath(path: string, local: string, to: ArgumentContext): string {
  const parent = dirname(local);
  if (
    !looksLikePath(path) ||
    NO_OUTPUTS.some((folder) => parent === folder || (parent.startsWith(`${folder}/`) && folder !== '/'))
  )
    return path;
  if (statOf(parent)?.isDirectory() !== true) return path;
  const folder = to.paths.workPath(parent);
  if (folder !== '.') to.taken.add({ kind: 'folder', path: folder, because: path });
  const slash = path.endsWith('/') ? '/' : '';
  return rewritten(path, to.paths.workPath(local) + slash);
}

const looksLikePath = (path: string): boolean => path.includes('/') && !path.includes('\n') && !path.includes('://');

/** Only what could not be found there under its own name reads otherwise. */
export function rewritten(path: string, workPath: string): string {
  return isAbsolute(path) || path.split('/').includes('..') ? workPath : path;
}
