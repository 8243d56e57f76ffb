// A clock whose time passes only when a test says so; everything due happens in order.
import type { Clock } from '../../../protocol/time.ts';

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

export class VirtualClock implements Clock {
  #now = 0;
  #sleepers: Sleeper[] = [];

  now(): number {
    return 1_700_000_000_000 + this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  uptime(): number {
    return this.#now;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const sleeper = { at: this.#now + ms, wake: resolve };
      this.#sleepers.push(sleeper);
      signal?.addEventListener('abort', () => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        reject(signal.reason);
      });
    });
  }

  every(): never {
    throw new Error('no test needs it');
  }

  /** One millisecond, and all that it brings about. */
  async tick(): Promise<void> {
    this.#now += 1;
    for (;;) {
      await settle();
      const due = this.#sleepers.filter(({ at }) => at <= this.#now).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) return;
      this.#sleepers = this.#sleepers.filter((other) => other !== due);
      due.wake();
    }
  }
}

/** Lets every promise that can go on do so. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
