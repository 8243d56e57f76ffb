// A clock that moves only when a test moves it: tickers and sleepers that fall due fire in order of time.
import type { Clock } from '../../protocol/time.ts';

interface Due {
  atMs: number;
  readonly everyMs: number | undefined;
  readonly fire: () => void;
}

export class ManualClock implements Clock {
  #nowMs = 1000;
  #due: Due[] = [];

  now = (): number => 1_790_000_000_000 + this.#nowMs;
  monotonic = (): number => this.#nowMs;
  uptime = (): number => this.#nowMs;

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const due: Due = { atMs: this.#nowMs + ms, everyMs: undefined, fire: resolve };
      this.#due.push(due);
      signal?.addEventListener('abort', () => {
        this.#due = this.#due.filter((other) => other !== due);
        reject(signal.reason);
      });
    });
  }

  every(ms: number, f: () => void, signal: AbortSignal): void {
    const due: Due = { atMs: this.#nowMs + ms, everyMs: ms, fire: f };
    this.#due.push(due);
    signal.addEventListener('abort', () => {
      this.#due = this.#due.filter((other) => other !== due);
    });
  }

  /** Whatever a firing makes due within the span fires too; promises get their turns in between. */
  async advance(ms: number): Promise<void> {
    const until = this.#nowMs + ms;
    for (;;) {
      await turn();
      const next = this.#due.filter(({ atMs }) => atMs <= until).sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      if (next.everyMs === undefined) this.#due = this.#due.filter((other) => other !== next);
      else next.atMs += next.everyMs;
      next.fire();
    }
    this.#nowMs = until;
    await turn();
  }

  /** As a machine that was asleep, or a stopped process: time is gone and nothing fired. */
  jump(ms: number): void {
    this.#nowMs += ms;
    for (const due of this.#due) due.atMs = Math.max(due.atMs, this.#nowMs);
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
