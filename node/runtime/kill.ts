// Kills until nothing is left, with a limit: what hangs in the kernel dies when the kernel lets go of it, and may take for
// ever. It runs nothing of its program any more, so nobody has to wait for it.
import type { Clock } from '../../protocol/time.ts';
import { platform } from './platform.ts';
import { sendSignal } from './signal.ts';

const DEADLINE_MS = 10_000;
const PAUSE_MAX_MS = 50;

/** @param kill sends SIGKILL to all that is there and answers who that was. @returns what is left at the deadline. */
export async function killUntilGone(
  clock: Pick<Clock, 'monotonic' | 'sleep'>,
  kill: () => readonly number[],
): Promise<readonly number[]> {
  const until = clock.monotonic() + DEADLINE_MS;
  for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, PAUSE_MAX_MS)) {
    const left = kill();
    if (left.length === 0 || clock.monotonic() >= until) return left;
    await clock.sleep(pauseMs);
  }
}

/** Each is killed once: later its number may be another's. */
export function once(pids: readonly number[]): () => readonly number[] {
  for (const pid of pids) sendSignal(pid, 'SIGKILL');
  return () => pids.filter((pid) => platform.isAlive(pid));
}
