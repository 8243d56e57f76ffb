// A word's bits, spread: for hashes that nobody need be unable to foresee.

/** Spreads the bits of a word over all of it (MurmurHash3's finish). */
export function mix(word: number): number {
  let mixed = word ^ (word >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
