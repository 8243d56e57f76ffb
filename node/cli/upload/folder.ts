// Takes a folder along: what is in it but for what nobody means (.git, node_modules, …) and what .skeinignore names.
import { lstat, readdir, readFile, readlink, realpath, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import ignore from 'ignore';
import { SkeinError } from '../../../protocol/errors.ts';
import { reasonOf } from '../../config/reason.ts';
import type { Collection } from './collect.ts';
import { type PathMap, within } from './paths.ts';

/** As a worker makes folders. */
const USUAL_MODE = 0o755;

export const NEVER_TAKEN = ['.git', 'node_modules', '.venv', '__pycache__'] as const;

interface Walk {
  readonly root: string;
  readonly paths: PathMap;
  readonly taken: Collection;
  readonly because: string;
  /** Whether .skeinignore leaves out an absolute path. */
  readonly isIgnored: (path: string, isFolder: boolean) => boolean;
  readonly notes: string[];
  /** Links that lead out of the folder to files, which come along: `NAME -> FILE`. */
  readonly followed: string[];
}

/** @param folder absolute; itself always taken, whatever it is called. Adds sentences to `notes`. */
export async function takeFolder(
  folder: string,
  paths: PathMap,
  taken: Collection,
  because: string,
  notes: string[],
): Promise<void> {
  const root = await realpath(folder);
  const isIgnored = await ignoreRules([paths.cwd, root]);
  const followed: string[] = [];
  await walk(folder, { root, paths, taken, because, isIgnored, notes, followed });
  const [first] = followed;
  if (first === undefined) return;
  const [links, shown] =
    followed.length === 1
      ? ['a link leads', 'the file it shows goes']
      : [`${followed.length} links lead`, 'the files they show go'];
  notes.push(`${links} out of ${because}; ${shown} along: ${first} (.skeinignore leaves it here)`);
}

async function walk(folder: string, to: Walk): Promise<void> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    throw unreadable(folder, to.because, error);
  });
  const path = to.paths.workPath(folder);
  const mode = (await stat(folder)).mode & 0o777;
  const kept = mode === USUAL_MODE ? {} : { mode };
  if (path !== '.') to.taken.add({ kind: 'folder', path, ...kept, because: to.because });
  for (const name of names.sort()) {
    if ((NEVER_TAKEN as readonly string[]).includes(name)) continue;
    await takeEntry(join(folder, name), to);
  }
}

async function takeEntry(local: string, to: Walk): Promise<void> {
  const stats = await lstat(local);
  if (to.isIgnored(local, stats.isDirectory())) return;
  if (stats.isDirectory()) return walk(local, to);
  if (stats.isSymbolicLink()) return takeLink(local, to);
  if (stats.isFile()) {
    return to.taken.add({
      kind: 'file',
      path: to.paths.workPath(local),
      local,
      mode: stats.mode & 0o777,
      sizeBytes: stats.size,
      because: to.because,
    });
  }
  to.notes.push(`${local} is no file, folder or link; it stays here`);
}

/** A link to something that comes along stays a link; a link out of the folder becomes the file that it shows. */
async function takeLink(local: string, to: Walk): Promise<void> {
  const target = await readlink(local);
  const shown = resolve(dirname(local), target);
  const path = to.paths.workPath(local);
  if (within(to.root, await realParent(shown)) !== undefined) {
    const link = isAbsolute(target) ? relative(dirname(local), shown) : target;
    return to.taken.add({ kind: 'link', path, target: link.split(sep).join('/'), because: to.because });
  }
  const stats = await lstat(await realpath(local).catch(() => local));
  if (stats.isFile()) {
    const { mode, size } = stats;
    to.followed.push(`${local} -> ${await realpath(local)}`);
    return to.taken.add({ kind: 'file', path, local, mode: mode & 0o777, sizeBytes: size, because: to.because });
  }
  to.notes.push(`${local} is a link that leads out of the folder; it stays here`);
}

async function realParent(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    // A link to what is not there: judged by its name.
    return path;
  }
}

async function ignoreRules(folders: readonly string[]): Promise<(path: string, isFolder: boolean) => boolean> {
  const rules: { readonly folder: string; readonly ignores: (path: string) => boolean }[] = [];
  for (const folder of new Set(folders)) {
    const text = await readFile(join(folder, '.skeinignore'), 'utf8').catch(absent);
    if (text !== undefined) {
      const matcher = ignore().add(text);
      rules.push({ folder, ignores: (path) => matcher.ignores(path) });
    }
  }
  return (path, isFolder) =>
    rules.some(({ folder, ignores }) => {
      const name = within(folder, path);
      return name !== undefined && name !== '' && ignores(isFolder ? `${name}/` : name);
    });
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT') return undefined;
  throw new SkeinError('file-unreadable', `cannot read .skeinignore: ${reasonOf(error)}`, { cause: error });
}

export function unreadable(path: string, because: string, error: NodeJS.ErrnoException): SkeinError {
  const named = because === path ? '' : `, which ${because} names`;
  return new SkeinError('file-unreadable', `cannot read ${path}${named}: ${reasonOf(error)}`, {
    cause: error,
    fix: 'nothing was submitted; make it readable, or leave it out',
  });
}
