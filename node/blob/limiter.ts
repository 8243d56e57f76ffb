// Lets a bounded number of operations run; the rest waits in order, and a bounded number of those.
import { SkeinError } from '../../protocol/errors.ts';

export class Limiter {
  readonly #max: number;
  readonly #waitingMax: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(options: { readonly max: number; readonly waitingMax: number }) {
    this.#max = options.max;
    this.#waitingMax = options.waitingMax;
  }

  /** Fails with `too-busy`, or as `work` fails. A signal that fires meanwhile is judged when the turn comes. */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (this.#running >= this.#max) {
      if (this.#waiting.length >= this.#waitingMax) throw new SkeinError('too-busy', 'too many transfers wait');
      // The turn is handed on: `#running` stays as it is.
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#running++;
    }
    try {
      signal?.throwIfAborted();
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}
