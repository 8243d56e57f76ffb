// How a runner starts a script. A Node process forks in about 8 ms here, a small one in 4: so where a namespace holds all
// that is started and there is a perl (in every Debian and macOS), a parked perl of a few megabytes forks in its stead.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { PERL } from '../descriptors.ts';

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
  /** Processes of the starter's own, which no look at a script's tree must count. */
  readonly own: ReadonlySet<number>;
}

export function makeStarter(contained: boolean): Starter {
  return contained && PERL !== undefined ? new PerlStarter(PERL) : new NodeStarter();
}

class NodeStarter implements Starter {
  readonly own: ReadonlySet<number> = new Set();

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

/**
 * Reads frames of strings, forks, says `S pid`, then `X status` as wait(2) has it; or `E errno` where exec failed, which
 * the pipe tells that closes at exec.
 */
const PROGRAM = `
sub take { my ($n, $s) = ($_[0], ''); while (length $s < $n) { sysread(STDIN, $s, $n - length $s, length $s) || exit } $s }
for (;;) {
  my ($cwd, $umask, $in, $out, $err, $n, @rest) = unpack '(N/a)*', take(unpack 'N', take(4));
  my @env = splice @rest, 0, $n;
  pipe my $r, my $w;
  my $pid = fork;
  if (!defined $pid) { syswrite STDOUT, 'E ' . ($! + 0) . "\\n"; next }
  if (!$pid) {
    setpgrp 0, 0;
    if (chdir $cwd and open STDIN, '<', $in and open STDOUT, '>>', $out and open STDERR, '>>', $err) {
      umask $umask;
      %ENV = map { split /=/, $_, 2 } @env;
      exec { $rest[0] } @rest;
    }
    syswrite $w, pack 'N', $!;
    kill 9, $$;
  }
  close $w;
  syswrite STDOUT, "S $pid\\n";
  waitpid $pid, 0;
  my $errno = '';
  my $status = $?;
  sysread $r, $errno, 4;
  close $r;
  syswrite STDOUT, length $errno ? 'E ' . unpack('N', $errno) . "\\n" : "X $status\\n";
}
`;

class PerlStarter implements Starter {
  readonly own = new Set<number>();
  readonly #perl: string;
  #parked: ChildProcess | undefined;
  #events: StartEvents | undefined;

  constructor(perl: string) {
    this.#perl = perl;
    this.#park();
  }

  start(request: StartRequest, events: StartEvents): void {
    const fault = faultIn(request);
    if (fault !== undefined) {
      events.onRefused(fault);
      return;
    }
    const parked = this.#parked ?? this.#park();
    this.#events = events;
    parked.stdin?.write(frame(request));
  }

  #park(): ChildProcess {
    const parked = spawn(this.#perl, ['-e', PROGRAM], { stdio: ['pipe', 'pipe', 'inherit'], env: {} });
    this.#parked = parked;
    if (parked.pid !== undefined) this.own.add(parked.pid);
    let rest = '';
    parked.stdout?.setEncoding('latin1').on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.#onLine(line);
    });
    // A frame that could not be written: 'close' follows.
    parked.stdin?.on('error', () => undefined);
    parked.on('error', () => this.#onGone(parked));
    parked.on('close', () => this.#onGone(parked));
    return parked;
  }

  #onLine(line: string): void {
    const value = Number(line.slice(2));
    if (line[0] === 'S') this.#events?.onStarted(value);
    else if (line[0] === 'E') this.#take()?.onRefused(getSystemErrorName(-value));
    else this.#take()?.onExit(...decode(value));
  }

  #take(): StartEvents | undefined {
    const events = this.#events;
    this.#events = undefined;
    return events;
  }

  /** It goes with all the rest when a whole tree is killed; so has the script then. */
  #onGone(parked: ChildProcess): void {
    if (parked.pid !== undefined) this.own.delete(parked.pid);
    if (this.#parked === parked) this.#parked = undefined;
    this.#take()?.onExit(null, 'SIGKILL');
  }
}

/** What perl would take for something else: a NUL ends a C string. */
function faultIn({ argv, env, folder }: StartRequest): string | undefined {
  const strings = [folder, ...argv, ...Object.entries(env).flat()];
  return strings.some((each) => each.includes('\0')) ? 'ERR_INVALID_ARG_VALUE' : undefined;
}

function frame({ argv, env, folder, umask, stdinFile, stdoutFile, stderrFile }: StartRequest): Buffer {
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const files = [stdinFile, stdoutFile, stderrFile];
  const strings = [folder, String(umask), ...files, String(variables.length), ...variables, ...argv];
  const parts = strings.flatMap((each) => [length(Buffer.byteLength(each)), Buffer.from(each)]);
  const body = Buffer.concat(parts);
  return Buffer.concat([length(body.length), body]);
}

function length(bytes: number): Buffer {
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(bytes);
  return prefix;
}

const signalNames = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]));

/** The status of wait(2): the low seven bits are the signal, the next byte the code. */
function decode(status: number): [code: number | null, signal: string | null] {
  const signal = status & 127;
  if (signal === 0) return [status >> 8, null];
  return [null, signalNames.get(signal) ?? `SIG${signal}`];
}
