// Whose each replica is: as the rows say, or, for those that the rows do not name yet, as the transport proved it.
import type { PeerId } from '../../protocol/ids.ts';
import type { Configuration, VoterId } from '../../protocol/raft/message.ts';
import type { ReplicasRow } from '../../protocol/state/rows.ts';

/** A replica that is far behind does not know the leader from its rows. */
const LEARNT_MAX = 16;

export class ReplicaPeers {
  #known = new Map<VoterId, PeerId>();
  readonly #learnt = new Map<VoterId, PeerId>();
  /** Monotonic, in ms. */
  readonly #heardAt = new Map<VoterId, number>();
  #configuration: Configuration = { voters: [], learners: [] };

  update({ peers, configuration }: ReplicasRow): void {
    this.#known = new Map(peers);
    this.#configuration = configuration;
    for (const voterId of this.#known.keys()) this.#learnt.delete(voterId);
    for (const voterId of this.#heardAt.keys()) if (!this.#known.has(voterId)) this.#heardAt.delete(voterId);
  }

  /** As applied here. */
  get configuration(): Configuration {
    return this.#configuration;
  }

  of(voterId: VoterId): PeerId | undefined {
    return this.#known.get(voterId) ?? this.#learnt.get(voterId);
  }

  idsOf(peer: PeerId): readonly VoterId[] {
    return [...this.#known, ...this.#learnt].filter(([, owner]) => owner === peer).map(([voterId]) => voterId);
  }

  /** @returns whether `peer` may speak for that replica. */
  hear(voterId: VoterId, peer: PeerId, nowMs: number): boolean {
    const owner = this.#known.get(voterId);
    if (owner !== undefined && owner !== peer) return false;
    if (owner === undefined) {
      this.#learnt.delete(voterId);
      this.#learnt.set(voterId, peer);
      const [oldest] = this.#learnt.keys();
      if (this.#learnt.size > LEARNT_MAX && oldest !== undefined) this.#learnt.delete(oldest);
    }
    this.#heardAt.set(voterId, nowMs);
    return true;
  }

  silentMs(voterId: VoterId, nowMs: number): number | null {
    const heardAt = this.#heardAt.get(voterId);
    return heardAt === undefined ? null : nowMs - heardAt;
  }
}
