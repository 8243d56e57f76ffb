// The latest heartbeat of every peer and when it was heard here. Ages are counted on this node's clock, never on the sender's.
import type { PeerView } from '../../protocol/api/mesh.ts';
import type { PeerId } from '../../protocol/ids.ts';
import type { Clock } from '../../protocol/time.ts';
import { type Heartbeat, isLater } from '../../protocol/wire/heartbeat.ts';
import type { MemberList } from '../../protocol/wire/members.ts';
import { livenessOf } from '../policy/liveness.ts';

const peersMax = 4096;

export interface Heard {
  readonly heartbeat: Heartbeat;
  /** Clock.uptime() */
  readonly atMs: number;
}

type Members = Pick<MemberList, 'members' | 'heartbeatMs'>;

export class PeerTable {
  readonly #clock: Clock;
  readonly #heard = new Map<PeerId, Heard>();
  readonly #sinceMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#sinceMs = clock.uptime();
  }

  /** @returns whether it is later than what was known; heartbeats may come doubled and out of order */
  hear(heartbeat: Heartbeat): boolean {
    const known = this.#heard.get(heartbeat.peerId);
    if (known !== undefined && !isLater(heartbeat, known.heartbeat)) return false;
    // Deleted first, so that the map's order is that of hearing and the first is the one to forget.
    this.#heard.delete(heartbeat.peerId);
    const oldest = this.#heard.size >= peersMax ? this.#heard.keys().next().value : undefined;
    if (oldest !== undefined) this.#heard.delete(oldest);
    this.#heard.set(heartbeat.peerId, { heartbeat, atMs: this.#clock.uptime() });
    return true;
  }

  get(peer: PeerId): Heard | undefined {
    return this.#heard.get(peer);
  }

  /** Milliseconds since the peer was heard, or since this table began. */
  silentMs(peer: PeerId): number {
    return this.#clock.uptime() - (this.#heard.get(peer)?.atMs ?? this.#sinceMs);
  }

  /** One line for each member, by name. `leaseLeftMs` is known to the leader alone. */
  lines(list: Members, leaseLeftMs: (peer: PeerId) => number | null = () => null): readonly PeerView[] {
    const lines = list.members.map((member) => this.#line(member, list.heartbeatMs, leaseLeftMs(member.peerId)));
    return lines.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  }

  #line(member: Members['members'][number], intervalMs: number, leaseLeftMs: number | null): PeerView {
    const heard = this.#heard.get(member.peerId);
    const beat = heard?.heartbeat;
    return {
      peerId: member.peerId,
      name: member.name,
      roles: [...member.roles],
      state: this.#state(member, beat, intervalMs),
      reach: beat?.reach ?? null,
      version: beat?.version ?? null,
      slots: beat?.slots ?? null,
      load1: beat?.load1 ?? null,
      memFreeBytes: beat?.memFreeBytes ?? null,
      heartbeatAgeMs: heard === undefined ? null : Math.round(this.#clock.uptime() - heard.atMs),
      leaseLeftMs,
      loopDelayMs: beat?.loopDelayMs ?? null,
      blobs: beat?.blobs ?? null,
      rented: null,
    };
  }

  // The log's word comes first: a heartbeat of an incarnation that is dead by record does not make it alive.
  #state(member: Members['members'][number], beat: Heartbeat | undefined, intervalMs: number): PeerView['state'] {
    if (member.state === 'dead' || member.state === 'left') {
      return member.state === 'dead' && beat !== undefined && beat.incarnation > member.incarnation
        ? 'alive'
        : member.state;
    }
    if (livenessOf(this.silentMs(member.peerId), intervalMs) === 'suspect') return 'suspect';
    return member.state === 'draining' || beat?.draining === true ? 'draining' : 'alive';
  }
}
