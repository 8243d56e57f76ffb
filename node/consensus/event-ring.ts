// The latest events of applied entries, for those who follow: bounded, and honest about how far back it reaches.
import type { LoggedEvent } from '../../protocol/state/event.ts';

interface Place {
  readonly index: number;
  readonly sub: number;
}

export class EventRing {
  readonly #max: number;
  #events: LoggedEvent[] = [];
  /** Events up to here may be missing. */
  #floor: Place;

  /** @param appliedIndex what was applied before: its events are not known. */
  constructor(options: { readonly max: number; readonly appliedIndex: number }) {
    this.#max = options.max;
    this.#floor = { index: options.appliedIndex, sub: Number.POSITIVE_INFINITY };
  }

  push(event: LoggedEvent): void {
    this.#events.push(event);
    // Trimmed in strides, so that a push costs the same on average however large the ring is.
    if (this.#events.length >= 2 * this.#max) this.#trim();
  }

  #trim(): void {
    const dropped = this.#events[this.#events.length - this.#max - 1];
    if (dropped !== undefined) this.#floor = { index: dropped.index, sub: dropped.sub };
    this.#events = this.#events.slice(-this.#max);
  }

  /** All above (index, sub), oldest first; undefined where some of them may be forgotten. */
  since(index: number, sub: number): readonly LoggedEvent[] | undefined {
    const place = { index, sub };
    if (isAbove(this.#floor, place)) return undefined;
    let from = this.#events.length;
    while (from > 0 && isAbove(this.#events[from - 1] as LoggedEvent, place)) from--;
    return this.#events.slice(from);
  }
}

function isAbove(a: Place, b: Place): boolean {
  return a.index > b.index || (a.index === b.index && a.sub > b.sub);
}
