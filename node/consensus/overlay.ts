// Rows of applied entries that are not yet known to be on disk. Reads go through it, so that an answer waits for commit
// and apply alone and the rows' write may ride in the next synced batch.
import { compareKeys } from '../storage/keys.ts';
import type { RowChange } from '../storage/port.ts';
import type { ScanOptions } from './log.ts';

interface Fresh {
  /** Undefined where it was deleted. */
  readonly row: unknown;
  readonly index: number;
}

export class Overlay {
  readonly #fresh = new Map<string, Fresh>();
  /** Keys that no write under way carries in their latest form. */
  #unwritten = new Set<string>();

  /** The row as of the applied index, or undefined where the disk has it. */
  get(key: string): Fresh | undefined {
    return this.#fresh.get(key);
  }

  get hasUnwritten(): boolean {
    return this.#unwritten.size > 0;
  }

  set(key: string, row: unknown, index: number): void {
    this.#fresh.set(key, { row, index });
    this.#unwritten.add(key);
  }

  /** The changes for the next write: each row once, in its latest form. */
  take(): RowChange[] {
    const keys = this.#unwritten;
    this.#unwritten = new Set();
    return Array.from(keys, (key) => ({ key, row: this.#fresh.get(key)?.row }));
  }

  /** Those changes, as of `appliedIndex`, are on disk. What changed again since then stays. */
  onStored(changes: readonly RowChange[], appliedIndex: number): void {
    for (const { key } of changes) {
      const fresh = this.#fresh.get(key);
      if (fresh !== undefined && fresh.index <= appliedIndex) this.#fresh.delete(key);
    }
  }

  /** Those changes are not known to be on disk: they go into the next write again. */
  onFailed(changes: readonly RowChange[]): void {
    for (const { key } of changes) this.#unwritten.add(key);
  }

  /** All rows were replaced by others, which are on disk. */
  clear(): void {
    this.#fresh.clear();
    this.#unwritten.clear();
  }

  /** A copy, in key order or its reverse. */
  select(prefix: string, options: ScanOptions): (readonly [string, unknown])[] {
    const sign = options.reverse === true ? -1 : 1;
    const found: (readonly [string, unknown])[] = [];
    for (const [key, { row }] of this.#fresh) {
      if (!key.startsWith(prefix)) continue;
      if (options.after !== undefined && sign * compareKeys(key, options.after) <= 0) continue;
      found.push([key, row]);
    }
    return found.sort(([a], [b]) => sign * compareKeys(a, b));
  }
}

/** Stored rows with the overlay's on top, both in one order; rows that the overlay deleted are left out. */
export async function* mergeRows(
  stored: AsyncIterable<readonly [string, unknown]>,
  fresh: readonly (readonly [string, unknown])[],
  options: ScanOptions,
): AsyncGenerator<readonly [string, unknown]> {
  const sign = options.reverse === true ? -1 : 1;
  let left = options.limit ?? Number.POSITIVE_INFINITY;
  let at = 0;
  for await (const pair of stored) {
    for (let next = fresh[at]; next !== undefined && sign * compareKeys(next[0], pair[0]) < 0; next = fresh[++at]) {
      if (next[1] === undefined) continue;
      if (left-- <= 0) return;
      yield next;
    }
    // The overlay's form of the same row comes with the next turn of the loop above.
    if (fresh[at]?.[0] === pair[0]) continue;
    if (left-- <= 0) return;
    yield pair;
  }
  for (; at < fresh.length; at++) {
    const next = fresh[at];
    if (next === undefined || next[1] === undefined) continue;
    if (left-- <= 0) return;
    yield next;
  }
}
