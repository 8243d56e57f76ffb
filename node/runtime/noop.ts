// A runtime that runs nothing: every attempt has ended well when it starts. It measures all that is not the spawn.
import type { Clock } from '../../protocol/time.ts';
import type { AttemptSpec, RunningAttempt, Runtime } from './port.ts';

export class NoopRuntime implements Runtime {
  readonly containment = 'pid-namespace';
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async recover(): Promise<readonly RunningAttempt[]> {
    return [];
  }

  async start({ fence, folder }: AttemptSpec): Promise<RunningAttempt> {
    const now = this.#clock.now();
    const exit = { code: 0, signal: null };
    const ended = { exit, reason: 'exited', detail: null, startedAt: now, endedAt: now } as const;
    return { fence, folder, ended: Promise.resolve(ended), frozen: false, kill: () => undefined };
  }

  extend(): void {}

  async prepare(): Promise<void> {}

  async stop(): Promise<void> {}
}
