// A signal that fires when a time is over by the injected clock, or earlier when another one does.
import type { Clock } from '../protocol/time.ts';

export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
}

export function deadline(clock: Clock, ms: number, other: AbortSignal): Deadline {
  const over = new AbortController();
  const done = new AbortController();
  clock.sleep(ms, done.signal).then(
    () => over.abort(new Error('the time is over')),
    // Disposed of before its time: nothing waits for it any more.
    () => undefined,
  );
  return {
    signal: AbortSignal.any([over.signal, other]),
    [Symbol.dispose]: () => done.abort(),
  };
}
