// When a request is sent again, and how long after. A gateway that restarts costs a command the time, not its work.
import { SkeinError } from '../../protocol/errors.ts';
import type { Clock } from '../../protocol/time.ts';
import { ConnectionLost } from './transport.ts';

/** Before the first answer the address may simply be wrong: then waiting helps nobody. */
const STRANGER_MS = 2000;
const FIRST_WAIT_MS = 100;
const WAIT_MS_MAX = 3000;

export class Patience {
  readonly #clock: Clock;
  readonly #patienceMs: number;
  #met = false;

  /** @param patienceMs how long a gateway that answered before may be away. */
  constructor(clock: Clock, patienceMs: number) {
    this.#clock = clock;
    this.#patienceMs = patienceMs;
  }

  /** Runs `attempt` until it succeeds, fails for good, or the patience is over. It must be safe to repeat. */
  async persist<T>(attempt: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const trial = this.trial();
    for (;;) {
      try {
        const result = await attempt();
        this.#met = true;
        return result;
      } catch (error) {
        await trial.failed(error, signal);
      }
    }
  }

  trial(): Trial {
    const patienceMs = () => (this.#met ? this.#patienceMs : STRANGER_MS);
    // A stranger's first silence counts too: its time limit is not spent twice.
    return new Trial(this.#clock, patienceMs, this.#met ? undefined : this.#clock.monotonic());
  }

  /** A gateway has answered. */
  met(): void {
    this.#met = true;
  }
}

/** The failures of one undertaking in a row. */
export class Trial {
  readonly #clock: Clock;
  readonly #patienceMs: () => number;
  #since: number | undefined;
  #waitMs = FIRST_WAIT_MS;

  constructor(clock: Clock, patienceMs: () => number, since?: number) {
    this.#clock = clock;
    this.#patienceMs = patienceMs;
    this.#since = since;
  }

  /** It went on: what fails later begins anew. */
  progressed(): void {
    this.#since = undefined;
    this.#waitMs = FIRST_WAIT_MS;
  }

  /** Waits before the next try, or throws what the user should see. */
  async failed(error: unknown, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) throw signal.reason;
    if (!mayHelp(error)) throw error;
    const now = this.#clock.monotonic();
    this.#since ??= now;
    const wanted = error instanceof SkeinError ? error.retryAfterMs : undefined;
    const waitMs = Math.min(Math.max(this.#waitMs, wanted ?? 0), WAIT_MS_MAX);
    if (now + waitMs - this.#since > this.#patienceMs()) throw userError(error);
    this.#waitMs = Math.min(this.#waitMs * 2, WAIT_MS_MAX);
    await this.#clock.sleep(waitMs, signal);
  }
}

/** Only what another try, unchanged, may mend. Missing blobs and the like are the caller's to mend. */
const mendable = new Set([
  'no-leader',
  'no-quorum',
  'outcome-unknown',
  'too-busy',
  'too-many-requests',
  'request-timeout',
  'not-durable',
]);

export const mayHelp = (error: unknown): boolean =>
  error instanceof ConnectionLost || (error instanceof SkeinError && mendable.has(error.code));

/** A lost connection in the words of the table of errors. */
export function userError(error: unknown): unknown {
  if (!(error instanceof ConnectionLost)) return error;
  return new SkeinError('unreachable', error.message, {
    fix: 'is the gateway running? skein peers asks the mesh without it',
    cause: error,
  });
}
