// Requests that wait for their answer: bounded in number, each with a deadline, each settled exactly once.
import { SkeinError } from '../../protocol/errors.ts';
import type { PeerId } from '../../protocol/ids.ts';
import type { Clock } from '../../protocol/time.ts';
import type { CallOptions, Channel } from './port.ts';

export const inFlightMax = 1024;
const sweepMs = 20;

interface Call {
  readonly channel: Channel;
  readonly method: string;
  readonly deadlineMs: number;
  readonly timeoutMs: number;
  readonly resolve: (body: Uint8Array) => void;
  readonly reject: (error: unknown) => void;
  readonly release: () => void;
}

/** The calls to one peer. */
export class PendingCalls {
  readonly #peer: PeerId;
  readonly #clock: Clock;
  readonly #calls = new Map<number, Call>();
  #lastId = 0;
  #sweeping: AbortController | undefined;

  constructor(peer: PeerId, clock: Clock) {
    this.#peer = peer;
    this.#clock = clock;
  }

  /** Fails with `too-many-requests`, or with the signal's reason where it has fired already. */
  start(channel: Channel, method: string, options: CallOptions): { id: number; answer: Promise<Uint8Array> } {
    options.signal?.throwIfAborted();
    if (this.#calls.size >= inFlightMax) {
      throw new SkeinError('too-many-requests', `${inFlightMax} requests to ${this.#peer} are unanswered`);
    }
    const id = this.#newId();
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    const { signal, timeoutMs } = options;
    const onAbort = () => this.#settle(id)?.reject(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    const release = () => signal?.removeEventListener('abort', onAbort);
    const deadlineMs = this.#clock.monotonic() + timeoutMs;
    this.#calls.set(id, { channel, method, deadlineMs, timeoutMs, resolve, reject, release });
    this.#sweep();
    return { id, answer: promise };
  }

  resolve(id: number, body: Uint8Array): void {
    this.#settle(id)?.resolve(body);
  }

  reject(id: number, error: unknown): void {
    this.#settle(id)?.reject(error);
  }

  /** Every call on this channel, or on all of them. */
  rejectAll(error: SkeinError, channel?: Channel): void {
    for (const [id, call] of [...this.#calls])
      if (channel === undefined || call.channel === channel) this.reject(id, error);
  }

  #settle(id: number): Call | undefined {
    const call = this.#calls.get(id);
    if (call === undefined) return undefined;
    this.#calls.delete(id);
    call.release();
    return call;
  }

  #newId(): number {
    do this.#lastId = (this.#lastId + 1) >>> 0;
    while (this.#calls.has(this.#lastId));
    return this.#lastId;
  }

  // One ticker for all deadlines, and none while nothing waits: a timer per call would cost more than the call.
  #sweep(): void {
    if (this.#sweeping !== undefined) return;
    this.#sweeping = new AbortController();
    this.#clock.every(sweepMs, () => this.#expire(), this.#sweeping.signal);
  }

  #expire(): void {
    const now = this.#clock.monotonic();
    for (const [id, { deadlineMs, channel, method, timeoutMs }] of [...this.#calls]) {
      if (deadlineMs > now) continue;
      this.reject(
        id,
        new SkeinError('no-answer', `${this.#peer} did not answer ${channel}/${method} in ${timeoutMs} ms`),
      );
    }
    if (this.#calls.size > 0) return;
    this.#sweeping?.abort();
    this.#sweeping = undefined;
  }
}
