// One attempt inside its runner: starts the script, freezes, thaws and kills its whole tree, and says how it ended.
import { closeSync, existsSync, openSync, readSync, renameSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { ExitReason } from '../../protocol/state/result.ts';
import type { StopSignal } from '../../protocol/state/rows.ts';
import type { Clock } from '../../protocol/time.ts';
import { checkEveryMs, freezeAt, type Lease, type LeasePhase, leaseVerdict } from './lease.ts';
import { platform, type Tree } from './platform.ts';
import type { AttemptEnded, AttemptSpec } from './port.ts';
import { sendSignal } from './signal.ts';
import type { Starter } from './starter.ts';
import { EXIT_FILE, type ExitRecord, MARKER_NAME, type RunningRecord } from './wire.ts';

/** Longest delay that a timer takes; longer ones are armed again. */
const TIMER_MAX_MS = 2 ** 31 - 1;
/** How long a file that is still open for writing elsewhere is tried again: another process may just be forking. */
const BUSY_RETRY_MS = 1000;
const BUSY_PAUSE_MS = 10;
/** A freeze that does not take is helped by letting go for a moment: a vfork may have been caught half way. */
const CONFIRM_EVERY_MS = 5;
const LET_GO_EVERY = 4;

export interface AttemptOptions {
  readonly spec: AttemptSpec;
  readonly marker: string;
  readonly lease: Lease;
  readonly containment: 'pid-namespace' | 'process-group';
  /** An attempt frozen for longer is killed. */
  readonly frozenMaxMs: number;
}

export interface AttemptEvents {
  onFrozen(frozen: boolean): void;
  /** The whole tree is gone. `saved` says whether exit.json could be written. */
  onEnded(record: ExitRecord, end: { readonly saved: boolean; readonly spent: boolean }): void;
}

type Cause = Pick<AttemptEnded, 'reason' | 'detail'>;

export class Attempt {
  readonly #spec: AttemptSpec;
  readonly #options: AttemptOptions;
  readonly #events: AttemptEvents;
  readonly #clock: Clock;
  readonly #starter: Starter;
  readonly #startedAt: number;
  #lease: Lease;
  #phase: LeasePhase = { kind: 'running' };
  #frozenSince = 0;
  #pid: number | undefined;
  #tree: Tree | undefined;
  /** Why skein ends it; undefined while the script may end by itself. */
  #cause: Cause | undefined;
  #over = false;
  #check: NodeJS.Timeout | undefined;
  #timeout: NodeJS.Timeout | undefined;
  #grace: NodeJS.Timeout | undefined;
  #graceUntil = Number.POSITIVE_INFINITY;
  #ranMs = 0;
  #ranSince: number;

  constructor(
    parts: { readonly clock: Clock; readonly starter: Starter; readonly events: AttemptEvents },
    options: AttemptOptions,
  ) {
    this.#clock = parts.clock;
    this.#starter = parts.starter;
    this.#events = parts.events;
    this.#options = options;
    this.#spec = options.spec;
    this.#lease = options.lease;
    this.#startedAt = this.#clock.now();
    this.#ranSince = this.#clock.monotonic();
  }

  get record(): RunningRecord {
    const { fence, folder } = this.#spec;
    return { fence, folder, frozen: this.#frozen, startedAt: this.#startedAt };
  }

  get #frozen(): boolean {
    return this.#phase.kind === 'frozen';
  }

  /** Starts the script, or ends at once where that cannot be. */
  begin(): void {
    if (this.#clock.uptime() >= freezeAt(this.#lease)) {
      this.#finish({ code: null, signal: null }, { reason: 'killed', detail: 'The lease had lapsed before it began.' });
      return;
    }
    this.#spawn(this.#clock.monotonic() + BUSY_RETRY_MS);
  }

  /** First of all on every wake: what the lease demands comes before anything else. */
  check(): void {
    if (this.#over) return;
    const verdict = leaseVerdict(this.#lease, this.#phase, this.#clock.uptime());
    if (verdict === 'freeze') this.#freeze();
    else if (verdict === 'kill')
      this.end({ reason: 'killed', detail: 'It could not be frozen when its lease ran out.' });
    else if (this.#frozen && this.#clock.monotonic() - this.#frozenSince >= this.#options.frozenMaxMs) {
      this.end({ reason: 'killed', detail: 'It was frozen for too long.' });
    }
  }

  /** A renewed lease; only `listed`, its fence in the answer, thaws. */
  extend(lease: Lease, listed: boolean): void {
    if (this.#over) return;
    this.#lease = lease;
    const fresh = this.#clock.uptime() < freezeAt(lease);
    if (fresh && listed && this.#phase.kind !== 'running') this.#thaw();
    this.#watch();
    this.check();
  }

  /** The signal to the script's group, SIGKILL to the whole tree after the grace. Said again, it may only shorten that. */
  kill(graceMs: number, signal: StopSignal = 'SIGTERM'): void {
    const cause: Cause = { reason: 'killed', detail: null };
    if (graceMs <= 0 || this.#phase.kind !== 'running') {
      this.end(cause);
      return;
    }
    this.#cause ??= cause;
    const pid = this.#pid;
    if (pid === undefined || this.#over) return;
    const until = this.#clock.monotonic() + graceMs;
    if (until >= this.#graceUntil) return;
    this.#graceUntil = until;
    sendSignal(-pid, signal);
    // One that had stopped itself would else never hear of it.
    sendSignal(-pid, 'SIGCONT');
    clearTimeout(this.#grace);
    this.#grace = setTimeout(() => this.end(cause), Math.min(graceMs, TIMER_MAX_MS));
  }

  /** Kills the whole tree now. The end is reported once nothing of it is left. */
  end(cause: Cause): void {
    if (this.#over) return;
    this.#cause ??= cause;
    this.#tree?.signal('SIGKILL');
  }

  #spawn(retryUntil: number): void {
    const { argv, env, umask, workFolder, stdinFile, stdoutFile, stderrFile } = this.#spec;
    this.#starter.start(
      {
        argv,
        env: { ...env, [MARKER_NAME]: this.#options.marker },
        folder: workFolder,
        umask: umask ?? process.umask(),
        stdinFile: stdinFile ?? '/dev/null',
        stdoutFile,
        stderrFile,
      },
      {
        onStarted: (pid) => this.#follow(pid),
        onRefused: (code) => this.#onRefused(code, retryUntil),
        onExit: (code, signal) => void this.#onExit(code, signal),
      },
    );
  }

  #follow(pid: number): void {
    this.#pid = pid;
    const inNamespace = this.#options.containment === 'pid-namespace';
    const marker = `${MARKER_NAME}=${this.#options.marker}`;
    this.#tree = inNamespace ? platform.namespaceTree() : platform.markedTree(pid, marker);
    this.#watch();
    this.#armTimeout();
    // Killed while it was being started.
    if (this.#cause !== undefined) this.end(this.#cause);
  }

  #onRefused(code: string, retryUntil: number): void {
    if (code === 'ETXTBSY' && this.#cause === undefined && this.#clock.monotonic() < retryUntil) {
      setTimeout(() => {
        if (this.#cause === undefined) this.#spawn(retryUntil);
        else this.#finish({ code: null, signal: null }, this.#cause);
      }, BUSY_PAUSE_MS);
      return;
    }
    const failed = explainSpawnError(code, this.#spec);
    this.#finish({ code: failed.code, signal: null }, this.#cause ?? failed);
  }

  #watch(): void {
    clearInterval(this.#check);
    this.#check = setInterval(() => this.check(), checkEveryMs(this.#lease));
  }

  /** Only time in which it may run counts: the rest is carried from freeze to thaw. */
  #armTimeout(): void {
    clearTimeout(this.#timeout);
    if (this.#spec.timeoutMs === null) return;
    const left = this.#spec.timeoutMs - this.#ranMs - (this.#clock.monotonic() - this.#ranSince);
    if (left <= 0) this.end({ reason: 'timeout', detail: `It ran longer than ${this.#spec.timeoutMs / 1000} s.` });
    else this.#timeout = setTimeout(() => this.#armTimeout(), Math.min(Math.ceil(left), TIMER_MAX_MS));
  }

  #freeze(): void {
    this.#phase = { kind: 'freezing', sinceMs: this.#clock.uptime() };
    this.#ranMs += this.#clock.monotonic() - this.#ranSince;
    clearTimeout(this.#timeout);
    clearTimeout(this.#grace);
    // A grace is time to run, and there is none left.
    if (this.#cause !== undefined) this.end(this.#cause);
    else this.#confirm(0);
  }

  #confirm(pass: number): void {
    if (this.#over || this.#phase.kind !== 'freezing') return;
    this.check();
    if (pass > 0 && pass % LET_GO_EVERY === 0) this.#tree?.signal('SIGCONT');
    this.#tree?.signal('SIGSTOP');
    if (this.#tree?.look().moving === 0) {
      this.#phase = { kind: 'frozen' };
      this.#frozenSince = this.#clock.monotonic();
      this.#events.onFrozen(true);
      return;
    }
    setTimeout(() => this.#confirm(pass + 1), CONFIRM_EVERY_MS);
  }

  #thaw(): void {
    const wasFrozen = this.#frozen;
    this.#phase = { kind: 'running' };
    this.#ranSince = this.#clock.monotonic();
    this.#tree?.signal('SIGCONT');
    this.#armTimeout();
    if (wasFrozen) this.#events.onFrozen(false);
  }

  /** The script's first process has ended; the rest of its tree goes with it. */
  async #onExit(code: number | null, signal: string | null): Promise<void> {
    const endedAt = this.#clock.now();
    const cause = this.#cause ?? { reason: 'exited' as const, detail: null };
    this.#over = true;
    let look = this.#tree?.look();
    for (let pauseMs = 1; look !== undefined && look.alive > 0; pauseMs = Math.min(pauseMs * 2, 100)) {
      this.#tree?.signal('SIGKILL');
      // However long: what hangs in the kernel is still there, and "ended" says that nothing is.
      await this.#clock.sleep(pauseMs);
      look = this.#tree?.look();
    }
    this.#finish({ code, signal }, cause, endedAt, (look?.zombies ?? 0) > 0);
  }

  #finish(exit: AttemptEnded['exit'], cause: Cause, endedAt = this.#clock.now(), spent = false): void {
    this.#over = true;
    clearInterval(this.#check);
    clearTimeout(this.#timeout);
    clearTimeout(this.#grace);
    const { fence, folder } = this.#spec;
    const { reason, detail } = cause;
    const record = { fence, folder, exit, reason, detail, startedAt: this.#startedAt, endedAt, bootId: BOOT_ID };
    this.#events.onEnded(record, { saved: saveRecord(record), spent });
  }
}

const BOOT_ID = platform.bootId();

/** Whole or not at all: another daemon may look at any moment. */
function saveRecord(record: ExitRecord): boolean {
  const path = `${record.folder}/${EXIT_FILE}`;
  try {
    writeFileSync(`${path}.tmp`, JSON.stringify(record));
    renameSync(`${path}.tmp`, path);
    return true;
  } catch (error) {
    // A full disk, mostly: the runner then keeps the record itself until a daemon has heard it.
    console.error(`cannot write ${path}:`, error);
    return false;
  }
}

/** A shell's codes: 127 for what is not there, 126 for what may not run. */
function explainSpawnError(code: string, spec: AttemptSpec): Cause & { readonly code: number | null } {
  const name = spec.argv[0] ?? '';
  if (!existsSync(spec.workFolder)) return failed('runtime-failed', null, `Its folder ${spec.workFolder} is gone.`);
  switch (code) {
    case 'ENOENT': {
      const interpreter = missingInterpreter(resolve(spec.workFolder, name));
      if (name.includes('/') && interpreter !== undefined) {
        return failed('not-found', 127, `${name}: its interpreter ${interpreter} was not found.`);
      }
      return failed('not-found', 127, name.includes('/') ? `${name}: no such file.` : `${name}: command not found.`);
    }
    case 'ENOTDIR':
    case 'ENAMETOOLONG':
    case 'ERR_INVALID_ARG_VALUE':
      return failed('not-found', 127, `${name.slice(0, 200)}: not the name of a command (${code}).`);
    case 'EACCES':
    case 'EPERM':
      return failed('not-executable', 126, `${name}: permission denied.`);
    case 'E2BIG':
      return failed('not-executable', 126, `${name}: the argument list is too long.`);
    case 'ENOEXEC':
    case 'ELOOP':
    case 'EISDIR':
    case 'ETXTBSY':
      return failed('not-executable', 126, `${name}: cannot be executed (${code}).`);
    default:
      return failed('runtime-failed', null, `${name} could not be started (${code}).`);
  }
}

const failed = (reason: ExitReason, code: number | null, detail: string) => ({ reason, code, detail });

/** The interpreter that the file's first line names, where there is such a file. */
function missingInterpreter(path: string): string | undefined {
  try {
    const file = openSync(path, 'r');
    const bytes = Buffer.alloc(256);
    const length = readSync(file, bytes);
    closeSync(file);
    return /^#!\s*(\S+)/.exec(bytes.toString('utf8', 0, length))?.[1];
  } catch {
    // No such file: then it is the file itself that was not found.
    return undefined;
  }
}
