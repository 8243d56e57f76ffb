// A set of hashes in bounded memory, which may also say yes to a few that are not in it (a Bloom filter).
// Which few is another matter at each pass, as chance is mixed in: what one sweep spares by mistake, the next removes.
import type { Sha256 } from '../../protocol/ids.ts';
import type { Random } from '../../protocol/random.ts';
import { mix } from '../policy/mix.ts';

/** 16 MiB: one in a hundred thousand mistaken at 5 million marks, one in fifty at 15 million. */
const BITS = 2 ** 27;
const PROBES = 7;

export class Marks {
  readonly #words = new Uint32Array(BITS / 32);
  readonly #salt: number;

  constructor(random: Random) {
    this.#salt = Math.floor(random.next() * 2 ** 32);
  }

  add(sha256: Sha256): void {
    for (const bit of this.#bits(sha256)) {
      this.#words[bit >>> 5] = (this.#words[bit >>> 5] as number) | (1 << (bit & 31));
    }
  }

  mayHave(sha256: Sha256): boolean {
    return this.#bits(sha256).every((bit) => ((this.#words[bit >>> 5] as number) & (1 << (bit & 31))) !== 0);
  }

  /**
   * A hash is chance enough: two words of it, stepped through (Kirsch and Mitzenmacher, 2006), give all probes. Mixed, as the
   * salt must change more than the bits it is laid over.
   */
  #bits(sha256: Sha256): number[] {
    const start = mix(Number.parseInt(sha256.slice(0, 8), 16) ^ this.#salt);
    const step = mix(Number.parseInt(sha256.slice(8, 16), 16) ^ this.#salt) | 1;
    return Array.from({ length: PROBES }, (_, n) => ((start + n * step) >>> 0) % BITS);
  }
}
