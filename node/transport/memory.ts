// The transport within one process: the same contract, judges and bounds as over libp2p, for tests and the simulator.
import { SkeinError } from '../../protocol/errors.ts';
import type { MeshId, PeerId } from '../../protocol/ids.ts';
import type { Random } from '../../protocol/random.ts';
import type { Clock } from '../../protocol/time.ts';
import { bodyMaxBytes } from '../../protocol/wire/codec.ts';
import { signatureOf, type Verifier } from '../../protocol/wire/envelope.ts';
import type { Log } from '../log.ts';
import { Dispatcher } from './dispatch.ts';
import { Gate, type GatedConnection } from './gate.ts';
import { admitMessage, type GossipJudge } from './gossip-judge.ts';
import { GossipListeners } from './listeners.ts';
import type { MemoryNetwork } from './memory-network.ts';
import { PendingCalls } from './pending.ts';
import type { Admission, CallOptions, Channel, Handler, Reach, Topic, Transport } from './port.ts';
import { Redial } from './redial.ts';

const sweepMs = 100;
const seenMax = 4096;

export interface MemoryTransportParts {
  readonly network: MemoryNetwork;
  readonly self: PeerId;
  readonly admission: Admission;
  readonly verifier: Verifier;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface MemoryTransportOptions {
  readonly meshId: MeshId;
  readonly dialOutOnly: boolean;
}

/** One end of a connection. */
interface End extends GatedConnection {
  readonly remotePeer: PeerId;
  readonly remote: MemoryTransport;
  readonly pending: PendingCalls;
}

export class MemoryTransport implements Transport {
  readonly self: PeerId;
  readonly #parts: MemoryTransportParts;
  readonly #options: MemoryTransportOptions;
  readonly #gate: Gate;
  readonly #dispatcher: Dispatcher;
  readonly #judge: GossipJudge;
  readonly #listeners: GossipListeners;
  readonly #redial: Redial;
  readonly #ends = new Map<PeerId, End>();
  readonly #up = new Set<PeerId>();
  readonly #seen = new Set<string>();
  readonly #connectionListeners: ((peer: PeerId, up: boolean) => void)[] = [];
  readonly #ownCalls: PendingCalls;
  readonly #stopping = new AbortController();

