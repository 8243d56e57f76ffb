// `skein peers` without a gateway: joins the gossip under the observer's key, listens for two intervals and says who is there.
import type { PeerView } from '../../protocol/api/mesh.ts';
import { SkeinError } from '../../protocol/errors.ts';
import type { EpochId, MeshId, PeerId } from '../../protocol/ids.ts';
import type { Random } from '../../protocol/random.ts';
import type { Clock } from '../../protocol/time.ts';
import { readEnvelope, type Verifier } from '../../protocol/wire/envelope.ts';
import { heartbeatCodec } from '../../protocol/wire/heartbeat.ts';
import type { MemberList } from '../../protocol/wire/members.ts';
import { type Beacon, beaconCodec } from '../../protocol/wire/window.ts';
import type { Log } from '../log.ts';
import { Libp2pTransport, type TransportKey } from '../transport/libp2p.ts';
import type { Admission, Transport } from '../transport/port.ts';
import { PeerTable } from './peer-table.ts';

const dialMs = 3000;
/** Time for gossip streams to form, beyond the intervals. */
const settleMs = 1000;

export interface Observed {
  readonly lines: readonly PeerView[];
  readonly beacon: Beacon | undefined;
}

export interface ObserveParts {
  /** The observer's. */
  readonly key: TransportKey;
  readonly verifier: Verifier;
  /** As kept in the data folder. */
  readonly members: MemberList;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * @param addresses of members that may be up, the one on this machine first.
 * Fails with `unreachable` where none of them answers.
 */
export async function observe(
  parts: ObserveParts,
  addresses: readonly string[],
  signal: AbortSignal,
): Promise<Observed> {
  const { key, members, ...rest } = parts;
  const transport = new Libp2pTransport(
    { identity: key, admission: admissionOf(members), ...rest },
    { listen: [], announce: [], meshId: members.meshId as MeshId, dialOutOnly: true },
  );
  await transport.start();
  try {
    await dialAny(transport, addresses, signal);
    return await listen(transport, parts, signal);
  } finally {
    await transport.stop();
  }
}

/** Ends early once every living member and the leader have been heard. */
async function listen(
  transport: Transport,
  { members, clock, log }: ObserveParts,
  signal: AbortSignal,
): Promise<Observed> {
  const table = new PeerTable(clock);
  const awaited = new Set<string>(
    members.members.filter(({ state }) => state === 'alive' || state === 'draining').map(({ peerId }) => peerId),
  );
  let beacon: Beacon | undefined;
  const guarded = (hear: (from: PeerId, message: Uint8Array) => void) => (from: PeerId, message: Uint8Array) => {
    try {
      hear(from, message);
    } catch (error) {
      log.debug({ err: error, from }, 'a gossip message could not be read');
    }
  };
  const bodyOf = (message: Uint8Array): Uint8Array | undefined => {
    const envelope = readEnvelope(message);
    return envelope?.epochId === (members.epochId as EpochId) ? envelope.body : undefined;
  };
  const onHeartbeat = (from: PeerId, message: Uint8Array): void => {
    const body = bodyOf(message);
    const heartbeat = body === undefined ? undefined : heartbeatCodec.decode(body);
    if (heartbeat?.peerId !== from) return;
    table.hear(heartbeat);
    awaited.delete(from);
  };
  const onBeacon = (from: PeerId, message: Uint8Array): void => {
    const body = bodyOf(message);
    const heard = body === undefined ? undefined : beaconCodec.decode(body);
    if (heard?.leader === from && heard.term >= (beacon?.term ?? 0)) beacon = heard;
  };
  transport.subscribe('heartbeats', guarded(onHeartbeat));
  transport.subscribe('window', guarded(onBeacon));
  const until = clock.monotonic() + 2 * members.heartbeatMs + settleMs;
  while (clock.monotonic() < until && (awaited.size > 0 || beacon === undefined)) await clock.sleep(50, signal);
  // Two intervals are too short for the table to suspect anyone by age.
  const lines = table
    .lines(members)
    .map((line) => (awaited.has(line.peerId) ? { ...line, state: 'suspect' as const } : line));
  return { lines, beacon };
}

async function dialAny(transport: Transport, addresses: readonly string[], signal: AbortSignal): Promise<void> {
  const dials = addresses.map((address) => transport.dial(address, { timeoutMs: dialMs, signal }));
  try {
    await Promise.any(dials);
  } catch (cause) {
    signal.throwIfAborted();
    throw new SkeinError('unreachable', 'no member of the mesh answers', { cause });
  }
}

function admissionOf({ members }: MemberList): Admission {
  const byId = new Map(members.map((member) => [member.peerId, member]));
  return {
    isMember: (peer) => byId.has(peer) && byId.get(peer)?.state !== 'left',
    isGateway: (peer) => byId.get(peer)?.roles.includes('gateway') === true,
    isObserver: () => false,
    joinable: () => false,
  };
}
