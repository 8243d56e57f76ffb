// A pipe cannot be taken back: when an attempt is replaced, the new one's bytes are passed on only as far as they
// continue what was passed on already (UX.md, Streams). Only a hash of the old bytes is kept.
import { createHash } from 'node:crypto';

export type Passed =
  | { readonly kind: 'pass'; readonly bytes: Uint8Array }
  /** The new attempt says something else than what was passed on. */
  | { readonly kind: 'differs' };

export class Continuation {
  /** Over all bytes passed on so far. */
  #passed = createHash('sha256');
  #passedBytes = 0;
  /** Over the current attempt's bytes while it catches up. */
  #again: ReturnType<typeof createHash> | undefined;
  #againBytes = 0;

  get passedBytes(): number {
    return this.#passedBytes;
  }

  /** From here on the bytes are those of a new attempt, from its start. */
  startOver(): void {
    this.#again = createHash('sha256');
    this.#againBytes = 0;
  }

  /** The part of `bytes` to pass on. */
  take(bytes: Uint8Array): Passed {
    const missing = this.#again === undefined ? 0 : this.#passedBytes - this.#againBytes;
    const old = bytes.subarray(0, missing);
    this.#again?.update(old);
    this.#againBytes += old.length;
    if (this.#again !== undefined && this.#againBytes === this.#passedBytes) {
      if (this.#again.digest('hex') !== this.#passed.copy().digest('hex')) return { kind: 'differs' };
      this.#again = undefined;
    }
    const fresh = bytes.subarray(old.length);
    this.#passed.update(fresh);
    this.#passedBytes += fresh.length;
    return { kind: 'pass', bytes: fresh };
  }

  /** The attempt has ended: whether it has said all that was passed on. */
  isWhole(): boolean {
    return this.#again === undefined || (this.#passedBytes === 0 && this.#againBytes === 0);
  }

  /** After a file was cut back: as if nothing had been passed on. */
  forget(): void {
    this.#passed = createHash('sha256');
    this.#passedBytes = 0;
    this.#again = undefined;
    this.#againBytes = 0;
  }
}
