// The transport over libp2p: connections and who may have one, long-lived request streams, gossip.
import { TopicValidatorResult } from '@libp2p/gossipsub';
import type { Connection, Ed25519PrivateKey, PeerId as Libp2pPeerId, Stream } from '@libp2p/interface';
import { peerIdFromString } from '@libp2p/peer-id';
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr';
import { SkeinError } from '../../protocol/errors.ts';
import type { MeshId, PeerId } from '../../protocol/ids.ts';
import type { Random } from '../../protocol/random.ts';
import type { Clock } from '../../protocol/time.ts';
import { readEnvelope, type Verifier } from '../../protocol/wire/envelope.ts';
import type { Log } from '../log.ts';
import { Dispatcher } from './dispatch.ts';
import { Gate } from './gate.ts';
import { admitMessage, type GossipJudge } from './gossip-judge.ts';
import { serve } from './incoming.ts';
import {
  channelProtocol,
  closeToStrangers,
  makeNode,
  type Node,
  startNode,
  textOfPeer,
  topicName,
  topics,
} from './libp2p-node.ts';
import { GossipListeners } from './listeners.ts';
import { Outgoing } from './outgoing.ts';
import { PendingCalls } from './pending.ts';
import type { Admission, CallOptions, Channel, Handler, Reach, Topic, Transport } from './port.ts';
import { Redial } from './redial.ts';

const channels: readonly Channel[] = ['join', 'work', 'blob', 'raft'];
const sweepMs = 100;
const openStreamMs = 5000;
const streamLimits = { maxInboundStreams: 8, maxOutboundStreams: 8 };

/** The key that libp2p proves to whoever connects. */
export interface TransportKey {
  readonly peerId: PeerId;
  readonly privateKey: Ed25519PrivateKey;
}

export interface Libp2pTransportParts {
  readonly identity: TransportKey;
  /** Judges the seals of gossip messages. */
  readonly verifier: Verifier;
  readonly admission: Admission;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface Libp2pTransportOptions {
  /** Multiaddrs; port 0 takes a free one. */
  readonly listen: readonly string[];
  /** Multiaddrs that others shall dial instead of those listened on; may be empty. */
  readonly announce: readonly string[];
  readonly meshId: MeshId;
  /** No address of its own: it reaches others, and others answer over its connections. */
  readonly dialOutOnly: boolean;
}

/** What there is for one peer that is or was called. */
interface Link {
  readonly pending: PendingCalls;
  readonly outgoing: Map<Channel, Outgoing>;
}

export class Libp2pTransport implements Transport {
  readonly self: PeerId;
  readonly #parts: Libp2pTransportParts;
  readonly #options: Libp2pTransportOptions;
  readonly #gate: Gate;
  readonly #dispatcher: Dispatcher;
  readonly #judge: GossipJudge;
  readonly #listeners: GossipListeners;
  readonly #redial: Redial;
  readonly #links = new Map<PeerId, Link>();
  /** Parsed once per connection: reading base58 at each call would cost more than the call. */
  readonly #ids = new Map<PeerId, Libp2pPeerId>();
  readonly #up = new Set<PeerId>();
  readonly #connectionListeners: ((peer: PeerId, up: boolean) => void)[] = [];
  readonly #stopping = new AbortController();
  #node: Node | undefined;
  #seenDirectly = false;
  /** Serves the gossip streams of those who have become members. */
  #serveAdmitted: () => void = () => {};

