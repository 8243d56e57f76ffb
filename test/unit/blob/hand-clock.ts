// A clock that only a test moves.
import type { Clock } from '../../../protocol/time.ts';

interface Sleeper {
  readonly until: number;
  readonly wake: () => void;
}

export class HandClock implements Clock {
  time = 1_800_000_000_000;
  readonly #sleepers = new Set<Sleeper>();

  now = (): number => this.time;
  monotonic = (): number => this.time;
  uptime = (): number => this.time;

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const sleeper = { until: this.time + ms, wake: resolve };
      this.#sleepers.add(sleeper);
      const stop = (): void => {
        this.#sleepers.delete(sleeper);
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', stop, { once: true });
    });
  }

  every(): void {
    throw new Error('nothing here runs by the clock');
  }

  get sleeping(): number {
    return this.#sleepers.size;
  }

  advance(ms: number): void {
    this.time += ms;
    for (const sleeper of [...this.#sleepers]) {
      if (sleeper.until > this.time) continue;
      this.#sleepers.delete(sleeper);
      sleeper.wake();
    }
  }
}
