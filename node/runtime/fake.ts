// A runtime without processes, under an injected clock: run time, exit and output come from a model.
// Leases, freezing, timeouts and kills follow the same rules as with processes; the contract suite holds it to that.
import { assert, SkeinError } from '../../protocol/errors.ts';
import type { Fence } from '../../protocol/ids.ts';
import type { Exit } from '../../protocol/state/result.ts';
import type { Clock } from '../../protocol/time.ts';
import { freezeAt, killAt, type Lease, type LeasePhase, leaseVerdict } from './lease.ts';
import type { AttemptEnded, AttemptSpec, LeaseGrant, RunningAttempt, Runtime } from './port.ts';

/** What one attempt does. */
export interface FakeRun {
  /** Time that it needs unfrozen. */
  readonly runMs: number;
  readonly exit: Exit;
  /** How it takes SIGTERM: ends so long after it, with this exit. Null ignores it. */
  readonly onTerm: { readonly afterMs: number; readonly exit: Exit } | null;
  /** It hangs in the kernel: no freeze is confirmed. */
  readonly unstoppable: boolean;
  /** Written when it ends by itself. */
  readonly stdout: string;
  readonly stderr: string;
}

export interface FakeParts {
  readonly clock: Clock;
  readonly model: (spec: AttemptSpec) => FakeRun;
  /** Takes the output; a path is one of the spec's two files. */
  readonly write?: (path: string, text: string) => void;
}

const FROZEN_MAX_MS = 86_400_000;
const KILLED: Exit = { code: null, signal: 'SIGKILL' };

/** The machine beneath: what runs on it and what ended there outlives every daemon. */
export class FakeMachine {
  readonly attempts = new Map<Fence, FakeAttempt>();

  /** As the worker's removal of the attempt's folder. */
  forget(fence: Fence): void {
    this.attempts.delete(fence);
  }

  /** As kill -9 of one runner. */
  killRunner(fence: Fence): void {
    this.attempts.get(fence)?.end('runner-died', KILLED, 'The process that watched over it ended, and it with that.');
  }

  /** As a power cut: nothing that ran or ended is there any more. */
  powerOff(): void {
    for (const attempt of this.attempts.values()) attempt.vanish();
    this.attempts.clear();
  }
}

export class FakeRuntime implements Runtime {
  readonly containment = 'pid-namespace';
  readonly #parts: FakeParts;
  readonly #machine: FakeMachine;
  #lease: Lease | undefined;
  #stopped = false;

  /** A second one on the same machine is the next daemon. */
  constructor(parts: FakeParts, machine: FakeMachine) {
    this.#parts = parts;
    this.#machine = machine;
  }

