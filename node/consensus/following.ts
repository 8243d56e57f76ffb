// What a replica that does not lead hands to the one that does: commands, and the question what a read must wait for.
import { type ErrorCode, failures, SkeinError } from '../../protocol/errors.ts';
import type { EpochId, PeerId } from '../../protocol/ids.ts';
import type { Clock } from '../../protocol/time.ts';
import { type Forwarded, forwardMax } from '../../protocol/wire/replica.ts';
import type { Barriers } from './barriers.ts';
import type { Links } from './links.ts';
import { outcomeUnknown, type Proposal, type Proposals } from './proposals.ts';

/** Requests under way to the leader. */
const UNDER_WAY_MAX = 32;
/** Of one request; the largest command fits. */
const FORWARD_MAX_BYTES = 256 * 1024;
const ROUND_TIMEOUT_MS = 3_000;

interface Parts {
  readonly links: Links;
  readonly clock: Clock;
  readonly proposals: Proposals;
  readonly barriers: Barriers;
  /** Something may go on now. */
  readonly wake: () => void;
}

export class Following {
  readonly #parts: Parts;
  #forwards = 0;
  #rounds = 0;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Hands over all that waits, as far as the leader may be asked at once. */
  handOver(leader: PeerId, epochId: EpochId): void {
    const { proposals, barriers } = this.#parts;
    while (this.#forwards < UNDER_WAY_MAX) {
      const batch = proposals.takeQueued({ count: forwardMax, sizeBytes: FORWARD_MAX_BYTES });
      if (batch.length === 0) break;
      this.#forwards++;
      void this.#forward(leader, epochId, batch);
    }
    barriers.begin((context) => {
      if (this.#rounds >= UNDER_WAY_MAX) return false;
      this.#rounds++;
      void this.#ask(leader, epochId, context);
      return true;
    });
  }

  async #forward(leader: PeerId, epochId: EpochId, batch: readonly Proposal[]): Promise<void> {
    const { links, clock, proposals, wake } = this.#parts;
    const nowMs = clock.monotonic();
    const timeoutMs = Math.max(1, ...batch.map(({ deadlineMs }) => deadlineMs - nowMs));
    const commands = batch.map(({ command }) => command);
    try {
      const answers = await links.forward(leader, epochId, commands, { timeoutMs });
      const again: Proposal[] = [];
      for (const [n, proposal] of batch.entries()) {
        const answer = answers[n] as Forwarded;
        if ('index' in answer) proposals.onCommitted(proposal, { index: answer.index, outcome: answer.outcome });
        else if (answer.code === 'no-leader') again.push(proposal);
        else proposal.reject(failureOf(answer));
      }
      proposals.requeue(again);
      if (again.length === 0) wake();
    } catch (error) {
      // It may have arrived: only the log knows.
      for (const proposal of batch) proposal.reject(outcomeUnknown(`the leader ${leader} did not answer`, error));
    } finally {
      this.#forwards--;
    }
  }

  async #ask(leader: PeerId, epochId: EpochId, context: number): Promise<void> {
    const { links, barriers, wake } = this.#parts;
    try {
      const index = await links.readIndex(leader, epochId, { timeoutMs: ROUND_TIMEOUT_MS });
      barriers.onConfirmed({ context, index });
      wake();
    } catch {
      // A question changes nothing: it is asked again at the next tick, of whoever leads then. Not sooner: a peer that is
      // away is found so at once, and asking it for ever would leave no turn for the clock.
      barriers.onLost(context);
    } finally {
      this.#rounds--;
    }
  }
}

function failureOf({ code, message, retryAfterMs }: Extract<Forwarded, { code: string }>): SkeinError {
  const known = Object.hasOwn(failures, code) ? (code as ErrorCode) : 'internal-error';
  return new SkeinError(known, message, retryAfterMs === undefined ? {} : { retryAfterMs });
}
