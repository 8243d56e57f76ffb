// Linearizable reads that wait (ReadIndex: dissertation, 6.4): first for a quorum round, shared by all that came before
// it began; then until what that round confirmed is applied here.
import type { SkeinError } from '../../protocol/errors.ts';
import type { ReadState } from '../../protocol/raft/ready.ts';
import { expire, Waiter, type WaitOptions } from './waiting.ts';

interface Confirmed {
  readonly waiters: readonly Waiter<number>[];
  readonly index: number;
}

export class Barriers {
  #waiting: Waiter<number>[] = [];
  readonly #rounds = new Map<number, readonly Waiter<number>[]>();
  #confirmed: Confirmed[] = [];
  #lastContext = 0;

  add(options: WaitOptions, nowMs: number): Promise<number> {
    const waiter = new Waiter<number>(options, nowMs);
    this.#waiting.push(waiter);
    return waiter.promise;
  }

  /** @param ask begins a round under a context; false where this voter does not lead, and all wait on. */
  begin(ask: (context: number) => boolean): void {
    if (this.#waiting.length === 0 || !ask(this.#lastContext + 1)) return;
    this.#lastContext++;
    this.#rounds.set(this.#lastContext, this.#waiting);
    this.#waiting = [];
  }

  onConfirmed(read: ReadState): void {
    const waiters = this.#rounds.get(read.context);
    if (waiters === undefined) return;
    this.#rounds.delete(read.context);
    this.#confirmed.push({ waiters, index: read.index });
  }

  /** That round ends nowhere: those who wait are asked for again. */
  onLost(context: number): void {
    this.#waiting.push(...(this.#rounds.get(context) ?? []));
    this.#rounds.delete(context);
  }

  onApplied(appliedIndex: number): void {
    if (this.#confirmed.length === 0) return;
    const due = this.#confirmed.filter((one) => one.index <= appliedIndex);
    this.#confirmed = this.#confirmed.filter((one) => one.index > appliedIndex);
    for (const { waiters } of due) for (const waiter of waiters) waiter.resolve(appliedIndex);
  }

  /** Those who wait for a round need none: whoever calls this knows that `appliedIndex` is all there is. */
  release(appliedIndex: number): void {
    this.onDeposed();
    for (const waiter of this.#waiting.splice(0)) waiter.resolve(appliedIndex);
    this.onApplied(appliedIndex);
  }

  /** A deposed leader's rounds end nowhere. */
  onDeposed(): void {
    for (const context of this.#rounds.keys()) this.onLost(context);
  }

  /** Nobody can be asked: those who wait for a round are told so. */
  rejectWaiting(error: SkeinError): void {
    for (const waiter of this.#waiting.splice(0)) waiter.reject(error);
  }

  expire(nowMs: number, error: () => SkeinError): void {
    this.#waiting = expire(this.#waiting, nowMs, error);
    for (const [context, waiters] of this.#rounds) this.#rounds.set(context, expire(waiters, nowMs, error));
    this.#confirmed = this.#confirmed.map((one) => ({ ...one, waiters: expire(one.waiters, nowMs, error) }));
  }

  rejectAll(error: SkeinError): void {
    this.onDeposed();
    for (const { waiters } of this.#confirmed) this.#waiting.push(...waiters);
    for (const waiter of this.#waiting) waiter.reject(error);
    this.#waiting = [];
    this.#confirmed = [];
  }
}
