// Starts scripts by posix_spawn(3) and hears of their ends by waitpid(2), through Node's FFI. The C library shares the
// memory with the child until it has become the script, so nothing is copied however large this process is.
// https://man7.org/linux/man-pages/man3/posix_spawn.3.html
import type * as ffi from 'node:ffi';
import { accessSync, constants, statSync } from 'node:fs';
import { constants as system } from 'node:os';
import { resolve } from 'node:path';
import { getSystemErrorName } from 'node:util';
import type { StartEvents, Starter, StartRequest } from './starter.ts';

type Ffi = typeof ffi;
type Bytes = Buffer<ArrayBuffer>;

// Of spawn.h and sys/wait.h.
const SET_GROUP = 0x02;
const SET_DEFAULT_SIGNALS = 0x04;
const SET_SIGNAL_MASK = 0x08;
const NO_HANG = 1;
/** More than any C library's posix_spawnattr_t (336), posix_spawn_file_actions_t (80) and sigset_t (128). */
const OPAQUE_BYTES = 1024;
const APPEND = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND;
const FILE_MODE = 0o666;
const SHELL = '/bin/sh';

const POINTER = 'pointer';
const INT = 'int32';
const FUNCTIONS = {
  posix_spawn: { arguments: [POINTER, POINTER, POINTER, POINTER, POINTER, POINTER], return: INT },
  posix_spawn_file_actions_init: { arguments: [POINTER], return: INT },
  posix_spawn_file_actions_destroy: { arguments: [POINTER], return: INT },
  posix_spawn_file_actions_addopen: { arguments: [POINTER, INT, POINTER, INT, INT], return: INT },
  posix_spawn_file_actions_addchdir_np: { arguments: [POINTER, POINTER], return: INT },
  posix_spawnattr_init: { arguments: [POINTER], return: INT },
  posix_spawnattr_setflags: { arguments: [POINTER, 'int16'], return: INT },
  posix_spawnattr_setpgroup: { arguments: [POINTER, INT], return: INT },
  posix_spawnattr_setsigdefault: { arguments: [POINTER, POINTER], return: INT },
  posix_spawnattr_setsigmask: { arguments: [POINTER, POINTER], return: INT },
  waitpid: { arguments: [INT, POINTER, INT], return: INT },
} as const;

export class PosixStarter implements Starter {
  readonly #ffi: Ffi;
  readonly #c;
  readonly #attributes: Bytes;
  readonly #running = new Map<number, StartEvents>();

  constructor(ffi: Ffi) {
    this.#ffi = ffi;
    this.#c = ffi.dlopen(null, FUNCTIONS).functions;
    this.#attributes = this.#makeAttributes();
    process.on('SIGCHLD', () => this.#reap());
  }

  start(request: StartRequest, events: StartEvents): void {
    const started = this.#tryStart(request);
    if (typeof started === 'string') events.onRefused(started);
    else {
      this.#running.set(started, events);
      events.onStarted(started);
    }
  }

  /** @returns the pid, or the code of what was in the way */
  #tryStart(request: StartRequest): number | string {
    const { argv, env, folder } = request;
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    // What C would take for something else: a NUL ends a string.
    if ([folder, ...argv, ...variables].some((each) => each.includes('\0'))) return 'ERR_INVALID_ARG_VALUE';
    const found = locate(argv[0] ?? '', env.PATH ?? '', folder);
    if ('code' in found) return found.code;
    const pid = Buffer.alloc(4);
    let errno = this.#spawn(request, { pid, file: found.path, argv, variables });
    // As execvp(3) does with a script whose first line names no interpreter.
    if (errno === system.errno.ENOEXEC) {
      errno = this.#spawn(request, { pid, file: SHELL, argv: [SHELL, found.path, ...argv.slice(1)], variables });
    }
    return errno === 0 ? pid.readInt32LE() : getSystemErrorName(-errno);
  }

