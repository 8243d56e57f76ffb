// Signals as people mean them.
import type { Clock } from '../protocol/time.ts';

const SAME_SIGNAL_MS = 200;

/** One Ctrl-C reaches a process and its launcher, which passes it on: what comes again so soon is not counted. */
export function withoutEcho(clock: Pick<Clock, 'monotonic'>, onSignal: () => void): () => void {
  let countedAt = Number.NEGATIVE_INFINITY;
  return () => {
    const now = clock.monotonic();
    if (now - countedAt < SAME_SIGNAL_MS) return;
    countedAt = now;
    onSignal();
  };
}
