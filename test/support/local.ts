// The mesh `local` of one test file, in folders of its own, and the question of all its tests: does a script that skein
// runs leave the same as one that is run directly? Everything goes through a shell and the launcher, as a user's would.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  createReadStream,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import * as assert from 'uvu/assert';
import { pidsWith, until } from './mesh.ts';

const LAUNCHER = join(import.meta.dirname, '../../node/launcher.js');
const LIMIT_MS = 120_000;

export interface Ran {
  readonly out: string;
  readonly err: string;
  readonly outBytes: Buffer;
  readonly errBytes: Buffer;
  readonly code: number | null;
  readonly signal: string | null;
}

/** Text or bytes of a file, with a mode perhaps; a link's target; null for an empty folder. */
export type Entry =
  | string
  | Buffer
  | { readonly bytes: string | Buffer; readonly mode: number }
  | { readonly link: string }
  | null;

export interface ShellOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

export class Local implements AsyncDisposable {
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  #folders = 0;

  private constructor(folder: string) {
    this.folder = folder;
    this.env = {
      // The system's own first: a shim in front of them would be timed, too.
      PATH: `/usr/bin:/bin:${process.env.PATH ?? ''}`,
      HOME: join(folder, 'home'),
      LANG: 'C.UTF-8',
      XDG_STATE_HOME: join(folder, 'state'),
      XDG_CONFIG_HOME: join(folder, 'config'),
      XDG_CACHE_HOME: join(tmpdir(), 'skein-test-cache'),
      NODE: process.execPath,
      LAUNCHER,
    };
    mkdirSync(join(folder, 'home'));
  }

  static async open(): Promise<Local> {
    return new Local(realpathSync(await mkdtemp(join(tmpdir(), 'skein-local-'))));
  }

  /** A folder of its own, filled. */
  place(entries: Readonly<Record<string, Entry>>): string {
    const folder = join(this.folder, `place-${++this.#folders}`);
    mkdirSync(folder);
    for (const [name, entry] of Object.entries(entries)) put(join(folder, name), entry);
    return folder;
  }

  /** Runs a line of bash in which `skein` is the command. */
  async shell(line: string, cwd: string, env: Readonly<Record<string, string>> = {}): Promise<Ran> {
    const program = `skein() { "$NODE" "$LAUNCHER" "$@"; }\n${line}`;
    const child = spawn('bash', ['-c', program], {
      cwd,
      env: { ...this.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
    const timer = setTimeout(() => process.kill(-(child.pid ?? 0), 'SIGKILL'), LIMIT_MS);
    const [code, signal] = await new Promise<[number | null, string | null]>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (...end) => resolve(end));
    });
    clearTimeout(timer);
    const [outBytes, errBytes] = [Buffer.concat(out), Buffer.concat(err)];
    return { out: outBytes.toString(), err: errBytes.toString(), outBytes, errBytes, code, signal };
  }

  /**
   * Runs one line directly and one through skein, in two folders that hold the same, and holds the two against each
   * other: bytes of both streams, exit code, and each file with its mode. `{CWD}` stands for either current folder.
   */
  async same(
    entries: Readonly<Record<string, Entry>>,
    direct: string,
    through: string,
    { env = {}, cwd = '.' }: ShellOptions = {},
  ): Promise<Ran> {
    const here = this.place(entries);
    const there = this.place(entries);
    const [wanted, got] = await Promise.all([
      this.shell(`${direct}; exit $?`, join(here, cwd), env),
      this.shell(`${through}; exit $?`, join(there, cwd), env),
    ]);
    const left = { ...endOf(wanted, here, this), files: await tree(here) };
    const came = { ...endOf(got, there, this), files: await tree(there) };
    assert.equal(came, left, `${through}\n${JSON.stringify({ came, left }, null, 1).slice(0, 4000)}`);
    return got;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The node, its runners and what they run: all carry the folder's name.
    await until('all processes of the mesh are gone', () => {
      const pids = pidsWith(this.folder, ['cmdline', 'environ']);
      for (const pid of pids) kill(pid);
      return pids.length === 0;
    });
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It is gone already, which is what a kill wants.
  }
}

function put(path: string, entry: Entry): void {
  if (entry === null) {
    mkdirSync(path, { recursive: true });
    return;
  }
  mkdirSync(dirname(path), { recursive: true });
  if (typeof entry === 'string' || Buffer.isBuffer(entry)) writeFileSync(path, entry);
  else if ('link' in entry) symlinkSync(entry.link, path);
  else {
    writeFileSync(path, entry.bytes);
    chmodSync(path, entry.mode);
  }
}

/** A script that tells where it runs tells so on both sides. */
function endOf(ran: Ran, cwd: string, { folder }: Local) {
  const neutral = (bytes: Buffer): string =>
    bytes
      .toString('latin1')
      .replaceAll(cwd, '{CWD}')
      .replace(new RegExp(`${folder}/state/skein/local/attempts/[\\w.]+/work`, 'g'), '{CWD}');
  return { out: neutral(ran.outBytes), err: neutral(ran.errBytes), code: ran.code, signal: ran.signal };
}

/** Whether tests of that language can be run here. */
export const hasCommand = (name: string): boolean => spawnSync(name, ['--version']).error === undefined;

/** Every entry below a folder: `mode sha256`, a link's target, or a folder's mark. */
export async function tree(folder: string): Promise<Readonly<Record<string, string>>> {
  const found: Record<string, string> = {};
  for (const name of (readdirSync(folder, { recursive: true }) as string[]).sort()) {
    const path = join(folder, name);
    const stats = lstatSync(path);
    if (stats.isSymbolicLink()) found[name] = `-> ${readlinkSync(path)}`;
    else if (stats.isDirectory()) found[name] = `folder ${(stats.mode & 0o777).toString(8)}`;
    else found[name] = `${(stats.mode & 0o777).toString(8)} ${await sha256Of(path)}`;
  }
  return found;
}

export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
