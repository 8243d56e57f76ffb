// A machine: its clock, which drifts and jumps, the life of the process on it, and its standing still.
import type { Clock } from '../../protocol/time.ts';
import type { World } from './world.ts';

const WALL_MS = 1_790_000_000_000;

/** `suspended` as by a lid that is closed, timers stand still too; `stopped` as a guest; `daemon`: the runners go on. */
export type Standing = 'suspended' | 'stopped' | 'daemon';

interface Waiting {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
  readonly life: Life | undefined;
}

export class Machine {
  readonly world: World;
  readonly name: string;
  /** How many of its milliseconds pass in one of the world's. */
  readonly rate: number;
  readonly #startMs: number;
  wallOffsetMs = 0;
  /** Time in which its clocks, but for `uptime`, stood still. */
  sleptMs = 0;
  #sleepsSinceMs: number | undefined;
  #standing: Standing | undefined;
  #waiting: Waiting[] = [];
  /** When it last went on after it had stood still. */
  wentOnAtMs = Number.NEGATIVE_INFINITY;

  constructor(world: World, name: string, { rate, startMs }: { readonly rate: number; readonly startMs: number }) {
    this.world = world;
    this.name = name;
    this.rate = rate;
    this.#startMs = startMs;
  }

  get uptimeMs(): number {
    return this.#startMs + this.world.nowMs * this.rate;
  }

  get monotonicMs(): number {
    const sleeping = this.#sleepsSinceMs === undefined ? 0 : this.world.nowMs - this.#sleepsSinceMs;
    return this.#startMs + (this.world.nowMs - this.sleptMs - sleeping) * this.rate;
  }

  get wallMs(): number {
    return Math.floor(WALL_MS + this.world.nowMs + this.wallOffsetMs);
  }

  get standing(): Standing | undefined {
    return this.#standing;
  }

  standStill(how: Standing): void {
    this.#standing = how;
    if (how === 'suspended') this.#sleepsSinceMs = this.world.nowMs;
  }

  stops(life: Life): boolean {
    return this.#standing !== undefined && !(this.#standing === 'daemon' && life.isRunner);
  }

  /** What fell due meanwhile happens now, the runner's own look at its lease first of all. */
  goOn(): void {
    this.#standing = undefined;
    this.wentOnAtMs = this.world.nowMs;
    if (this.#sleepsSinceMs !== undefined) this.sleptMs += this.world.nowMs - this.#sleepsSinceMs;
    this.#sleepsSinceMs = undefined;
    const waiting = this.#waiting.sort((a, b) => rank(a) - rank(b) || a.atMs - b.atMs || a.order - b.order);
    this.#waiting = [];
    for (const { run, life } of waiting) this.world.at(this.world.nowMs, life, run);
  }

  defer(event: Waiting): void {
    this.#waiting.push(event);
  }
}

const rank = ({ life }: Waiting): number => (life?.isRunner === true ? 0 : 1);

/** From a start of the process to its end; its clock, and all that it asked to happen, end with it. */
export class Life {
  readonly machine: Machine;
  /** The runners of a worker, which outlive the daemon. */
  readonly isRunner: boolean;
  isOver = false;
  readonly clock: Clock;

  constructor(machine: Machine, { isRunner = false } = {}) {
    this.machine = machine;
    this.isRunner = isRunner;
    this.clock = clockOf(this);
  }

  get name(): string {
    return this.machine.name;
  }

  /** Whether an event may happen now; one that may not is kept where it will. */
  takes(event: Waiting): boolean {
    if (this.isOver) return false;
    if (!this.machine.stops(this)) return true;
    this.machine.defer(event);
    return false;
  }

  post(run: () => void): void {
    this.machine.world.after(0, this, run);
  }

  end(): void {
    this.isOver = true;
  }
}

function clockOf(life: Life): Clock {
  const { machine } = life;
  const { world } = machine;
  // A runner looks at its lease many times a second, by the clock that counts suspend.
  const read = life.isRunner ? () => machine.uptimeMs : () => machine.monotonicMs;
  const wait = (dueMs: number, run: () => void, isOff: () => boolean): void => {
    world.after((dueMs - read()) / machine.rate, life, () => {
      if (isOff()) return;
      // It slept meanwhile: its timers stood still.
      if (read() < dueMs - 0.001) wait(dueMs, run, isOff);
      else run();
    });
  };
  return {
    now: () => machine.wallMs,
    monotonic: () => machine.monotonicMs,
    uptime: () => machine.uptimeMs,
    sleep(ms, signal) {
      return new Promise((resolve, reject) => {
        if (signal?.aborted === true) return reject(signal.reason);
        let isOff = false;
        const stop = (): void => {
          isOff = true;
          reject(signal?.reason);
        };
        signal?.addEventListener('abort', stop, { once: true });
        const wake = (): void => {
          signal?.removeEventListener('abort', stop);
          resolve();
        };
        wait(read() + Math.max(0, ms), wake, () => isOff);
      });
    },
    every(ms, f, signal) {
      const again = (): void => {
        const dueMs = read() + ms;
        const run = (): void => {
          again();
          f();
        };
        wait(dueMs, run, () => signal.aborted);
      };
      again();
    },
  };
}
