// Attempts in work: each from its grant to a report. Everything that can stop one goes through `stop`, by fence.
import { SkeinError } from '../../protocol/errors.ts';
import type { Fence } from '../../protocol/ids.ts';
import type { Result } from '../../protocol/state/result.ts';
import type { AttemptEnd, Begun, StopSignal } from '../../protocol/state/rows.ts';
import type { Clock } from '../../protocol/time.ts';
import type { PushedGrant } from '../../protocol/wire/work.ts';
import type { Log } from '../log.ts';
import type { AttemptEnded, AttemptSpec, RunningAttempt, Runtime } from '../runtime/port.ts';

/** The files of attempts: what they need before they run and what is left afterwards. */
export interface Workshop {
  /** Fetches and places inputs. Fails with `not-found` where an input is nowhere, `unreachable` where nobody answers. */
  stage(grant: PushedGrant, signal: AbortSignal): Promise<AttemptSpec>;
  /** Keeps the grant beside them, right before it begins: by that a next life knows it, and that it had begun. */
  begin(grant: PushedGrant): Promise<void>;
  /** Gathers outputs and logs into blobs of this node. */
  collect(grant: PushedGrant, ended: AttemptEnded): Promise<Result>;
  /** Brings what the result names to a gateway. */
  publish(result: Result, signal: AbortSignal): Promise<void>;
  /** After the report is settled. */
  discard(fence: Fence): Promise<void>;
}

/** What lies about from attempts of the life before that do not live on. */
export interface Leftovers {
  readonly begun: readonly Begun[];
  discard(): Promise<void>;
}

export type AttemptReport =
  | { readonly kind: 'finished'; readonly result: Result }
  | { readonly kind: 'ended'; readonly reason: AttemptEnd };

interface Control {
  readonly abort: AbortController;
  running: RunningAttempt | undefined;
  reason: AttemptEnd | undefined;
}

const RETRY_MS = 1_000;

export class Attempts {
  readonly #runtime: Runtime;
  readonly #workshop: Workshop;
  readonly #clock: Clock;
  readonly #out: Log;
  readonly #controls = new Map<Fence, Control>();
  /** Granted and not begun: their files are put together while others still run. */
  readonly #ahead = new Map<Fence, { readonly control: Control; readonly spec: Promise<AttemptSpec> }>();

  constructor(parts: {
    readonly runtime: Runtime;
    readonly workshop: Workshop;
    readonly clock: Clock;
    readonly out: Log;
  }) {
    this.#runtime = parts.runtime;
    this.#workshop = parts.workshop;
    this.#clock = parts.clock;
    this.#out = parts.out;
  }

