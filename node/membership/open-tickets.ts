// Whether a ticket is open right now: only then does a gateway admit strangers, for the join alone.
import type { TicketRow } from '../../protocol/state/rows.ts';
import type { Clock } from '../../protocol/time.ts';
import type { AppliedEntry, ReplicatedLog } from '../consensus/log.ts';

const GRACE_MS = 60_000;

export class OpenTickets {
  readonly #log: Pick<ReplicatedLog, 'scan' | 'view'>;
  readonly #clock: Clock;
  readonly #tickets = new Map<string, TicketRow>();

  constructor(parts: { readonly log: Pick<ReplicatedLog, 'scan' | 'view'>; readonly clock: Clock }) {
    this.#log = parts.log;
    this.#clock = parts.clock;
  }

  async load(): Promise<void> {
    this.#tickets.clear();
    for await (const [key, row] of this.#log.scan<TicketRow>('ticket/')) this.#tickets.set(key, row);
  }

  onApplied(entries: readonly AppliedEntry[]): void {
    for (const { command } of entries) {
      const hash =
        command.kind === 'ticket.created'
          ? command.secretHash
          : command.kind === 'member.joined'
            ? command.ticket
            : null;
      if (hash === null) continue;
      const row = this.#log.view.get<TicketRow>(`ticket/${hash}`);
      if (row !== undefined) this.#tickets.set(`ticket/${hash}`, row);
    }
  }

  /** A used or just expired one still counts for a minute: who holds it gets a reason, not a closed door. */
  any(): boolean {
    const now = this.#clock.now();
    for (const [key, ticket] of this.#tickets) {
      if (now < ticket.expiresAt + GRACE_MS) return true;
      this.#tickets.delete(key);
    }
    return false;
  }
}
