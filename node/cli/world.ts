// What a command touches of its process, in one place, so that tests can hand in another: descriptors, signals, time.
import type { Readable } from 'node:stream';
import type { Random } from '../../protocol/random.ts';
import type { Clock } from '../../protocol/time.ts';
import { realClock, realRandom } from '../clock.ts';
import { type Surroundings, surroundings } from '../config/folders.ts';
import { withoutEcho } from '../signals.ts';
import { descriptorSink, isOneTarget, type Sink } from './output/sink.ts';

export type SignalName = 'SIGINT' | 'SIGTERM' | 'SIGHUP';

export interface World {
  readonly surroundings: Surroundings;
  readonly stdout: Sink;
  readonly stderr: Sink;
  /** Both of them are one file or pipe (`2>&1`). */
  readonly oneTarget: boolean;
  readonly stdin: Readable;
  readonly clock: Clock;
  readonly random: Random;
  /** Calls `f` at each of these signals until the answer is called. */
  onSignal(names: readonly SignalName[], f: (name: SignalName) => void): () => void;
}

export function realWorld(): World {
  const clock = realClock();
  return {
    surroundings: surroundings(),
    stdout: descriptorSink(1),
    stderr: descriptorSink(2),
    oneTarget: isOneTarget(),
    get stdin() {
      return process.stdin;
    },
    clock,
    random: realRandom(),
    onSignal(names, f) {
      const handlers = names.map((name) => [name, withoutEcho(clock, () => f(name))] as const);
      for (const [name, handler] of handlers) process.on(name, handler);
      return () => {
        for (const [name, handler] of handlers) process.off(name, handler);
      };
    },
  };
}
