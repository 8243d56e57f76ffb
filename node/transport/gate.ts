// Who may be connected at all. Members and observers always; strangers only while a ticket is open, few of them and not for
// long, and then only for identify and join; and whom this node itself dialled in order to join.
import type { PeerId } from '../../protocol/ids.ts';
import type { Clock } from '../../protocol/time.ts';
import type { Admission } from './port.ts';

/** One end of a connection, as far as the gate cares. */
export interface GatedConnection {
  readonly remotePeer: { toString(): string };
  readonly direction: 'inbound' | 'outbound';
}

export const strangersMax = 16;
const strangerMs = 10_000;
/** How long a peer that was dialled by address may stay before the member list must name it. */
const dialledMs = 60_000;

export class Gate {
  readonly #admission: Admission;
  readonly #clock: Clock;
  readonly #dialled = new Map<PeerId, number>();
  #open = false;
  readonly #openedAt = new WeakMap<GatedConnection, number>();

  constructor(admission: Admission, clock: Clock) {
    this.#admission = admission;
    this.#clock = clock;
  }

  /** May take part in gossip streams; members alone may be heard there. */
  mayGossip(peer: PeerId): boolean {
    return this.#admission.isMember(peer) || this.#admission.isObserver(peer);
  }

  /** Connected for more than a join: what `connected()` lists. */
  isPeer(peer: PeerId): boolean {
    return this.#admission.isMember(peer) || this.#wasDialled(peer);
  }

  admitsInbound(peer: PeerId, connections: readonly GatedConnection[]): boolean {
    if (this.mayGossip(peer)) return true;
    if (!this.#open || !this.#admission.joinable()) return false;
    return connections.filter((connection) => this.#isStranger(connection)).length < strangersMax;
  }

  admitsDial(peer: PeerId): boolean {
    return this.isPeer(peer);
  }

  /** Named before the dial: the gate is asked while it goes on. */
  dialled(peer: PeerId): void {
    this.#dialled.set(peer, this.#clock.monotonic() + dialledMs);
  }

  opened(connection: GatedConnection): void {
    this.#openedAt.set(connection, this.#clock.monotonic());
  }

  /** Until this is called strangers are refused: their guards are not in place yet. */
  openToStrangers(): void {
    this.#open = true;
  }

  /** Connections that may not go on: of removed members, and of strangers whose time is over. */
  overdue<C extends GatedConnection>(connections: readonly C[]): readonly C[] {
    for (const peer of this.#dialled.keys()) this.#wasDialled(peer);
    return connections.filter((connection) => this.#isStranger(connection) && !this.#mayStay(connection));
  }

  #mayStay(connection: GatedConnection): boolean {
    if (connection.direction === 'outbound' || !this.#admission.joinable()) return false;
    const openedAt = this.#openedAt.get(connection) ?? Number.NEGATIVE_INFINITY;
    return this.#clock.monotonic() - openedAt < strangerMs;
  }

  #isStranger(connection: GatedConnection): boolean {
    const peer = connection.remotePeer.toString() as PeerId;
    return !this.mayGossip(peer) && !this.#wasDialled(peer);
  }

  #wasDialled(peer: PeerId): boolean {
    const until = this.#dialled.get(peer);
    if (until === undefined) return false;
    if (until > this.#clock.monotonic()) return true;
    this.#dialled.delete(peer);
    return false;
  }
}
