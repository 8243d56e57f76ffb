// Declares workers dead whose lease ran out, and tells workers which attempts to stop. Level-triggered: each pass looks at
// the state as it is, and one peer's error never stops the pass.
import type { PeerId } from '../../protocol/ids.ts';
import { keys, type SettingsRow } from '../../protocol/state/rows.ts';
import type { Clock } from '../../protocol/time.ts';
import { cancelCodec, recallCodec, workMethods } from '../../protocol/wire/work.ts';
import type { ReplicatedLog } from '../consensus/log.ts';
import type { Log } from '../log.ts';
import type { Transport } from '../transport/port.ts';
import { fencesOf } from './live-jobs.ts';
import type { Roster } from './roster.ts';

const PROPOSE_TIMEOUT_MS = 10_000;
const CALL_TIMEOUT_MS = 5_000;
const CANCEL_GRACE_MS = 10_000;

interface Parts {
  readonly log: ReplicatedLog;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly roster: Roster;
  readonly out: Log;
}

export class Reaper {
  readonly #parts: Parts;
  readonly #stopped: AbortSignal;

  constructor(parts: Parts, stopped: AbortSignal) {
    this.#parts = parts;
    this.#stopped = stopped;
  }

  /** Every lease in full, after an election. */
  rearm(): void {
    this.#parts.roster.leases.rearm(this.#parts.roster.living(), this.#parts.clock.uptime());
  }

  async judge(settings: SettingsRow): Promise<void> {
    const { roster, clock } = this.#parts;
    const expired = roster.leases.expired(settings.leaseMs, clock.uptime());
    if (expired === undefined) return roster.leases.resume(clock.uptime());
    for (const { peerId } of expired) roster.leases.condemn(peerId);
    // Also those condemned before whose record did not make it into the log.
    const condemned = roster.living().filter((member) => roster.leases.get(member.peerId)?.condemned === true);
    await Promise.all(condemned.map((member) => this.#bury(member.peerId, member.incarnation, settings)));
  }

  async #bury(peerId: PeerId, incarnation: number, settings: SettingsRow): Promise<void> {
    const { log, clock, roster, out } = this.#parts;
    const lease = roster.leases.get(peerId);
    if (lease === undefined || lease.incarnation !== incarnation) return;
    const reason = `no heartbeat for ${Math.round(settings.leaseMs / 1000)} s`;
    try {
      await log.propose(
        {
          kind: 'member.dead',
          peerId,
          incarnation,
          begun: lease.begun === null ? null : [...lease.begun],
          reason,
          at: clock.now(),
        },
        { timeoutMs: PROPOSE_TIMEOUT_MS, signal: this.#stopped },
      );
    } catch (error) {
      out.warn({ peerId, err: error }, 'a death could not be recorded; the next pass tries again');
    }
  }

  /** Tells each worker which of its attempts to stop, by fence; and asks draining ones for what they have not begun. */
  stopWhatShould(): void {
    const { view } = this.#parts.log;
    for (const member of this.#parts.roster.living()) {
      const held = fencesOf(this.#parts.log, member.peerId);
      for (const [jobId, attempts] of Map.groupBy(held, (attempt) => attempt.jobId)) {
        const cancel = view.get(keys.progress(jobId))?.cancel ?? null;
        const fences = attempts
          .filter(({ task }) => cancel !== null || view.get(keys.task(jobId, task))?.cancelRequested === true)
          .map(({ fence }) => fence);
        if (fences.length === 0) continue;
        const { graceMs = CANCEL_GRACE_MS, signal = 'SIGTERM' } = cancel ?? {};
        this.#tell(member.peerId, workMethods.cancel, cancelCodec.encode({ fences, graceMs, signal }));
      }
      const unbegun = held
        .filter(({ fence }) => !this.#parts.roster.hasBegun(member.peerId, fence))
        .map(({ fence }) => fence);
      if (member.state === 'draining' && unbegun.length > 0) {
        this.#tell(member.peerId, workMethods.recall, recallCodec.encode({ fences: unbegun }));
      }
    }
  }

  #tell(peerId: PeerId, method: string, body: Uint8Array): void {
    const options = { timeoutMs: CALL_TIMEOUT_MS, signal: this.#stopped };
    this.#parts.transport.call(peerId, 'work', method, body, options).catch((error: unknown) => {
      this.#parts.out.debug({ peerId, method, err: error }, 'a worker was not reached; the next pass tells it again');
    });
  }
}