  #spawn(
    request: StartRequest,
    start: {
      readonly pid: Bytes;
      readonly file: string;
      readonly argv: readonly string[];
      readonly variables: readonly string[];
    },
  ): number {
    const own = process.umask(request.umask);
    const argv = this.#strings(start.argv);
    const env = this.#strings(start.variables);
    const actions = Buffer.alloc(OPAQUE_BYTES);
    this.#c.posix_spawn_file_actions_init(actions);
    try {
      const failed =
        this.#c.posix_spawn_file_actions_addchdir_np(actions, request.folder) ||
        this.#c.posix_spawn_file_actions_addopen(actions, 0, request.stdinFile, constants.O_RDONLY, 0) ||
        this.#c.posix_spawn_file_actions_addopen(actions, 1, request.stdoutFile, APPEND, FILE_MODE) ||
        this.#c.posix_spawn_file_actions_addopen(actions, 2, request.stderrFile, APPEND, FILE_MODE);
      if (failed !== 0) return failed;
      return this.#c.posix_spawn(start.pid, start.file, actions, this.#attributes, argv, env);
    } finally {
      this.#c.posix_spawn_file_actions_destroy(actions);
      process.umask(own);
    }
  }

  /** A group of its own, and no signal ignored or blocked, whatever this process does with them. */
  #makeAttributes(): Bytes {
    const attributes = Buffer.alloc(OPAQUE_BYTES);
    // Not by sigfillset(3): that leaves out two of the C library's own, which would then be ignored in the script.
    const all = Buffer.alloc(OPAQUE_BYTES, 0xff);
    const none = Buffer.alloc(OPAQUE_BYTES);
    this.#c.posix_spawnattr_init(attributes);
    this.#c.posix_spawnattr_setflags(attributes, SET_GROUP | SET_DEFAULT_SIGNALS | SET_SIGNAL_MASK);
    this.#c.posix_spawnattr_setpgroup(attributes, 0);
    this.#c.posix_spawnattr_setsigdefault(attributes, all);
    this.#c.posix_spawnattr_setsigmask(attributes, none);
    return attributes;
  }

  /** A NULL-ended array of pointers and, behind it, the C strings that they point to. */
  #strings(strings: readonly string[]): Bytes {
    const bytes = strings.map((text) => Buffer.from(`${text}\0`));
    const block = Buffer.concat([Buffer.alloc(8 * (strings.length + 1)), ...bytes]);
    let at = this.#ffi.getRawPointer(block) + BigInt(8 * (strings.length + 1));
    for (const [n, { length }] of bytes.entries()) {
      block.writeBigUInt64LE(at, 8 * n);
      at += BigInt(length);
    }
    return block;
  }

  /** Signals come together: one may stand for several ends. The first process of a namespace also reaps the orphans. */
  #reap(): void {
    const status = Buffer.alloc(4);
    for (let pid = this.#wait(status); pid > 0; pid = this.#wait(status)) {
      const events = this.#running.get(pid);
      this.#running.delete(pid);
      events?.onExit(...decode(status.readInt32LE()));
    }
  }

  #wait(status: Bytes): number {
    return this.#c.waitpid(-1, status, NO_HANG);
  }
}

/** As execvp(3) looks a name up, on the script's PATH and from its folder. */
function locate(name: string, path: string, cwd: string): { readonly path: string } | { readonly code: string } {
  if (name.includes('/')) return { path: name };
  let code = 'ENOENT';
  for (const folder of path.split(':')) {
    const candidate = resolve(cwd, folder, name);
    try {
      accessSync(candidate, constants.X_OK);
      if (statSync(candidate).isFile()) return { path: candidate };
    } catch (error) {
      const met = error instanceof Error && 'code' in error ? error.code : '';
      if (met === 'EACCES' || met === 'ENAMETOOLONG') code = met;
    }
  }
  return { code };
}

// Of two names of one number the first: SIGABRT, not SIGIOT.
const signalNames = new Map(
  Object.entries(system.signals)
    .map(([name, number]) => [number, name] as const)
    .reverse(),
);

/** The status of wait(2): the low seven bits are the signal, the next byte the code. */
function decode(status: number): [code: number | null, signal: string | null] {
  const signal = status & 127;
  if (signal === 0) return [(status >> 8) & 255, null];
  return [null, signalNames.get(signal) ?? `SIG${signal}`];
}
