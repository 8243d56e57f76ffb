// Gives work a time, by the injected clock.
import { SkeinError } from '../protocol/errors.ts';
import type { Clock } from '../protocol/time.ts';

/** @returns undefined where the time was over first; then `over` has fired, and whether the work goes on is its own choice. */
export async function inTime<T>(
  clock: Pick<Clock, 'sleep'>,
  ms: number,
  work: (over: AbortSignal) => Promise<T>,
): Promise<T | undefined> {
  const over = new AbortController();
  const done = new AbortController();
  const late = clock.sleep(ms, done.signal).then(() => {
    over.abort(new SkeinError('no-answer', `it was not done within ${ms / 1000} s`));
    return undefined;
  });
  late.catch(() => undefined); // the work was done first
  try {
    return await Promise.race([work(over.signal), late]);
  } finally {
    done.abort();
  }
}