  async recover(): Promise<readonly RunningAttempt[]> {
    return [...this.#machine.attempts.values()];
  }

  async start(spec: AttemptSpec): Promise<RunningAttempt> {
    if (this.#stopped) throw new SkeinError('runtime-failed', 'The node is stopping');
    assert(!this.#machine.attempts.has(spec.fence), `${spec.fence} is begun twice`);
    const lease = this.#lease ?? { untilMs: 0, leaseMs: 0 };
    const attempt = new FakeAttempt(this.#parts, spec, lease);
    this.#machine.attempts.set(spec.fence, attempt);
    return attempt;
  }

  extend(grant: LeaseGrant): void {
    if (this.#stopped) return;
    this.#lease = { untilMs: grant.untilMs, leaseMs: grant.leaseMs };
    const listed = new Set(grant.fences);
    for (const attempt of this.#machine.attempts.values()) attempt.extend(this.#lease, listed.has(attempt.fence));
  }

  async startAhead(): Promise<void> {}

  async stop({ keep }: { readonly keep: boolean }): Promise<void> {
    this.#stopped = true;
    if (!keep) for (const attempt of this.#machine.attempts.values()) attempt.kill(0);
  }
}

/** One timer at a time, always for whatever comes next. */
export class FakeAttempt implements RunningAttempt {
  readonly fence: Fence;
  readonly folder: string;
  readonly ended: Promise<AttemptEnded>;
  readonly #resolve: (ended: AttemptEnded) => void;
  readonly #parts: FakeParts;
  readonly #spec: AttemptSpec;
  readonly #run: FakeRun;
  readonly startedAt: number;
  #lease: Lease;
  #phase: LeasePhase = { kind: 'running' };
  #ranMs = 0;
  #since: number;
  /** SIGTERM came: when it ends by itself, and when it is killed, in time run. */
  #term: { readonly endsAtMs: number; readonly killedAtMs: number } | undefined;
  #frozenAt = 0;
  #timer = new AbortController();
  #over = false;

  constructor(parts: FakeParts, spec: AttemptSpec, lease: Lease) {
    this.fence = spec.fence;
    this.folder = spec.folder;
    this.#parts = parts;
    this.#spec = spec;
    this.#lease = lease;
    this.#run = parts.model(spec);
    this.startedAt = parts.clock.now();
    this.#since = parts.clock.monotonic();
    const { promise, resolve } = Promise.withResolvers<AttemptEnded>();
    this.ended = promise;
    this.#resolve = resolve;
    const lapsed = parts.clock.uptime() >= freezeAt(lease);
    if (lapsed) this.end('killed', { code: null, signal: null }, 'The lease had lapsed before it began.');
    else this.#wake();
  }

  get frozen(): boolean {
    return this.#phase.kind === 'frozen' && !this.#over;
  }

  kill(graceMs: number): void {
    this.#settle();
    if (graceMs <= 0 || this.#phase.kind !== 'running') {
      this.end('killed', KILLED, null);
      return;
    }
    const { onTerm } = this.#run;
    this.#term ??= {
      endsAtMs: onTerm === null ? Number.POSITIVE_INFINITY : this.#ranMs + onTerm.afterMs,
      killedAtMs: this.#ranMs + graceMs,
    };
    this.#wake();
  }

  extend(lease: Lease, listed: boolean): void {
    if (this.#over) return;
    this.#settle();
    this.#lease = lease;
    if (listed && this.#parts.clock.uptime() < freezeAt(lease)) this.#phase = { kind: 'running' };
    this.#since = this.#parts.clock.monotonic();
    this.#wake();
  }

  end(reason: AttemptEnded['reason'], exit: Exit, detail: string | null): void {
    if (this.#over) return;
    this.vanish();
    this.#resolve({ exit, reason, detail, startedAt: this.startedAt, endedAt: this.#parts.clock.now() });
  }

  /** It stops, and nobody is told. */
  vanish(): void {
    this.#over = true;
    this.#timer.abort();
  }

  #settle(): void {
    const now = this.#parts.clock.monotonic();
    if (this.#phase.kind === 'running') this.#ranMs += now - this.#since;
    this.#since = now;
  }

  /** The lease first of all, then whatever else has come due. */
  #wake(): void {
    this.#settle();
    if (this.#over) return;
    const uptime = this.#parts.clock.uptime();
    const verdict = leaseVerdict(this.#lease, this.#phase, uptime);
    if (verdict === 'kill') this.end('killed', KILLED, 'It could not be frozen when its lease ran out.');
    else if (verdict === 'freeze') this.#freeze(uptime);
    else if (this.#phase.kind === 'running') this.#progress();
    else if (this.#phase.kind === 'frozen' && this.#frozenLeft() <= 0) {
      this.end('killed', KILLED, 'It was frozen for too long.');
    }
    this.#arm();
  }

  #freeze(sinceMs: number): void {
    if (this.#term !== undefined) this.end('killed', KILLED, null);
    this.#frozenAt = this.#since;
    this.#phase = this.#run.unstoppable ? { kind: 'freezing', sinceMs } : { kind: 'frozen' };
  }

  #frozenLeft(): number {
    return this.#frozenAt + FROZEN_MAX_MS - this.#parts.clock.monotonic();
  }

  #progress(): void {
    const { runMs, exit, onTerm, stdout, stderr } = this.#run;
    const { timeoutMs, stdoutFile, stderrFile } = this.#spec;
    if (this.#ranMs >= runMs) {
      this.#parts.write?.(stdoutFile, stdout);
      this.#parts.write?.(stderrFile, stderr);
      this.end(this.#term === undefined ? 'exited' : 'killed', exit, null);
    } else if (this.#term !== undefined && this.#ranMs >= this.#term.endsAtMs) {
      this.end('killed', onTerm?.exit ?? KILLED, null);
    } else if (this.#term !== undefined && this.#ranMs >= this.#term.killedAtMs) {
      this.end('killed', KILLED, null);
    } else if (timeoutMs !== null && this.#ranMs >= timeoutMs) {
      this.end('timeout', KILLED, `It ran longer than ${timeoutMs / 1000} s.`);
    }
  }

  #arm(): void {
    this.#timer.abort();
    if (this.#over) return;
    this.#timer = new AbortController();
    this.#parts.clock.sleep(Math.max(0, Math.ceil(this.#nextMs())), this.#timer.signal).then(
      () => this.#wake(),
      // Something else came first and armed the next timer.
      () => undefined,
    );
  }

  #nextMs(): number {
    const uptime = this.#parts.clock.uptime();
    if (this.#phase.kind === 'frozen') return this.#frozenLeft();
    if (this.#phase.kind === 'freezing') return killAt(this.#lease, this.#phase.sinceMs) - uptime;
    const inRunTime = [this.#run.runMs, this.#spec.timeoutMs, this.#term?.endsAtMs, this.#term?.killedAtMs];
    const soonest = Math.min(...inRunTime.map((at) => at ?? Number.POSITIVE_INFINITY));
    return Math.min(soonest - this.#ranMs, freezeAt(this.#lease) - uptime);
  }
}
