// Decoded rows that were lately read or written, so that a hot row costs neither a look into LevelDB nor a parse.
// Bounded in bytes: of two halves the older is forgotten whole, which is nearly LRU and costs no bookkeeping per hit.

export interface CachedRow {
  readonly row: unknown;
  /** The row's part in the state hash. */
  readonly hash: bigint;
  readonly sizeBytes: number;
}

/** What a row weighs in memory beyond its JSON text, roughly. */
const OVERHEAD_BYTES = 200;

export class RowCache {
  readonly #halfBytes: number;
  #young = new Map<string, CachedRow>();
  #old = new Map<string, CachedRow>();
  #youngBytes = 0;

  constructor(options: { readonly maxBytes: number }) {
    this.#halfBytes = options.maxBytes / 2;
  }

  get(key: string): CachedRow | undefined {
    const found = this.#young.get(key);
    if (found !== undefined) return found;
    const older = this.#old.get(key);
    if (older !== undefined) this.set(key, older);
    return older;
  }

  set(key: string, cached: CachedRow): void {
    this.delete(key);
    this.#young.set(key, cached);
    this.#youngBytes += cached.sizeBytes + OVERHEAD_BYTES;
    if (this.#youngBytes <= this.#halfBytes) return;
    this.#old = this.#young;
    this.#young = new Map();
    this.#youngBytes = 0;
  }

  delete(key: string): void {
    this.#old.delete(key);
    const found = this.#young.get(key);
    if (found === undefined) return;
    this.#young.delete(key);
    this.#youngBytes -= found.sizeBytes + OVERHEAD_BYTES;
  }

  clear(): void {
    this.#young.clear();
    this.#old.clear();
    this.#youngBytes = 0;
  }
}
