// What will happen, soonest first; of what falls due together, what was asked for first.
export interface Timed {
  readonly atMs: number;
  readonly order: number;
}

/** A binary heap. */
export class EventQueue<E extends Timed> {
  readonly #heap: E[] = [];

  get size(): number {
    return this.#heap.length;
  }

  get first(): E | undefined {
    return this.#heap[0];
  }

  push(event: E): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as E;
      if (!isSooner(event, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = event;
  }

  pop(): E | undefined {
    const heap = this.#heap;
    const [first] = heap;
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      const right = heap[child + 1];
      if (right !== undefined && isSooner(right, heap[child] as E)) child++;
      const sooner = heap[child];
      if (sooner === undefined || !isSooner(sooner, last)) break;
      heap[at] = sooner;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isSooner(a: Timed, b: Timed): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
