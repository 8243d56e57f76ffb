// Rows in memory as JSON texts, with the hash of them all kept up with each change.
import { compareKeys } from './keys.ts';
import type { RowsOptions } from './port.ts';
import { printHash, rowHash, shiftHash } from './state-hash.ts';

export class HashedRows {
  readonly #texts = new Map<string, string>();
  #sum = 0n;

  get hash(): string {
    return printHash(this.#sum);
  }

  get(key: string): string | undefined {
    return this.#texts.get(key);
  }

  /** Undefined deletes. */
  put(key: string, row: unknown): void {
    const before = this.#texts.get(key);
    const text = row === undefined ? undefined : JSON.stringify(row);
    const removed = before === undefined ? 0n : rowHash(key, before);
    const added = text === undefined ? 0n : rowHash(key, text);
    this.#sum = shiftHash(this.#sum, { removed, added });
    if (text === undefined) this.#texts.delete(key);
    else this.#texts.set(key, text);
  }

  /** A copy, in key order or its reverse. */
  select(
    prefix: string,
    { after, reverse = false, limit = Number.POSITIVE_INFINITY }: RowsOptions,
  ): [string, string][] {
    const sign = reverse ? -1 : 1;
    const wanted = [...this.#texts].filter(
      ([key]) => key.startsWith(prefix) && (after === undefined || sign * compareKeys(key, after) > 0),
    );
    return wanted.sort(([a], [b]) => sign * compareKeys(a, b)).slice(0, limit);
  }
}
