// Goes through a folder that a script left behind: depth first, in the bytes' order of the names, never through a link.
import { type BigIntStats, type Dirent, lstatSync, readdirSync } from 'node:fs';
import { pathFault } from '../../protocol/paths.ts';
import { atOnce, diskError, systemCode } from '../blob/disk.ts';
import { breaths } from './breaths.ts';

export interface Found {
  /** Relative to the root, forward slashes. */
  readonly path: string;
  readonly stats: BigIntStats;
  /** Of a folder: whether nothing is in it. */
  readonly isEmpty: boolean;
}

type Skip = (path: string, why: string) => void;

interface Open {
  readonly prefix: string;
  /** Last name first. */
  readonly entries: Dirent<Buffer>[];
}

/** Yields all that is in there, a folder before what it holds. What cannot be named or looked into is told to `skip`. */
export async function* walk(root: string, skip: Skip): AsyncGenerator<Found> {
  if (!atOnce('looking at the work folder', () => lstatSync(root)).isDirectory())
    return skip('.', 'is no folder any more');
  const open: Open[] = [{ prefix: '', entries: entriesOf(root, '.', skip) }];
  const breath = breaths();
  for (let folder = open.at(-1); folder !== undefined; folder = open.at(-1)) {
    const entry = folder.entries.pop();
    if (entry === undefined) {
      open.pop();
      continue;
    }
    await breath();
    const path = pathOf(folder.prefix, entry.name, skip);
    if (path === undefined) continue;
    const full = `${root}/${path}`;
    const stats = unlessTooLong(path, () => lstatSync(full, { bigint: true }), skip);
    if (stats === undefined) continue;
    const entries = stats.isDirectory() ? entriesOf(full, path, skip) : [];
    yield { path, stats, isEmpty: entries.length === 0 };
    if (entries.length > 0) open.push({ prefix: `${path}/`, entries });
  }
}

// A byte order mark at the start of a name is part of it.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function pathOf(prefix: string, name: Buffer, skip: Skip): string | undefined {
  let path: string;
  try {
    path = prefix + utf8.decode(name);
  } catch {
    // Not UTF-8: neither JSON nor HTTP nor half of the other machines have a way to write it.
    skip(prefix + name.toString('latin1'), 'has a name that is not UTF-8');
    return undefined;
  }
  const fault = pathFault(path);
  if (fault === undefined) return path;
  skip(path, fault);
  return undefined;
}

function entriesOf(folder: string, path: string, skip: Skip): Dirent<Buffer>[] {
  const list = (): Dirent<Buffer>[] => readdirSync(folder, { withFileTypes: true, encoding: 'buffer' });
  return (unlessTooLong(path, list, skip) ?? []).sort((a, b) => Buffer.compare(b.name, a.name));
}

function unlessTooLong<T>(path: string, look: () => T, skip: Skip): T | undefined {
  try {
    return look();
  } catch (error) {
    const code = systemCode(error);
    if (code === 'EACCES') skip(path, 'may not be looked into');
    else if (code === 'ENAMETOOLONG') skip(path, 'has too long a path');
    else throw diskError('looking through the outputs', error);
    return undefined;
  }
}
