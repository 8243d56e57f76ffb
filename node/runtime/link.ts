// The daemon's end of one runner: starts or finds it, talks to it over its socket, and knows when it is truly gone.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SkeinError } from '../../protocol/errors.ts';
import type { Clock } from '../../protocol/time.ts';
import { withoutOthers } from '../descriptors.ts';
import { killUntilGone, once } from './kill.ts';
import { platform } from './platform.ts';
import type { RunnerHome } from './runner-home.ts';
import { sendSignal } from './signal.ts';
import { encodeLine, type FromRunner, LineReader, parseMessage, RUNNER_VERSION, type ToRunner } from './wire.ts';

/** A runner is up in about 70 ms; a machine that swaps may need longer. */
const START_DEADLINE_MS = 20_000;
const ANSWER_DEADLINE_MS = 3000;
/** A runner that left this many lease messages unanswered, over half a lease, cannot hold a lease. */
const UNANSWERED_MAX = 3;

// A small heap: there is one of these for each slot.
const NODE_FLAGS = [
  '--max-old-space-size=24',
  '--max-semi-space-size=1',
  '--v8-pool-size=0',
  '--no-opt',
  '--no-maglev',
  '--no-sparkplug',
  '--no-warnings',
];
// Source and built package differ in the extension alone.
const RUNNER_FILE = fileURLToPath(new URL(`./runner${extname(import.meta.url)}`, import.meta.url));

/** By these a runner is found again in the process table. */
export const homeArgument = (home: RunnerHome): string => `--runner-home=${home.folder}`;
const socketArgument = (name: string): string => `--socket=${name}`;

export interface RunnerDelays {
  /** A runner whose daemon stays away this long kills its attempt. */
  readonly awayMs: number;
  /** One without daemon and attempt ends after this. */
  readonly idleMs: number;
  /** An attempt that is frozen this long is killed. */
  readonly frozenMs: number;
}

export type RunnerState = Extract<FromRunner, { kind: 'state' }>;

export interface LinkEvents {
  onMessage(message: FromRunner): void;
  /** The runner and, in a namespace, all that it started are gone from the process table, but for what hangs in the kernel. */
  onGone(left: readonly number[]): void;
}

export class RunnerLink {
  /** What it said on attaching. */
  readonly state: RunnerState;
  readonly pids: readonly number[];
  readonly gone: Promise<readonly number[]>;
  readonly #opened: Opened;
  readonly #socket: Socket;
  readonly #clock: Clock;
  #events: LinkEvents | undefined;
  #released = false;
  #unanswered = 0;
  #unansweredSince = 0;

