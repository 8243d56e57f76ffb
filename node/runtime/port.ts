// Runs attempts. An attempt's whole tree lives and dies with its runner, a small process that outlives the daemon
// and holds the lease timer: it freezes the attempt at 0.8 of the lease and kills what is not confirmed frozen by 0.9.
import type { Fence } from '../../protocol/ids.ts';
import type { Exit, ExitReason } from '../../protocol/state/result.ts';
import type { StopSignal } from '../../protocol/state/rows.ts';

export interface AttemptSpec {
  readonly fence: Fence;
  /** Argument vector; the first is a path or a name to look up on env.PATH. */
  readonly argv: readonly string[];
  /** Absolute folders and files, all inside the attempt's own folder. */
  readonly folder: string;
  readonly workFolder: string;
  readonly stdinFile: string | null;
  readonly stdoutFile: string;
  readonly stderrFile: string;
  /** The whole environment: nothing is added but what the runtime itself needs to mark its own. */
  readonly env: Readonly<Record<string, string>>;
  /** Permission bits that new files do not get; absent: as the runtime's own. */
  readonly umask?: number;
  /** Frozen time does not count. */
  readonly timeoutMs: number | null;
}

export interface AttemptEnded {
  readonly exit: Exit;
  /** `killed` where the daemon, a lapsed lease or a runner's death ended it. */
  readonly reason: ExitReason | 'killed' | 'runner-died';
  readonly detail: string | null;
  /** Wall time, ms. */
  readonly startedAt: number;
  readonly endedAt: number;
}

export interface RunningAttempt {
  readonly fence: Fence;
  readonly folder: string;
  /** Wall time, ms. */
  readonly startedAt: number;
  /** Resolves once the attempt's whole tree is gone and its output is read to the end. Never rejects. */
  readonly ended: Promise<AttemptEnded>;
  readonly frozen: boolean;
  /** The signal (SIGTERM) to the script, SIGKILL to its whole tree after the grace. */
  kill(graceMs: number, signal?: StopSignal): void;
}

export interface LeaseGrant {
  /** Clock.uptime() at which it lapses. */
  readonly untilMs: number;
  readonly leaseMs: number;
  /** Attempts that the answer listed: only these thaw. */
  readonly fences: readonly Fence[];
}

export interface Runtime {
  /** Attaches to live runners of this data folder, kills what none of them holds, and says what is left (ended ones too). */
  recover(): Promise<readonly RunningAttempt[]>;
  /**
   * Begins under the lease last handed to `extend`; without a valid one it ends at once as `killed`, nothing begun.
   * Fails with `runtime-failed`; a script that cannot be started is an ended attempt, not a failure.
   */
  start(spec: AttemptSpec): Promise<RunningAttempt>;
  /** Passed on to every runner. */
  extend(lease: LeaseGrant): void;
  /** Starts runners ahead of need, so that an attempt never waits for one. */
  startAhead(slots: number): Promise<void>;
  /** Lets go: `keep` leaves runners and attempts alive for the next daemon (SIGHUP), else all is killed. */
  stop(options: { readonly keep: boolean }): Promise<void>;
  /** How surely everything of an attempt dies: told in the log at start. */
  readonly containment: 'pid-namespace' | 'process-group';
}
