// The mesh `local`: where none is configured, a node of this same program, started in the background by the first command
// that needs one, gone by itself when idle. One starter at a time; everyone else waits for its address.
import { spawn } from 'node:child_process';
import { mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { SkeinError } from '../protocol/errors.ts';
import type { Clock } from '../protocol/time.ts';
import { type Surroundings, stateFolder } from './config/folders.ts';
import { isRunning } from './config/nodes.ts';
import { withoutOthers } from './descriptors.ts';

/** As in local-node.ts. */
const READY_FD = 3;
const START_LIMIT_MS = 30_000;
const LOOK_MS = 25;
const CHECK_TIMEOUT_MS = 2_000;

export interface LocalMesh {
  readonly url: string;
  readonly keyFile: string;
}

interface Address {
  readonly url: string;
  readonly pid: number;
}

export const localFolder = (from: Surroundings): string => join(stateFolder(from), 'local');

/** Fails with `unreachable` where the mesh `local` cannot be started; its log says more. */
export async function ensureLocalMesh(from: Surroundings, clock: Clock): Promise<LocalMesh> {
  const folder = localFolder(from);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const until = clock.monotonic() + START_LIMIT_MS;
  while (clock.monotonic() < until) {
    const address = await readAddress(folder);
    if (address !== undefined && (await answers(address)))
      return { url: address.url, keyFile: join(folder, 'admin.key') };
    const turn = await takeTurn(folder);
    if (turn !== undefined) {
      try {
        await startNode(folder, until - clock.monotonic());
      } finally {
        await turn.end();
      }
    }
    await clock.sleep(LOOK_MS);
  }
  throw new SkeinError('unreachable', `the mesh local did not start within ${START_LIMIT_MS / 1000} s`, {
    fix: `look into ${join(folder, 'node.log')}`,
  });
}

async function readAddress(folder: string): Promise<Address | undefined> {
  try {
    const { url, pid } = JSON.parse(await readFile(join(folder, 'address.json'), 'utf8')) as Address;
    return isRunning(pid) ? { url, pid } : undefined;
  } catch {
    // Not there yet, or cut by a crash: the mesh is to be started.
    return undefined;
  }
}

async function answers({ url }: Address): Promise<boolean> {
  try {
    return (await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(CHECK_TIMEOUT_MS) })).ok;
  } catch {
    // Going down, or not up yet.
    return false;
  }
}

/** Undefined while another process has the turn to start the node. */
async function takeTurn(folder: string): Promise<{ end(): Promise<void> } | undefined> {
  const path = join(folder, 'starting');
  try {
    await using file = await open(path, 'wx', 0o600);
    await file.writeFile(String(process.pid));
    return { end: () => rm(path, { force: true }) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    await clearStaleTurn(path);
    return undefined;
  }
}

async function clearStaleTurn(path: string): Promise<void> {
  try {
    const pid = Number(await readFile(path, 'utf8'));
    const age = Date.now() - (await stat(path)).mtimeMs;
    // A pid that is not written yet belongs to one who is about to.
    const stale = pid > 0 ? !isRunning(pid) : age > 1_000;
    if (stale || age > START_LIMIT_MS) await rm(path, { force: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

/** Resolves when the node is ready, or has ended: the caller looks again either way. */
async function startNode(folder: string, limitMs: number): Promise<void> {
  const errors = await open(join(folder, 'stderr.log'), 'w', 0o600);
  const entry = new URL(import.meta.url.endsWith('.ts') ? './local-node.ts' : './local-node.js', import.meta.url);
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', entry.pathname, folder];
  const [file = process.execPath, ...args] = withoutOthers(node, [READY_FD]);
  const child = spawn(file, args, {
    cwd: folder,
    detached: true,
    stdio: ['ignore', 'ignore', errors.fd, 'pipe'],
  });
  const pipe = child.stdio[READY_FD];
  let line = '';
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, Math.max(0, limitMs));
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    pipe?.on('data', (chunk: Buffer) => {
      line += chunk.toString();
      if (line.includes('\n')) done();
    });
    child.on('error', done).on('exit', done);
  });
  await errors.close();
  child.unref();
  if (pipe instanceof Socket) pipe.destroy();
  if (line.includes('\n')) {
    const { url, pid } = JSON.parse(line) as Address;
    const half = join(folder, `address.json.${process.pid}`);
    await writeFile(half, JSON.stringify({ url, pid }), { mode: 0o600 });
    await rename(half, join(folder, 'address.json'));
    return;
  }
  await explain(folder, child.exitCode);
}

/** A node that ended because another holds the folder is no failure: that one answers soon. */
async function explain(folder: string, exitCode: number | null): Promise<void> {
  if (exitCode === null) return;
  const said = (await readFile(join(folder, 'stderr.log'), 'utf8').catch(() => '')).trim();
  if (said.includes('folder-locked')) return;
  throw new SkeinError(
    'unreachable',
    `the mesh local could not be started: ${said.split('\n').at(-1) || `exit ${exitCode}`}`,
    {
      fix: `look into ${join(folder, 'node.log')}`,
    },
  );
}
