// Whatever takes longer than a second says what it waits for (UX.md section 3).
import type { Call } from './call.ts';

export const SLOW_MS = 1000;

export async function sayIfSlow<T>(call: Call, sentence: string, work: Promise<T>): Promise<T> {
  const done = new AbortController();
  call.world.clock.sleep(SLOW_MS, done.signal).then(
    () => call.screen.say(sentence),
    // It was quick.
    () => undefined,
  );
  try {
    return await work;
  } finally {
    done.abort();
  }
}