  private constructor(clock: Clock, opened: Opened, pids: readonly number[]) {
    this.#clock = clock;
    this.#socket = opened.socket;
    this.pids = pids;
    this.#opened = opened;
    this.state = opened.state;
    const closed = new Promise<void>((resolve) => {
      if (opened.socket.closed) resolve();
      else opened.socket.once('close', () => resolve());
    });
    this.gone = closed.then(() => this.#mourn());
  }

  /** Starts a runner and attaches to it. Fails with `runtime-failed`. */
  static async start(clock: Clock, home: RunnerHome, delays: RunnerDelays): Promise<RunnerLink> {
    const name = home.newSocket();
    const command = [...home.command, process.execPath, ...NODE_FLAGS, RUNNER_FILE];
    const [file = process.execPath, ...args] = withoutOthers(command);
    args.push(homeArgument(home), socketArgument(name), `--containment=${home.containment}`);
    args.push(`--away-ms=${delays.awayMs}`, `--idle-ms=${delays.idleMs}`, `--frozen-ms=${delays.frozenMs}`);
    const log = openSync(`${home.folder}/runner.log`, 'a', 0o600);
    const child = spawn(file, args, {
      cwd: home.folder,
      // Nothing of the daemon's. The cache saves a runner from translating its own source at every start.
      env: { NODE_COMPILE_CACHE: `${home.folder}/cache` },
      stdio: ['ignore', 'pipe', log],
      detached: true,
    });
    closeSync(log);
    child.unref();
    try {
      await isReady(child);
      const pid = child.pid ?? 0;
      return new RunnerLink(clock, await open(home.reach(name)), [...platform.children(pid), pid]);
    } catch (cause) {
      for (const pid of child.pid === undefined ? [] : [...platform.children(child.pid), child.pid]) {
        sendSignal(pid, 'SIGKILL');
      }
      throw new SkeinError('runtime-failed', `A runner could not be started: ${describe(cause)}`, {
        cause,
        fix: `Look at ${home.folder}/runner.log.`,
      });
    }
  }

  /** Attaches to a runner of an earlier daemon; undefined where none listens any more. Throws where one does not answer. */
  static async attach(clock: Clock, home: RunnerHome, name: string): Promise<RunnerLink | undefined> {
    try {
      const opened = await open(home.reach(name));
      return new RunnerLink(clock, opened, platform.withArgument(socketArgument(name)));
    } catch (error) {
      if (isNodeError(error) && (error.code === 'ECONNREFUSED' || error.code === 'ENOENT')) return undefined;
      throw error;
    }
  }

  /** Once: from here on nothing that it says is missed, nor what it has said since it attached. */
  listen(events: LinkEvents): void {
    this.#events = events;
    for (const line of this.#opened.early.splice(0)) this.#hear(line);
    this.#opened.onLine = (line) => this.#hear(line);
    void this.gone.then((left) => {
      if (!this.#released) events.onGone(left);
    });
  }

  send(message: ToRunner): void {
    if (message.kind === 'extend') this.#expectAnswer(message.lease.leaseMs);
    this.#socket.write(encodeLine(message));
  }

  /** Ends it and, with it, all that it runs. */
  kill(): void {
    for (const pid of this.pids) sendSignal(pid, 'SIGKILL');
    this.#socket.destroy();
  }

  /** Lets go and leaves it alive; nothing is reported any more. */
  async release(): Promise<void> {
    this.#released = true;
    await new Promise<void>((resolve) => {
      if (this.#socket.closed) return resolve();
      this.#socket.once('close', () => resolve());
      this.#socket.destroySoon();
    });
  }

  #hear(line: string): void {
    const message = parseMessage<FromRunner>(line);
    if (message === undefined || this.#released) return;
    this.#unanswered = 0;
    // Another daemon holds it now, and this one has no say in what becomes of it.
    if (message.kind === 'replaced') this.#released = true;
    else if (message.kind !== 'alive') this.#events?.onMessage(message);
  }

  /** A runner that hangs would let its attempt run past the lease. */
  #expectAnswer(leaseMs: number): void {
    const now = this.#clock.monotonic();
    if (this.#unanswered === 0) this.#unansweredSince = now;
    this.#unanswered += 1;
    if (this.#unanswered > UNANSWERED_MAX && now - this.#unansweredSince > leaseMs / 2) this.kill();
  }

  /** The kernel closes a dying runner's socket before it ends the runner's namespace: so wait for the processes too. */
  async #mourn(): Promise<readonly number[]> {
    return this.#released ? [] : killUntilGone(this.#clock, once(this.pids));
  }
}

interface Opened {
  readonly socket: Socket;
  readonly state: RunnerState;
  /** Lines that came before anyone listened. */
  readonly early: string[];
  onLine: (line: string) => void;
}

/** Connects and waits for the first line. */
function open(path: string): Promise<Opened> {
  const { promise, resolve, reject } = Promise.withResolvers<Opened>();
  const socket = connect(path);
  const lines = new LineReader();
  let opened: Opened | undefined;
  const fail = (error: Error): void => {
    socket.destroy();
    reject(error);
  };
  const timer = setTimeout(() => fail(new Error('the runner does not answer')), ANSWER_DEADLINE_MS);
  const hear = (line: string): void => {
    if (opened !== undefined) {
      opened.onLine(line);
      return;
    }
    clearTimeout(timer);
    const state = parseMessage<FromRunner>(line);
    if (state?.kind !== 'state' || state.version !== RUNNER_VERSION) {
      fail(new Error('the runner is of another version'));
      return;
    }
    const early: string[] = [];
    opened = { socket, state, early, onLine: (later) => void early.push(later) };
    resolve(opened);
  };
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    try {
      for (const line of lines.push(chunk)) hear(line);
    } catch (error) {
      fail(error instanceof Error ? error : new Error(String(error)));
    }
  });
  socket.on('error', fail);
  socket.on('close', () => {
    clearTimeout(timer);
    reject(new Error('the runner hung up'));
  });
  return promise;
}

function isReady(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('it was not ready in time')), START_DEADLINE_MS);
    const settle = (error?: Error): void => {
      clearTimeout(timer);
      child.stdout?.destroy();
      if (error === undefined) resolve();
      else reject(error);
    };
    child.once('error', settle);
    child.once('exit', (code, signal) => settle(new Error(`it ended at once (${signal ?? code})`)));
    child.stdout?.once('data', () => settle());
  });
}

const isNodeError = (error: unknown): error is NodeJS.ErrnoException => error instanceof Error && 'code' in error;
const describe = (error: unknown): string => (error instanceof Error ? error.message : String(error));
