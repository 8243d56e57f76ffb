// The libp2p node as skein configures it. Why each setting is what it is: the trap in LIBP2P.md that it avoids is named
// beside it where the default would have bitten.
import { type GossipSub, gossipsub } from '@libp2p/gossipsub';
import { identify } from '@libp2p/identify';
import type { Connection, Ed25519PrivateKey, Libp2p, PeerId as Libp2pPeerId, Stream } from '@libp2p/interface';
import type { Registrar, TransportManager } from '@libp2p/interface-internal';
import { type KadDHT, kadDHT } from '@libp2p/kad-dht';
import { noise } from '@libp2p/noise';
import { type Ping, ping } from '@libp2p/ping';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { createLibp2p } from 'libp2p';
import { SkeinError } from '../../protocol/errors.ts';
import type { MeshId, PeerId } from '../../protocol/ids.ts';
import { envelopeMaxBytes, signatureOf } from '../../protocol/wire/envelope.ts';
import type { Gate } from './gate.ts';
import type { Channel, Topic } from './port.ts';

export interface NodeParts {
  readonly privateKey: Ed25519PrivateKey;
  readonly gate: Gate;
  readonly meshId: MeshId;
  readonly listen: readonly string[];
  readonly announce: readonly string[];
  readonly dialOutOnly: boolean;
}

export type Services = {
  readonly identify: unknown;
  readonly ping: Ping;
  readonly gossip: GossipSub;
  readonly dht: KadDHT;
  /** libp2p hands its registrar to services alone; the gate needs it to refuse strangers on others' protocols. */
  readonly gate: { readonly registrar: Registrar; readonly transportManager: TransportManager };
};
export type Node = Libp2p<Services>;

// The mesh's id is part of every name, so that nodes of two meshes never mistake each other.
export const channelProtocol = (meshId: MeshId, channel: Channel): string => `/skein/${meshId}/${channel}/1`;
export const topicName = (meshId: MeshId, topic: Topic): string => `skein/${meshId}/${topic}`;
export const topics: readonly Topic[] = ['heartbeats', 'window'];
export const textOfPeer = (peer: Libp2pPeerId): PeerId => peer.toString() as PeerId;

/** Not started yet. */
export function makeNode(parts: NodeParts, connections: () => readonly Connection[]): Promise<Node> {
  const { privateKey, gate, meshId, dialOutOnly } = parts;
  return createLibp2p<Services>({
    start: false,
    privateKey,
    addresses: { listen: dialOutOnly ? [] : [...parts.listen], announce: dialOutOnly ? [] : [...parts.announce] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: {
      maxConnections: 500,
      // Trap 7: the defaults refuse a mesh that starts on one host.
      inboundConnectionThreshold: 200,
      maxIncomingPendingConnections: 200,
      inboundUpgradeTimeout: 5000,
      dialTimeout: 3000,
      addressDialTimeout: 2000,
      // Trap 6: redial.ts does it.
      reconnectRetries: 1,
    },
    // Trap 4: a busy peer answers pings late and is not dead; trap 9: without the monitor idle connections are cut.
    connectionMonitor: { abortConnectionOnPingFailure: false },
    connectionGater: {
      denyDialPeer: (peer) => !gate.admitsDial(textOfPeer(peer)),
      denyInboundEncryptedConnection: (peer) => !gate.admitsInbound(textOfPeer(peer), connections()),
    },
    services: {
      identify: identify(),
      ping: ping(),
      gossip: gossipsub({
        D: 6,
        Dlo: 4,
        Dhi: 12,
        floodPublish: true,
        fallbackToFloodsub: false,
        doPX: false,
        emitSelf: false,
        // Trap 11: our envelope is signed, and its signature covers sender, incarnation and sequence.
        globalSignaturePolicy: 'StrictNoSign',
        msgIdFn: ({ data }) => signatureOf(data).subarray(0, 20),
        allowPublishToZeroTopicPeers: true,
        ignoreDuplicatePublishError: true,
        maxInboundDataLength: envelopeMaxBytes + 4096,
        allowedTopics: topics.map((topic) => topicName(meshId, topic)),
        scoreParams: {
          // Trap 3: many peers of a mesh share an address.
          IPColocationFactorWeight: 0,
          // Trap 14: a connected stranger takes part in gossip unless its score forbids it.
          appSpecificScore: (peer) => (gate.mayGossip(peer as PeerId) ? 0 : -1e6),
        },
      }),
      dht: kadDHT({
        // Trap 12: addresses of a LAN are dropped by default.
        peerInfoMapper: (info) => (gate.isPeer(textOfPeer(info.id)) ? info : { ...info, multiaddrs: [] }),
        protocol: `/skein/${meshId}/kad/1`,
        clientMode: dialOutOnly,
        allowQueryWithZeroPeers: true,
      }),
      gate: ({ registrar, transportManager }) => ({ registrar, transportManager }),
    },
  });
}

/** Fails with `port-in-use`, `config-invalid`. */
export async function startNode(node: Node, listen: readonly string[]): Promise<void> {
  try {
    await node.start();
  } catch (cause) {
    const text = (cause as Error).message;
    const where = listen.join(', ');
    if (text.includes('EADDRINUSE')) {
      throw new SkeinError('port-in-use', `another program listens on ${where}`, {
        fix: 'give another one: --listen HOST:PORT',
        cause,
      });
    }
    throw new SkeinError('config-invalid', `the mesh cannot listen on ${where}: ${text}`, { cause });
  }
}

/**
 * Refuses strangers on every protocol that is not ours to judge per request: gossip, DHT and ping. Only identify stays open.
 * A stranger's gossip stream waits unread and is served once the member list names it, as gossipsub never opens a second
 * one over the same connection. (Registered middleware is no way to do it: libp2p appends to that array on every stream.)
 * @returns what to call when the member list may have changed
 */
export async function closeToStrangers(node: Node, gate: Gate): Promise<() => void> {
  const { registrar } = node.services.gate;
  const waiting = new Map<Stream, () => void>();
  for (const protocol of registrar.getProtocols()) {
    if (protocol.startsWith('/ipfs/id/')) continue;
    const { handler, options } = registrar.getHandler(protocol);
    const guarded: typeof handler = (stream, connection) => {
      const isAdmitted = () => gate.mayGossip(textOfPeer(connection.remotePeer));
      if (isAdmitted()) return handler(stream, connection);
      if (!protocol.startsWith('/meshsub/')) return stream.abort(new Error('for members only'));
      stream.addEventListener('close', () => waiting.delete(stream), { once: true });
      waiting.set(stream, () => isAdmitted() && waiting.delete(stream) && handler(stream, connection));
    };
    await registrar.handle(protocol, guarded, { ...options, force: true });
  }
  return () => {
    for (const serveIfAdmitted of [...waiting.values()]) serveIfAdmitted();
  };
}
