// Lets a test end this process at a chosen point: SKEIN_FAULT=NAME[:N] kills it the Nth time that point is reached,
// SKEIN_FAULT_TRACE=FILE lists the points as they are reached.
import { appendFileSync } from 'node:fs';

/** The points before and after each step that a crash may come between. A real node passes them by. */
export interface Faults {
  reach(point: string): void | Promise<void>;
}
export const noFaults: Faults = { reach: () => undefined };

/** One for the whole process, so that N counts every room's visits. */
export const faults: Faults = fromEnvironment(process.env.SKEIN_FAULT, process.env.SKEIN_FAULT_TRACE);

function fromEnvironment(wanted: string | undefined, trace: string | undefined): Faults {
  if (wanted === undefined && trace === undefined) return noFaults;
  const [name, count] = (wanted ?? '').split(':');
  let left = Number(count ?? 1);
  return {
    reach(point) {
      if (trace !== undefined) appendFileSync(trace, `${point}\n`);
      if (point === name && --left <= 0) process.kill(process.pid, 'SIGKILL');
    },
  };
}
