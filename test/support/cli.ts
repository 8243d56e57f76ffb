// Runs the command line against a mesh of a test, as a user of it would, and judges how it failed: in one line.
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';

export const LAUNCHER = join(import.meta.dirname, '../../node/launcher.js');
const LIMIT_MS = 90_000;
/** What a stack, a bug or Node's own words would show. */
const INSIDE = /\n\s+at |node:internal|met a bug|TypeError|undefined|\[object /;

export interface Said {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface How {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Program and arguments that the launcher is run by, for instance as another user. */
  readonly by?: readonly string[];
}

/** The command line of a user whose home, state and configuration lie in `folder`; nodes started there are found. */
export class Cli {
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;

  constructor(folder: string) {
    this.folder = folder;
    this.env = {
      PATH: process.env.PATH ?? '/usr/bin:/bin',
      HOME: folder,
      LANG: 'C.UTF-8',
      XDG_STATE_HOME: join(folder, 'state'),
      XDG_CONFIG_HOME: join(folder, 'config'),
      NODE_COMPILE_CACHE: join(tmpdir(), 'skein-test-cache'),
    };
  }

  /** A folder to work in. */
  place(name: string): string {
    const path = join(this.folder, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  start(args: readonly string[], { cwd = this.folder, env = {}, by = [] }: How = {}) {
    const [program = '', ...rest] = [...by, process.execPath, '--', LAUNCHER, ...args];
    return spawn(program, rest, { cwd, env: { ...this.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  }

  async run(args: readonly string[], how: How = {}): Promise<Said> {
    const child = this.start(args, how);
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
    const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    clearTimeout(timer);
    return { code, out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString() };
  }

  /** Runs what must fail with this exit code and say this, in one line on stderr, with nothing on stdout. */
  async fails(args: readonly string[], code: number, says: RegExp, how: How = {}): Promise<void> {
    judgeFailure(`skein ${args.join(' ').slice(0, 200)}`, await this.run(args, how), code, says);
  }
}

export function judgeFailure(what: string, said: Said, code: number, says: RegExp): void {
  const context = `${what}\nexit ${said.code}\n${said.out}${said.err}`;
  assert.is(said.code, code, context);
  assert.is(said.out, '', context);
  assert.match(said.err, /^skein: [^\n]*\n$/, `one line: ${context}`);
  assert.match(said.err, says, context);
  assert.not.match(said.err, INSIDE, context);
}