  constructor(parts: Libp2pTransportParts, options: Libp2pTransportOptions) {
    const { identity, admission, clock, random, log } = parts;
    this.self = identity.peerId;
    this.#parts = parts;
    this.#options = options;
    this.#gate = new Gate(admission, clock);
    this.#dispatcher = new Dispatcher({ self: this.self, admission, log });
    this.#judge = { meshId: options.meshId, admission, verifier: parts.verifier };
    this.#listeners = new GossipListeners(log);
    this.#redial = new Redial({
      self: this.self,
      clock,
      random: random.fork('redial'),
      dialsAlways: options.dialOutOnly,
      isGateway: (peer) => admission.isGateway(peer),
      isConnected: (peer) => this.#connectionTo(peer) !== undefined,
      mayDial: (peer) => this.#gate.admitsDial(peer),
      dial: (peer, addresses) => this.#dialPeer(peer, addresses),
    });
    // Answered by every node to whoever may join: a dial is confirmed by it (LIBP2P.md, trap 13).
    this.#dispatcher.handle('join', 'hello', async () => new Uint8Array(0));
  }

  addresses(): readonly string[] {
    return this.#options.dialOutOnly ? [] : (this.#node?.getMultiaddrs().map(String) ?? []);
  }

  /** Multiaddrs as bound, also where others are told to dial elsewhere. */
  listening(): readonly string[] {
    return this.#node?.services.gate.transportManager.getAddrs().map(String) ?? [];
  }

  reach(): Reach {
    const saysSo = this.#options.announce.length > 0 || this.#parts.admission.isGateway(this.self);
    return saysSo || this.#seenDirectly ? 'direct' : 'dials-out';
  }

  /** Fails with `port-in-use`, `config-invalid`. */
  async start(): Promise<void> {
    const { meshId } = this.#options;
    const parts = { ...this.#options, privateKey: this.#parts.identity.privateKey, gate: this.#gate };
    const node = await makeNode(parts, () => this.#node?.getConnections() ?? []);
    this.#listenTo(node);
    await startNode(node, this.#options.listen);
    this.#serveAdmitted = await closeToStrangers(node, this.#gate);
    for (const channel of channels) {
      const serveStream = (stream: Stream, { remotePeer }: Connection) =>
        serve(stream, { from: textOfPeer(remotePeer), channel, dispatcher: this.#dispatcher, log: this.#parts.log });
      await node.handle(channelProtocol(meshId, channel), serveStream, streamLimits);
    }
    this.#node = node;
    this.#gate.openToStrangers();
    for (const topic of topics) this.#hear(node, topic);
    this.#redial.start(this.#stopping.signal);
    this.#parts.clock.every(sweepMs, () => this.#sweep(), this.#stopping.signal);
  }

  /** Listens on one more multiaddr, beside the others. @returns it with the port it got. Fails with `port-in-use`. */
  async listenToo(address: string): Promise<string> {
    const known = new Set(this.addresses());
    try {
      await this.#running().services.gate.transportManager.listen([multiaddr(address)]);
    } catch (cause) {
      throw new SkeinError('port-in-use', `${address} cannot be listened on`, { cause });
    }
    const port = this.addresses()
      .find((each) => !known.has(each))
      ?.match(/\/tcp\/(\d+)/)?.[1];
    return port === undefined ? address : address.replace(/\/tcp\/0$/, `/tcp/${port}`);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    const node = this.#node;
    this.#node = undefined;
    for (const peer of [...this.#links.keys()]) this.#dropLink(peer, 'this node stops');
    await node?.stop();
  }

  keep(peer: PeerId, addresses: readonly string[]): void {
    this.#redial.keep(peer, addresses);
  }

  release(peer: PeerId): void {
    this.#redial.release(peer);
  }

  async dial(address: string, options: CallOptions): Promise<PeerId> {
    const named = peerIn(address);
    if (named === this.self) return this.self;
    if (named !== undefined) this.#gate.dialled(named);
    const signal = AbortSignal.any([
      AbortSignal.timeout(options.timeoutMs),
      this.#stopping.signal,
      ...(options.signal ? [options.signal] : []),
    ]);
    try {
      const connection = await this.#running().dial(multiaddr(address), { signal });
      const peer = textOfPeer(connection.remotePeer);
      this.#gate.dialled(peer);
      this.#announce(peer);
      await this.#confirm(peer, options);
      return peer;
    } catch (cause) {
      options.signal?.throwIfAborted();
      throw new SkeinError('unreachable', `nothing answers at ${address}: ${(cause as Error).message}`, { cause });
    }
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
    if (peer === this.self) return this.#callSelf(channel, method, body, options);
    const open = this.#links.get(peer)?.outgoing.get(channel);
    if (open?.isOpen) return open.request(method, body, options);
    if (this.#connectionTo(peer) === undefined) throw new SkeinError('unreachable', `${peer} is not connected`);
    return this.#outgoing(peer, channel).request(method, body, options);
  }

  handle(channel: Channel, method: string, handler: Handler): void {
    this.#dispatcher.handle(channel, method, handler);
  }

  async publish(topic: Topic, message: Uint8Array): Promise<void> {
    queueMicrotask(() => this.#listeners.deliver(topic, this.self, message));
    try {
      await this.#node?.services.gossip.publish(topicName(this.#options.meshId, topic), message);
    } catch (error) {
      this.#parts.log.debug({ err: error, topic }, 'a gossip message was not sent');
    }
  }

  subscribe(topic: Topic, listener: (from: PeerId, message: Uint8Array) => void): void {
    this.#listeners.add(topic, listener);
  }

  async reconnect(peer: PeerId): Promise<void> {
    // Aborted and not closed: a peer that is silent would let a polite close wait for its timeout.
    for (const connection of this.#connectionsTo(peer)) connection.abort(new Error('the peer went silent'));
    this.#redial.look();
  }

  #running(): Node {
    if (this.#node === undefined) throw new SkeinError('unreachable', 'this node is not on the mesh');
    return this.#node;
  }

  // Through the same judge, bounds and deadline as everyone's, in a later turn, so that callers need not ask who they are.
  #callSelf(channel: Channel, method: string, body: Uint8Array, options: CallOptions): Promise<Uint8Array> {
    const { pending } = this.#link(this.self);
    const { id, answer } = pending.start(channel, method, options);
    queueMicrotask(() => {
      this.#dispatcher.answer(this.self, channel, method, body).then(
        (bytes) => pending.resolve(id, bytes),
        (error: unknown) => pending.reject(id, error),
      );
    });
    return answer;
  }

  async #confirm(peer: PeerId, options: CallOptions): Promise<void> {
    try {
      await this.call(peer, 'join', 'hello', new Uint8Array(0), options);
    } catch (error) {
      // A refusal is an answer too: an observer is refused here and yet connected.
      if (!(error instanceof SkeinError && error.code === 'forbidden')) throw error;
    }
  }

  async #dialPeer(peer: PeerId, addresses: readonly string[]): Promise<void> {
    const targets = addresses.filter((address) => (peerIn(address) ?? peer) === peer);
    const full = targets.map((address) => multiaddr(peerIn(address) === peer ? address : `${address}/p2p/${peer}`));
    const signal = AbortSignal.any([AbortSignal.timeout(openStreamMs), this.#stopping.signal]);
    await this.#running().dial(full, { signal });
  }

  #link(peer: PeerId): Link {
    let link = this.#links.get(peer);
    if (link === undefined) {
      link = { pending: new PendingCalls(peer, this.#parts.clock), outgoing: new Map() };
      this.#links.set(peer, link);
    }
    return link;
  }

  #outgoing(peer: PeerId, channel: Channel): Outgoing {
    const { pending, outgoing } = this.#link(peer);
    let made = outgoing.get(channel);
    if (made === undefined) {
      made = new Outgoing({
        peer,
        channel,
        pending,
        log: this.#parts.log,
        open: () => this.#openStream(peer, channel),
      });
      outgoing.set(channel, made);
    }
    return made;
  }

  async #openStream(peer: PeerId, channel: Channel): Promise<Stream> {
    const connection = this.#connectionTo(peer);
    if (connection === undefined) throw new Error('it is not connected');
    const signal = AbortSignal.any([AbortSignal.timeout(openStreamMs), this.#stopping.signal]);
    return connection.newStream(channelProtocol(this.#options.meshId, channel), { signal, ...streamLimits });
  }

  #dropLink(peer: PeerId, why: string): void {
    const link = this.#links.get(peer);
    this.#links.delete(peer);
    for (const outgoing of link?.outgoing.values() ?? []) outgoing.close(why);
    link?.pending.rejectAll(new SkeinError('unreachable', `${peer} cannot be reached: ${why}`));
  }

  #connectionsTo(peer: PeerId): readonly Connection[] {
    const id = this.#ids.get(peer) ?? peerIdFromString(peer);
    this.#ids.set(peer, id);
    return this.#node?.getConnections(id) ?? [];
  }

  #connectionTo(peer: PeerId): Connection | undefined {
    return this.#connectionsTo(peer).find((connection) => connection.status === 'open');
  }

  #listenTo(node: Node): void {
    node.addEventListener('connection:open', ({ detail }) => this.#gate.opened(detail));
    node.addEventListener('peer:connect', ({ detail }) => this.#announce(textOfPeer(detail)));
    node.addEventListener('peer:identify', ({ detail: { peerId, observedAddr } }) => {
      if (observedAddr !== undefined && this.#parts.admission.isGateway(textOfPeer(peerId))) this.#seenAt(observedAddr);
    });
    node.addEventListener('peer:disconnect', ({ detail }) => {
      const peer = textOfPeer(detail);
      this.#dropLink(peer, 'the connection closed');
      this.#redial.onLost(peer);
      this.#announce(peer);
      this.#ids.delete(peer);
    });
  }

  /** A router in between shows a gateway an address that this node does not listen on. */
  #seenAt(address: Multiaddr): void {
    const seen = hostIn(String(address));
    this.#seenDirectly = this.listening().some((own) => hostIn(own) === seen);
  }

  #hear(node: Node, topic: Topic): void {
    const { gossip } = node.services;
    const name = topicName(this.#options.meshId, topic);
    gossip.topicValidators.set(name, (peer, { data }) => {
      const admitted = this.#gate.mayGossip(textOfPeer(peer)) && admitMessage(this.#judge, topic, data) !== undefined;
      return admitted ? TopicValidatorResult.Accept : TopicValidatorResult.Reject;
    });
    gossip.addEventListener('message', ({ detail }) => {
      const sender = detail.topic === name ? readEnvelope(detail.data)?.sender : undefined;
      if (sender !== undefined) this.#listeners.deliver(topic, sender, detail.data);
    });
    gossip.subscribe(name);
  }

  /** Tells listeners once that a peer came or went, whether by connection or by the member list. */
  #announce(peer: PeerId): void {
    const up = this.#gate.isPeer(peer) && this.#connectionTo(peer) !== undefined;
    if (up === this.#up.has(peer)) return;
    if (up) this.#up.add(peer);
    else this.#up.delete(peer);
    for (const listener of this.#connectionListeners) listener(peer, up);
  }

  #sweep(): void {
    const connections = this.#node?.getConnections() ?? [];
    for (const connection of this.#gate.overdue(connections)) connection.abort(new Error('no member of this mesh'));
    const peers = new Set([...this.#up, ...connections.map(({ remotePeer }) => textOfPeer(remotePeer))]);
    for (const peer of peers) this.#announce(peer);
    this.#serveAdmitted();
  }
}

const hostIn = (address: string): string | undefined => /^\/[a-z0-9]+\/([^/]+)/.exec(address)?.[1];

function peerIn(address: string): PeerId | undefined {
  const match = /\/p2p\/([0-9A-Za-z]+)$/.exec(address);
  return match?.[1] as PeerId | undefined;
}
