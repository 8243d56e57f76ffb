// For loops over files whose calls are made at once, without a thread for each: now and then all else has its turn.
import { setImmediate } from 'node:timers/promises';

const EVERY = 64;

/** To be awaited in each turn of the loop. */
export function breaths(): () => Promise<void> | undefined {
  let turns = 0;
  return () => (++turns % EVERY === 0 ? setImmediate() : undefined);
}
