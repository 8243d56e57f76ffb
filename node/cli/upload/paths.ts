// Where a local path lies in a task's work folder, and the way back. Inside the current folder the relative name stays;
// anything else lies under `_skein/root` by its absolute name, so that paths beside each other stay beside each other
// and the way back needs no table: the job's own spec holds all of it (DESIGN.md section 6).
import { realpathSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';

const OUTSIDE = '_skein/root';

export interface PathMap {
  /** Absolute, free of symbolic links. */
  readonly cwd: string;
  /** The name in the work folder, `.` for the current folder itself. */
  workPath(local: string): string;
  isInside(local: string): boolean;
  /** The absolute path that an argument names, `..` taken after links as the system takes it. */
  absolute(path: string): string;
}

export function pathMap(cwd: string): PathMap {
  const root = real(cwd);
  const workPath = (local: string): string => {
    const named = resolve(root, local);
    const settled = settle(named);
    // A name inside stays as it is spelled, also below a link; one outside may lead inside after all.
    const inside = within(root, named) ?? within(root, settled);
    if (inside === undefined) return OUTSIDE + settled;
    return inside === '' ? '.' : inside.split(sep).join('/');
  };
  return {
    cwd: root,
    workPath,
    isInside: (local) => !workPath(local).startsWith(`${OUTSIDE}/`),
    absolute: (path) =>
      path.split('/').includes('..') ? real(isAbsolute(path) ? path : `${root}/${path}`) : resolve(root, path),
  };
}

/** The path of `child` below `parent`, empty for itself, or undefined where it lies elsewhere. */
export function within(parent: string, child: string): string | undefined {
  const path = relative(parent, child);
  return path === '..' || path.startsWith(`..${sep}`) || isAbsolute(path) ? undefined : path;
}

/** The folder's links resolved, the last part as it is: a link is named by its own name. */
function settle(path: string): string {
  const parent = dirname(path);
  return parent === path ? path : join(real(parent), basename(path));
}

/** As realpath, for paths whose end is not there yet. */
function real(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    // Not there (yet): its parent may be.
    const parent = dirname(path);
    return parent === path ? resolve(path) : join(real(parent), basename(path));
  }
}

/** A returned file's local place: below `outputDir`, or the absolute path that its name holds. */
export function localPath(workPath: string, outputDir: string): { readonly path: string; readonly outside: boolean } {
  if (workPath.startsWith(`${OUTSIDE}/`)) return { path: workPath.slice(OUTSIDE.length), outside: true };
  return { path: join(outputDir, workPath), outside: false };
}

/**
 * The absolute folders outside that the job's arguments name, and so the only places outside that its results may
 * come back to: a script that makes up a `_skein/root/…` of its own gets nowhere.
 */
export function outsideFolders(texts: Iterable<string>): readonly string[] {
  const folders = new Set<string>();
  for (const text of texts) {
    const at = text.indexOf(`${OUTSIDE}/`);
    if (at < 0) continue;
    const path = text.slice(at + OUTSIDE.length);
    const placeholder = path.indexOf('{');
    // What follows a placeholder is not known yet; the folder before it is.
    const folder = placeholder < 0 ? dirname(path) : path.slice(0, path.lastIndexOf('/', placeholder));
    const clean = resolve('/', folder);
    if (clean !== '/') folders.add(clean);
  }
  return [...folders];
}

/** A path that may be created below a folder: relative, no `..`, nothing that a file system would read otherwise. */
export function isSafePath(path: string): boolean {
  if (path === '' || path.includes('\0') || path.startsWith('/')) return false;
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}
