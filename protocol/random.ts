// The one source of chance. A fork by name gives each component a stream of its own,
// so that a new draw in one place does not shift all others.

export interface Random {
  /** A number in [0, 1). */
  next(): number;
  /** `count` bytes fit for secrets where the implementation is the operating system's. */
  bytes(count: number): Uint8Array;
  fork(name: string): Random;
}

/** A whole number in [min, max]. */
export function between(random: Random, min: number, max: number): number {
  return min + Math.floor(random.next() * (max - min + 1));
}
