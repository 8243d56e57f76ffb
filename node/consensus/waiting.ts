// Callers that wait: each is answered exactly once, by its result, its deadline or its own signal. Deadlines are looked
// at in passes and not by a timer each: thousands may wait at a time.

export interface WaitOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** One caller. `settled` once it was answered, whatever may come later. */
export class Waiter<Value> {
  readonly promise: Promise<Value>;
  readonly deadlineMs: number;
  readonly #settle: { resolve: (value: Value) => void; reject: (error: unknown) => void };
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = (): void => this.reject(this.#signal?.reason);
  #settled = false;

  /** @param nowMs monotonic. */
  constructor(options: WaitOptions, nowMs: number) {
    const { promise, resolve, reject } = Promise.withResolvers<Value>();
    this.promise = promise;
    this.#settle = { resolve, reject };
    this.deadlineMs = nowMs + options.timeoutMs;
    this.#signal = options.signal;
    if (this.#signal?.aborted === true) this.#onAbort();
    else this.#signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  get settled(): boolean {
    return this.#settled;
  }

  resolve(value: Value): void {
    if (this.#close()) this.#settle.resolve(value);
  }

  reject(error: unknown): void {
    if (this.#close()) this.#settle.reject(error);
  }

  #close(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    this.#signal?.removeEventListener('abort', this.#onAbort);
    return true;
  }
}

/** Fails each that is past its deadline and returns those that still wait. */
export function expire<W extends Pick<Waiter<never>, 'deadlineMs' | 'settled' | 'reject'>>(
  waiters: readonly W[],
  nowMs: number,
  error: () => unknown,
): W[] {
  for (const waiter of waiters) if (waiter.deadlineMs <= nowMs) waiter.reject(error());
  return waiters.filter((waiter) => !waiter.settled);
}