  /**
   * Puts together the files of grants that will begin next, and lets go of those that will not. Nothing of them runs:
   * that is for `run` alone.
   */
  stageAhead(next: readonly PushedGrant[]): void {
    const wanted = new Set(next.map((grant) => grant.fence));
    for (const [fence, { control }] of this.#ahead) {
      if (wanted.has(fence)) continue;
      this.#ahead.delete(fence);
      control.abort.abort(new SkeinError('runtime-failed', 'the grant was given back'));
    }
    for (const grant of next) {
      if (this.#ahead.has(grant.fence) || !hasFiles(grant)) continue;
      const control = newControl();
      const spec = this.#stage(grant, control);
      this.#ahead.set(grant.fence, { control, spec });
      // Told to whoever runs it; a grant that went back takes its folder along.
      const settled = (): void => void (control.abort.signal.aborted && this.#discard(grant.fence));
      spec.then(settled, settled);
    }
  }

  #discard(fence: Fence): void {
    this.#workshop.discard(fence).catch((error: unknown) => {
      this.#out.debug({ fence, err: error }, 'a folder made ahead could not be removed; the next start removes it');
    });
  }

  /** From grant to report; never rejects. `onGone` is called once nothing of its tree is left. */
  async run(grant: PushedGrant, onGone: () => void): Promise<AttemptReport> {
    if (grant.fault !== undefined) return { kind: 'finished', result: this.#withoutTask(grant.fault) };
    if (grant.spec.runtime === 'noop') return { kind: 'finished', result: this.#noop() };
    const ahead = this.#ahead.get(grant.fence);
    this.#ahead.delete(grant.fence);
    const control = ahead?.control ?? newControl();
    this.#controls.set(grant.fence, control);
    const stagedAt = this.#clock.now();
    try {
      const spec = await (ahead?.spec ?? this.#stage(grant, control));
      control.abort.signal.throwIfAborted();
      await this.#again(grant, control, () => this.#workshop.begin(grant));
      control.abort.signal.throwIfAborted();
      control.running = await this.#start(spec);
      if (control.running === undefined) return this.#notRun(grant, control.reason ?? 'runner-died');
      return await this.#conclude(grant, control, onGone);
    } catch (error) {
      if (control.reason !== undefined) return this.#notRun(grant, control.reason);
      return { kind: 'finished', result: failure(error, stagedAt, this.#clock.now()) };
    } finally {
      this.#controls.delete(grant.fence);
    }
  }

  /** What is given back must not be found as begun by a next life, should that come before the report is heard. */
  #notRun(grant: PushedGrant, reason: AttemptEnd): AttemptReport {
    if (reason === 'unbegun') this.#discard(grant.fence);
    return { kind: 'ended', reason };
  }

  /** Goes on with an attempt of the life before. */
  async resume(grant: PushedGrant, running: RunningAttempt, onGone: () => void): Promise<AttemptReport> {
    const control: Control = { ...newControl(), running };
    this.#controls.set(grant.fence, control);
    try {
      return await this.#conclude(grant, control, onGone);
    } finally {
      this.#controls.delete(grant.fence);
    }
  }

  /** Undefined where no runner could take it: that is this machine's failure, not the script's. */
  async #start(spec: AttemptSpec): Promise<RunningAttempt | undefined> {
    try {
      return await this.#runtime.start(spec);
    } catch (error) {
      this.#out.warn({ fence: spec.fence, err: error }, 'an attempt could not be started here');
      return undefined;
    }
  }

  #stage(grant: PushedGrant, control: Control): Promise<AttemptSpec> {
    return this.#again(grant, control, () => this.#workshop.stage(grant, control.abort.signal));
  }

  /** Gateways may be away and disks full for a while: that costs time, not the attempt. */
  async #again<T>(grant: PushedGrant, control: Control, work: () => Promise<T>): Promise<T> {
    for (let tries = 0; ; tries++) {
      try {
        return await work();
      } catch (error) {
        const again = error instanceof SkeinError && error.retriable && !control.abort.signal.aborted;
        if (!again) throw error;
        const { code, message } = error;
        const say = `an attempt cannot begin yet (${message}); trying again`;
        if (tries === 0) this.#out.warn({ fence: grant.fence, code }, say);
        else this.#out.debug({ fence: grant.fence, code }, say);
        await this.#clock.sleep(RETRY_MS, control.abort.signal);
      }
    }
  }

  async #conclude(grant: PushedGrant, control: Control, onGone: () => void): Promise<AttemptReport> {
    const running = control.running;
    if (running === undefined) throw new SkeinError('runtime-failed', 'the attempt did not start');
    if (control.reason !== undefined) running.kill(0);
    const ended = await running.ended;
    onGone();
    // What a cancelled script said to its end is kept, as that of any other.
    if (ended.reason === 'killed' && control.reason === 'cancelled') {
      return this.#collect(grant, { ...ended, reason: 'exited' });
    }
    if (ended.reason === 'killed') return { kind: 'ended', reason: control.reason ?? 'lease-lapsed' };
    if (ended.reason === 'runner-died') return { kind: 'ended', reason: control.reason ?? 'runner-died' };
    return this.#collect(grant, ended);
  }

  async #collect(grant: PushedGrant, ended: AttemptEnded): Promise<AttemptReport> {
    for (;;) {
      try {
        const result = await this.#workshop.collect(grant, ended);
        return { kind: 'finished', result };
      } catch (error) {
        // A full disk passes; the files stay where they are until they can be read.
        if (!(error instanceof SkeinError) || !error.retriable) {
          return { kind: 'finished', result: failure(error, ended.startedAt, ended.endedAt) };
        }
        this.#out.warn(
          { fence: grant.fence, code: error.code },
          `outputs could not be gathered (${error.message}); trying again`,
        );
        await this.#clock.sleep(RETRY_MS);
      }
    }
  }

  /** Stops an attempt in whatever phase it is; one that has ended already is reported as it ended. */
  stop(fence: Fence, reason: AttemptEnd, graceMs: number, signal: StopSignal = 'SIGTERM'): void {
    const control = this.#controls.get(fence);
    if (control === undefined) return;
    control.reason ??= reason;
    control.abort.abort(new SkeinError('runtime-failed', 'the attempt was stopped'));
    control.running?.kill(graceMs, signal);
  }

  /** Fences that were begun and have no process yet. */
  starting(): readonly Fence[] {
    return [...this.#controls].filter(([, { running }]) => running === undefined).map(([fence]) => fence);
  }

  /** Fences whose script still runs, or is frozen, here. */
  alive(): readonly Fence[] {
    return [...this.#controls.keys()];
  }

  #withoutTask(fault: string): Result {
    const now = this.#clock.now();
    return failure(new SkeinError('not-found', fault), now, now);
  }

  #noop(): Result {
    const now = this.#clock.now();
    return {
      exit: { code: 0, signal: null },
      reason: 'exited',
      detail: null,
      startedAt: now,
      endedAt: now,
      stdout: null,
      stderr: null,
      outputs: { kind: 'inline', files: [] },
    };
  }
}

/** A gateway takes no longer one: a report that says more would be sent for ever. */
const DETAIL_MAX = 4_000;

export const cutDetail = (text: string): string => (text.length > DETAIL_MAX ? `${text.slice(0, DETAIL_MAX)}…` : text);

const newControl = (): Control => ({ abort: new AbortController(), running: undefined, reason: undefined });

const hasFiles = (grant: PushedGrant): boolean => grant.fault === undefined && grant.spec.runtime !== 'noop';

/** An attempt that never became a process: the script's user must hear why. */
function failure(error: unknown, startedAt: number, endedAt: number): Result {
  const known = error instanceof SkeinError;
  return {
    exit: { code: null, signal: null },
    reason: known && error.code === 'not-found' ? 'input-lost' : 'runtime-failed',
    detail: cutDetail(error instanceof Error ? error.message : String(error)),
    startedAt,
    endedAt,
    stdout: null,
    stderr: null,
    outputs: { kind: 'inline', files: [] },
  };
}