  constructor(parts: MemoryTransportParts, options: MemoryTransportOptions) {
    const { self, admission, clock, random, log, verifier } = parts;
    this.self = self;
    this.#parts = parts;
    this.#options = options;
    this.#gate = new Gate(admission, clock);
    this.#gate.openToStrangers();
    this.#dispatcher = new Dispatcher({ self, admission, log });
    this.#judge = { meshId: options.meshId, admission, verifier };
    this.#listeners = new GossipListeners(log);
    this.#ownCalls = new PendingCalls(self, clock);
    this.#redial = new Redial({
      self,
      clock,
      random: random.fork('redial'),
      dialsAlways: options.dialOutOnly,
      isGateway: (peer) => admission.isGateway(peer),
      isConnected: (peer) => this.#ends.has(peer),
      mayDial: (peer) => this.#gate.admitsDial(peer),
      dial: async (_, addresses) => this.#connect(addresses),
    });
  }

  addresses(): readonly string[] {
    return this.#options.dialOutOnly ? [] : [addressOf(this.self)];
  }

  reach(): Reach {
    return this.#options.dialOutOnly ? 'dials-out' : 'direct';
  }

  async start(): Promise<void> {
    this.#parts.network.add(this);
    this.#redial.start(this.#stopping.signal);
    this.#parts.clock.every(sweepMs, () => this.#sweep(), this.#stopping.signal);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#parts.network.remove(this);
    for (const peer of [...this.#ends.keys()]) this.#disconnect(peer);
  }

  keep(peer: PeerId, addresses: readonly string[]): void {
    this.#redial.keep(peer, addresses);
  }

  release(peer: PeerId): void {
    this.#redial.release(peer);
  }

  async dial(address: string, options: CallOptions): Promise<PeerId> {
    options.signal?.throwIfAborted();
    const named = peerAt(address);
    if (named === this.self) return this.self;
    if (named === undefined) throw new SkeinError('unreachable', `nothing answers at ${address}`);
    this.#gate.dialled(named);
    this.#connect([address]);
    return named;
  }

  connected(): readonly PeerId[] {
    return [...this.#up];
  }

  onConnection(listener: (peer: PeerId, up: boolean) => void): void {
    this.#connectionListeners.push(listener);
  }

  async call(
    peer: PeerId,
    channel: Channel,
    method: string,
    body: Uint8Array,
    options: CallOptions,
  ): Promise<Uint8Array> {
    if (body.length > bodyMaxBytes) throw tooLarge(body);
    const end = this.#ends.get(peer);
    if (peer !== this.self && end === undefined) throw new SkeinError('unreachable', `${peer} is not connected`);
    const { network } = this.#parts;
    const pending = end?.pending ?? this.#ownCalls;
    const remote = end?.remote ?? this;
    const { id, answer } = pending.start(channel, method, options);
    network.carry(this.self, peer, async () => {
      if (remote.#stopping.signal.aborted) return;
      const settle = await remote.#settle(this.self, channel, method, body);
      network.carry(peer, this.self, () => settle(pending, id));
    });
    return answer;
  }

  handle(channel: Channel, method: string, handler: Handler): void {
    this.#dispatcher.handle(channel, method, handler);
  }

  async publish(topic: Topic, message: Uint8Array): Promise<void> {
    this.#isNew(message);
    this.#parts.network.carry(this.self, this.self, () => this.#listeners.deliver(topic, this.self, message));
    this.#spread(topic, message, this.self);
  }

  subscribe(topic: Topic, listener: (from: PeerId, message: Uint8Array) => void): void {
    this.#listeners.add(topic, listener);
  }

  async reconnect(peer: PeerId): Promise<void> {
    this.#disconnect(peer);
    this.#redial.look();
  }

  async #settle(
    from: PeerId,
    channel: Channel,
    method: string,
    body: Uint8Array,
  ): Promise<(calls: PendingCalls, id: number) => void> {
    try {
      const bytes = await this.#dispatcher.answer(from, channel, method, body);
      if (bytes.length > bodyMaxBytes) throw tooLarge(bytes);
      return (calls, id) => calls.resolve(id, bytes);
    } catch (error) {
      return (calls, id) => calls.reject(id, error);
    }
  }

  /** Fails with `unreachable`. */
  #connect(addresses: readonly string[]): void {
    const remote = addresses
      .map(peerAt)
      .map((peer) => this.#parts.network.reach(this.self, peer))
      .find(Boolean);
    if (remote === undefined) throw new SkeinError('unreachable', `nothing answers at ${addresses.join(', ')}`);
    if (this.#ends.has(remote.self)) return;
    if (!remote.#gate.admitsInbound(this.self, [...remote.#ends.values()])) {
      throw new SkeinError('unreachable', `${remote.self} refuses this node`);
    }
    this.#attach(remote, 'outbound');
    remote.#attach(this, 'inbound');
  }

  #attach(remote: MemoryTransport, direction: 'inbound' | 'outbound'): void {
    const pending = new PendingCalls(remote.self, this.#parts.clock);
    const end: End = { remotePeer: remote.self, remote, direction, pending };
    this.#ends.set(remote.self, end);
    this.#gate.opened(end);
    this.#announce(remote.self);
  }

  #disconnect(peer: PeerId): void {
    const end = this.#ends.get(peer);
    if (end === undefined) return;
    this.#ends.delete(peer);
    end.pending.rejectAll(new SkeinError('unreachable', `${peer} cannot be reached: the connection closed`));
    this.#redial.onLost(peer);
    this.#announce(peer);
    end.remote.#disconnect(this.self);
  }

  #hear(topic: Topic, message: Uint8Array, source: PeerId): void {
    if (this.#stopping.signal.aborted || !this.#gate.mayGossip(source) || !this.#ends.has(source)) return;
    const envelope = admitMessage(this.#judge, topic, message);
    if (envelope === undefined || !this.#isNew(message)) return;
    this.#listeners.deliver(topic, envelope.sender, message);
    this.#spread(topic, message, source);
  }

  #spread(topic: Topic, message: Uint8Array, source: PeerId): void {
    for (const { remote, remotePeer } of this.#ends.values()) {
      if (remotePeer === source || !this.#gate.mayGossip(remotePeer)) continue;
      this.#parts.network.carryLossy(this.self, remotePeer, () => remote.#hear(topic, message, this.self));
    }
  }

  #isNew(message: Uint8Array): boolean {
    const name = signatureOf(message).toHex();
    if (this.#seen.has(name)) return false;
    const oldest = this.#seen.size >= seenMax ? this.#seen.values().next().value : undefined;
    if (oldest !== undefined) this.#seen.delete(oldest);
    this.#seen.add(name);
    return true;
  }

  #announce(peer: PeerId): void {
    const up = this.#gate.isPeer(peer) && this.#ends.has(peer);
    if (up === this.#up.has(peer)) return;
    if (up) this.#up.add(peer);
    else this.#up.delete(peer);
    for (const listener of this.#connectionListeners) listener(peer, up);
  }

  #sweep(): void {
    for (const { remotePeer } of this.#gate.overdue([...this.#ends.values()])) this.#disconnect(remotePeer);
    for (const peer of [...this.#up, ...this.#ends.keys()]) this.#announce(peer);
  }
}

const addressOf = (peer: PeerId): string => `/memory/${peer}`;
const peerAt = (address: string): PeerId | undefined =>
  /^\/memory\/([0-9A-Za-z]+)$/.exec(address)?.[1] as PeerId | undefined;

function tooLarge(body: Uint8Array): SkeinError {
  return new SkeinError('too-large', `a body of ${body.length} bytes, ${bodyMaxBytes} are allowed`);
}
