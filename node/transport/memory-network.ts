// What lies between memory transports: delay, loss of gossip, partitions. Time and chance are handed in.
import type { PeerId } from '../../protocol/ids.ts';
import { between, type Random } from '../../protocol/random.ts';
import type { Clock } from '../../protocol/time.ts';
import type { MemoryTransport } from './memory.ts';

export interface NetworkConditions {
  readonly delayMinMs: number;
  readonly delayMaxMs: number;
  /** Share of gossip messages, per hop, that vanish. Requests go over streams, which lose nothing while they live. */
  readonly gossipLoss: number;
}

const perfect: NetworkConditions = { delayMinMs: 0, delayMaxMs: 0, gossipLoss: 0 };

export class MemoryNetwork {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #nodes = new Map<PeerId, MemoryTransport>();
  /** When the last message of a direction arrives: streams keep their order. */
  readonly #arrivals = new Map<string, number>();
  #conditions: NetworkConditions;
  #sides: readonly ReadonlySet<PeerId>[] = [];

  constructor({ clock, random }: { clock: Clock; random: Random }, conditions: NetworkConditions = perfect) {
    this.#clock = clock;
    this.#random = random.fork('network');
    this.#conditions = conditions;
  }

  setConditions(conditions: NetworkConditions): void {
    this.#conditions = conditions;
  }

  /** What is on one side neither hears nor reaches what is on another; who is on none reaches all. */
  partition(...sides: readonly (readonly PeerId[])[]): void {
    this.#sides = sides.map((side) => new Set(side));
  }

  heal(): void {
    this.#sides = [];
  }

  add(node: MemoryTransport): void {
    this.#nodes.set(node.self, node);
  }

  remove(node: MemoryTransport): void {
    if (this.#nodes.get(node.self) === node) this.#nodes.delete(node.self);
  }

  /** The node that a dial would find. */
  reach(from: PeerId, to: PeerId | undefined): MemoryTransport | undefined {
    return to === undefined || this.#isCut(from, to) ? undefined : this.#nodes.get(to);
  }

  /** In order per direction; lost only where a partition lies between. */
  carry(from: PeerId, to: PeerId, arrive: () => void | Promise<void>): void {
    const direction = `${from} ${to}`;
    const now = this.#clock.monotonic();
    const at = Math.max(this.#arrivals.get(direction) ?? 0, now + (from === to ? 0 : this.#delay()));
    this.#arrivals.set(direction, at);
    void this.#deliver(from, to, at - now, arrive);
  }

  carryLossy(from: PeerId, to: PeerId, arrive: () => void): void {
    if (this.#random.next() < this.#conditions.gossipLoss) return;
    void this.#deliver(from, to, this.#delay(), arrive);
  }

  async #deliver(from: PeerId, to: PeerId, waitMs: number, arrive: () => void | Promise<void>): Promise<void> {
    // Timers cut off fractions, which would let a later message overtake.
    if (waitMs > 0) await this.#clock.sleep(Math.ceil(waitMs));
    else await Promise.resolve();
    if (!this.#isCut(from, to)) await arrive();
  }

  #delay(): number {
    return between(this.#random, this.#conditions.delayMinMs, this.#conditions.delayMaxMs);
  }

  #isCut(from: PeerId, to: PeerId): boolean {
    const a = this.#sides.find((side) => side.has(from));
    const b = this.#sides.find((side) => side.has(to));
    return a !== undefined && b !== undefined && a !== b;
  }
}
