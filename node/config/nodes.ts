// The nodes of this machine, as each notes itself down (UX 7.10), so that the CLI finds gateway and key by itself.
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SkeinError } from '../../protocol/errors.ts';
import { nodesFolder, type Surroundings } from './folders.ts';

export interface NodeEntry {
  /** `http://127.0.0.1:7070`, or with `#sha256=PIN`; null where the node is no gateway. */
  readonly url: string | null;
  readonly dataFolder: string;
  readonly pid: number;
  readonly meshId: string;
  readonly meshName: string;
  readonly name: string;
}

/** Written by a node once it is ready; readable by its owner alone. Answers the file's path, for `removeNodeEntry`. */
export async function writeNodeEntry(entry: NodeEntry, from: Surroundings): Promise<string> {
  const folder = nodesFolder(from);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, `${entry.meshId}-${entry.name}.json`);
  const half = `${path}.${entry.pid}`;
  await writeFile(half, `${JSON.stringify(entry)}\n`, { mode: 0o600 });
  await rename(half, path);
  return path;
}

/** Removes the entry unless another process has taken its place. */
export async function removeNodeEntry(path: string, pid: number): Promise<void> {
  const entry = await readEntry(path);
  if (entry?.pid === pid) await rm(path, { force: true });
}

/** Every entry whose data folder is still there. Fails with `forbidden` where this user may not read one. */
export async function readNodeEntries(from: Surroundings): Promise<readonly NodeEntry[]> {
  const folder = nodesFolder(from);
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return [];
    throw unreadable(folder, error);
  });
  const entries: NodeEntry[] = [];
  for (const name of names.filter((each) => each.endsWith('.json')).sort()) {
    const entry = await readEntry(join(folder, name));
    if (entry !== undefined && (await isFolder(entry.dataFolder))) entries.push(entry);
  }
  return entries;
}

async function readEntry(path: string): Promise<NodeEntry | undefined> {
  try {
    return parseEntry(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EACCES') throw unreadable(path, error as Error);
    // Gone since it was listed, or cut by a crash: no node to be found here either way.
    return undefined;
  }
}

function parseEntry(value: unknown): NodeEntry | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { url, dataFolder, pid, meshId, meshName, name } = value as Readonly<Record<string, unknown>>;
  if (typeof dataFolder !== 'string' || typeof pid !== 'number' || typeof meshId !== 'string') return undefined;
  if (typeof meshName !== 'string' || typeof name !== 'string') return undefined;
  return { url: typeof url === 'string' ? url : null, dataFolder, pid, meshId, meshName, name };
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    // A folder that may not be looked at is there: its key will say so.
    return (error as NodeJS.ErrnoException).code === 'EACCES';
  }
}

function unreadable(path: string, cause: Error): SkeinError {
  return new SkeinError('forbidden', `a node runs here, but this user may not read ${path}`, {
    cause,
    fix: 'use its owner, or skein login with a key of your own',
  });
}

/** Whether the process is there; a process of another user counts. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
