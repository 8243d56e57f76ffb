// How a runner starts a script: by posix_spawn(3) where Node can call it, else by Node's own spawn, which forks: that copies
// the page tables of the whole process, 8 ms where posix_spawn takes 2.
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { PosixStarter } from './posix-spawn.ts';

export interface StartRequest {
  /** The first is a path or a name to look up on env.PATH. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly folder: string;
  readonly umask: number;
  readonly stdinFile: string;
  /** Appended to. The script writes to files, not pipes: they outlive the daemon, and the runner handles no bytes. */
  readonly stdoutFile: string;
  readonly stderrFile: string;
}

export interface StartEvents {
  /** It runs, as leader of a process group of its own. */
  onStarted(pid: number): void;
  /** It does not: a system call's code, for instance `ENOENT`. */
  onRefused(code: string): void;
  /** Its first process has ended. */
  onExit(code: number | null, signal: string | null): void;
}

export interface Starter {
  start(request: StartRequest, events: StartEvents): void;
}

export function makeStarter(): Starter {
  const ffi = process.platform === 'linux' ? process.getBuiltinModule('node:ffi') : undefined;
  if (ffi === undefined) return new NodeStarter();
  try {
    return new PosixStarter(ffi);
  } catch (error) {
    // Another Node's FFI, or a C library that lacks one of the functions: slower, and right all the same.
    console.error('posix_spawn cannot be called here; scripts are started by fork:', error);
    return new NodeStarter();
  }
}

export class NodeStarter implements Starter {
  start(request: StartRequest, events: StartEvents): void {
    const { argv, env, folder, umask, stdinFile, stdoutFile, stderrFile } = request;
    const files: number[] = [];
    const own = process.umask(umask);
    try {
      files.push(openSync(stdinFile, 'r'), openSync(stdoutFile, 'a'), openSync(stderrFile, 'a'));
      const child = spawn(argv[0] ?? '', argv.slice(1), { cwd: folder, env, stdio: files, detached: true });
      child.once('exit', (code, signal) => events.onExit(code, signal));
      if (child.pid !== undefined) events.onStarted(child.pid);
      else child.once('error', (error) => events.onRefused(codeOf(error)));
    } catch (error) {
      // Node throws some of these and emits the others.
      events.onRefused(codeOf(error));
    } finally {
      process.umask(own);
      for (const file of files) closeSync(file);
    }
  }
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : String(error);
