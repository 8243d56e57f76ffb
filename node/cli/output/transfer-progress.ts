// Tells how far a transfer is once it takes longer than a second: as a live area, or in a pipe every 30 s.
import type { Call } from '../call.ts';
import { SLOW_MS } from '../say-if-slow.ts';

const PLAIN_MS = 30_000;

/** What to tell each step to; the caller clears the area at the end. */
export function transferProgress({ screen, world: { clock } }: Call): (line: string) => void {
  const startedAt = clock.monotonic();
  let toldAt = startedAt;
  return (line) => {
    const now = clock.monotonic();
    if (now - startedAt < SLOW_MS) return;
    if (screen.isLive) void screen.area([` ${line}`]);
    else if (now - toldAt > PLAIN_MS) {
      toldAt = now;
      void screen.say(line);
    }
  };
}
