// What a heartbeat says of the machine under the node.
import { availableParallelism, freemem, loadavg, totalmem } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';

export interface MachineSample {
  readonly load1: number;
  readonly memFreeBytes: number;
  readonly memTotalBytes: number;
  readonly cpus: number;
  /** The longest that the event loop was late since the last sample. */
  readonly loopDelayMs: number;
}

export interface Machine {
  sample(): MachineSample;
  close(): void;
}

const resolutionMs = 20;

export function realMachine(): Machine {
  const delay = monitorEventLoopDelay({ resolution: resolutionMs });
  delay.enable();
  return {
    sample() {
      // The monitor counts its own resolution as delay.
      const loopDelayMs = Math.max(0, Math.round(delay.max / 1e5) / 10 - resolutionMs);
      delay.reset();
      return {
        load1: loadavg()[0] ?? 0,
        memFreeBytes: freemem(),
        memTotalBytes: totalmem(),
        cpus: availableParallelism(),
        loopDelayMs,
      };
    },
    close: () => delay.disable(),
  };
}
