// How members speak to each other. One long-lived stream per pair and channel carries all requests of that channel;
// nothing here opens a stream per request. A node's messages to itself are looped back, so callers need not ask who they are.
import type { PeerId } from '../../protocol/ids.ts';

/**
 * `join`: open to anyone who holds a ticket; all others are for members only, judged at each request.
 * `blob` is apart from `work`, so that bulk bytes never stand in front of a heartbeat. `raft` is for gateways alone.
 */
export type Channel = 'join' | 'work' | 'blob' | 'raft';
export type Topic = 'heartbeats' | 'window';
/** Whether others can dial a node, or must wait for it to dial them. */
export type Reach = 'direct' | 'dials-out';

/** Answers one request. Throwing a SkeinError sends its code; anything else sends `internal-error`. */
export type Handler = (from: PeerId, body: Uint8Array) => Promise<Uint8Array>;

export interface CallOptions {
  /** Required: nothing is awaited without a limit. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** Who may speak and hear, judged from the member list in force. */
export interface Admission {
  isMember(peer: PeerId): boolean;
  isGateway(peer: PeerId): boolean;
  /** May hear gossip and nothing else. */
  isObserver(peer: PeerId): boolean;
  /** Whether an open ticket allows connections of strangers for `join`. */
  joinable(): boolean;
}

export interface Transport {
  readonly self: PeerId;
  /** Multiaddrs, with the peer id, under which others may dial this node; empty where it only dials out. */
  addresses(): readonly string[];
  /** As gateways see it: a worker behind a router listens in vain. */
  reach(): Reach;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Keeps a connection to this peer, redialling for ever with jitter, until `release`. */
  keep(peer: PeerId, addresses: readonly string[]): void;
  release(peer: PeerId): void;
  /** Dials once. Fails with `unreachable`. @returns the peer that proved itself at that address */
  dial(address: string, options: CallOptions): Promise<PeerId>;
  /** Members, and peers that were dialled, with a connection now; observers and joining strangers are none of them. */
  connected(): readonly PeerId[];
  onConnection(listener: (peer: PeerId, up: boolean) => void): void;
  /**
   * Sends a request and waits for its answer. Fails with `unreachable`, `no-answer`, `too-large` (over 1 MiB),
   * `too-many-requests` (1,024 in flight to that peer), or with the code that the handler threw.
   */
  call(peer: PeerId, channel: Channel, method: string, body: Uint8Array, options: CallOptions): Promise<Uint8Array>;
  handle(channel: Channel, method: string, handler: Handler): void;
  /** `message` is a sealed envelope (protocol/wire/envelope.ts) of at most 64 KiB. Best effort; never rejects. Heard by oneself too. */
  publish(topic: Topic, message: Uint8Array): Promise<void>;
  /** `from` is proven by the envelope's seal. A message of a non-member, another mesh or another topic never arrives. */
  subscribe(topic: Topic, listener: (from: PeerId, message: Uint8Array) => void): void;
  /** Closes and redials a peer that went silent. */
  reconnect(peer: PeerId): Promise<void>;
}
