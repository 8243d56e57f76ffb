// Chance of the simulator: repeatable by its seed, and quick, as every message draws from it (sfc32).
import type { Random } from '../../protocol/random.ts';

export function chance(seed: string): Random {
  let [a, b, c, d] = spread(seed);
  const next32 = (): number => {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return t >>> 0;
  };
  for (let n = 0; n < 12; n++) next32();
  return {
    next: () => next32() / 2 ** 32,
    bytes: (count) => Uint8Array.from({ length: count }, () => next32() & 255),
    fork: (name) => chance(`${seed}/${name}`),
  };
}

/** Four words that differ where the texts differ (FNV-1a from four beginnings). */
function spread(text: string): [number, number, number, number] {
  const word = (start: number): number => {
    let hash = start;
    for (let n = 0; n < text.length; n++) hash = Math.imul(hash ^ text.charCodeAt(n), 0x01000193);
    return hash | 0;
  };
  return [word(0x811c9dc5), word(0x9e3779b9), word(0x85ebca6b), word(0xc2b2ae35)];
}

export const between = (random: Random, min: number, max: number): number => min + random.next() * (max - min);

export function pick<T>(random: Random, from: readonly T[]): T | undefined {
  return from[Math.floor(random.next() * from.length)];
}

/** Time until the next of what happens every `meanMs` on average. */
export const untilNext = (random: Random, meanMs: number): number => -Math.log(1 - random.next()) * meanMs;
