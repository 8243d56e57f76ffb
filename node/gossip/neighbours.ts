// A worker's connections to other workers, under the addresses that their heartbeats name: without them all gossip would go
// through the gateways and end with them.
import type { PeerId } from '../../protocol/ids.ts';
import type { Clock } from '../../protocol/time.ts';
import type { MemberList } from '../../protocol/wire/members.ts';
import { neighboursOf } from '../policy/neighbours.ts';
import type { Transport } from '../transport/port.ts';
import type { PeerTable } from './peer-table.ts';

const lookMs = 1000;
/** One that cannot be reached, being behind a router, makes room for the next in the ring after so long, */
const tryMs = 10_000;
/** and may be reached another time. */
const restMs = 60_000;

export interface NeighboursParts {
  readonly transport: Pick<Transport, 'self' | 'connected' | 'keep' | 'release'>;
  readonly table: Pick<PeerTable, 'get'>;
  readonly members: { current(): Pick<MemberList, 'members'> };
  readonly clock: Clock;
}

export class Neighbours {
  readonly #parts: NeighboursParts;
  /** Since when each has been out of reach. */
  readonly #tried = new Map<PeerId, number>();
  readonly #resting = new Map<PeerId, number>();

  constructor(parts: NeighboursParts) {
    this.#parts = parts;
  }

  start(signal: AbortSignal): void {
    this.#parts.clock.every(lookMs, () => this.look(), signal);
  }

  look(): void {
    const { transport, clock } = this.#parts;
    const now = clock.monotonic();
    this.#restTheUnreachable(now);
    const chosen = new Set(neighboursOf(transport.self, this.#candidates()));
    for (const peer of this.#tried.keys()) if (!chosen.has(peer)) this.#letGo(peer);
    for (const peer of chosen) {
      if (!this.#tried.has(peer)) this.#tried.set(peer, now);
      transport.keep(peer, this.#addressesOf(peer));
    }
  }

  #restTheUnreachable(now: number): void {
    const connected = new Set(this.#parts.transport.connected());
    for (const [peer, until] of this.#resting) if (until <= now) this.#resting.delete(peer);
    for (const [peer, since] of this.#tried) {
      if (connected.has(peer)) this.#tried.set(peer, now);
      else if (now - since >= tryMs) this.#resting.set(peer, now + restMs);
    }
  }

  #candidates(): readonly PeerId[] {
    return this.#parts.members
      .current()
      .members.filter(({ roles, state }) => !roles.includes('gateway') && (state === 'alive' || state === 'draining'))
      .map(({ peerId }) => peerId as PeerId)
      .filter((peer) => !this.#resting.has(peer) && this.#addressesOf(peer).length > 0);
  }

  #letGo(peer: PeerId): void {
    this.#tried.delete(peer);
    this.#parts.transport.release(peer);
  }

  /** Loopback is another machine's own, unless the peer names nothing else. */
  #addressesOf(peer: PeerId): readonly string[] {
    const all = this.#parts.table.get(peer)?.heartbeat.addresses ?? [];
    const beyond = all.filter((address) => !isLoopback(address));
    return beyond.length > 0 ? beyond : all;
  }
}

export const isLoopback = (address: string): boolean => /^\/ip4\/127\.|^\/ip6\/::1\//.test(address);
