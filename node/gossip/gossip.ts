// The soft plane of one node: says its heartbeat and hears those of others. Nothing heard here gives a right to anything;
// lose it all and the mesh is slow but correct.
import { SkeinError } from '../../protocol/errors.ts';
import type { EpochId, PeerId } from '../../protocol/ids.ts';
import type { Begun, Role } from '../../protocol/state/rows.ts';
import type { Clock } from '../../protocol/time.ts';
import { fencesMax } from '../../protocol/wire/bounds.ts';
import {
  type Envelope,
  openEnvelope,
  readEnvelope,
  type Signer,
  sealEnvelope,
  type Verifier,
} from '../../protocol/wire/envelope.ts';
import { type Claim, type Heartbeat, heartbeatCodec } from '../../protocol/wire/heartbeat.ts';
import type { MemberList } from '../../protocol/wire/members.ts';
import { type Beacon, beaconCodec } from '../../protocol/wire/window.ts';
import type { Log } from '../log.ts';
import type { Transport } from '../transport/port.ts';
import type { Machine } from './machine.ts';
import { PeerTable } from './peer-table.ts';
import { Watchdog } from './watchdog.ts';

/** What changes from one heartbeat to the next and this room cannot know. */
export interface BeatStatus {
  readonly incarnation: number;
  readonly begun: readonly Begun[];
  readonly claim: Claim;
  readonly busy: number;
  readonly draining: boolean;
  readonly restarting: boolean;
}

/** A sealed heartbeat as it went out, to be sent over the worker's stream too. */
export interface Beat {
  readonly bytes: Uint8Array;
  readonly sequence: number;
  readonly sentAtUptimeMs: number;
}

export interface GossipParts {
  readonly transport: Pick<
    Transport,
    'self' | 'addresses' | 'reach' | 'publish' | 'subscribe' | 'connected' | 'onConnection' | 'reconnect'
  >;
  readonly signer: Signer;
  readonly verifier: Verifier;
  readonly clock: Clock;
  readonly log: Log;
  readonly machine: Machine;
  /** The member list in force: mesh, epoch, interval, and who is a gateway. */
  readonly members: { current(): MemberList };
  readonly blobs: () => { readonly count: number; readonly bytes: number };
  /** For a node that nobody else beats for (a gateway without a worker), or undefined while it must be silent. */
  readonly status?: () => BeatStatus | undefined;
}

export interface GossipOptions {
  readonly name: string;
  readonly roles: readonly Role[];
  readonly version: string;
}

const lookMs = 250;

export class Gossip {
  readonly table: PeerTable;
  readonly #parts: GossipParts;
  readonly #options: GossipOptions;
  readonly #watchdog: Watchdog;
  readonly #heartbeatListeners: ((heartbeat: Heartbeat, sealed: Uint8Array) => void)[] = [];
  readonly #beaconListeners: ((beacon: Beacon) => void)[] = [];
  readonly #stopping = new AbortController();
  #sequence: number;
  #beatAtMs = Number.NEGATIVE_INFINITY;
  #beacon: Beacon | undefined;

  constructor(parts: GossipParts, options: GossipOptions) {
    this.#parts = parts;
    this.#options = options;
    this.table = new PeerTable(parts.clock);
    this.#watchdog = new Watchdog({ transport: parts.transport, table: this.table, clock: parts.clock });
    // A node that restarts within one incarnation must not be taken for its own past: sequences go on from the time of day.
    this.#sequence = Math.floor(parts.clock.now());
  }

  /** The last that was heard of a leader. */
  get beacon(): Beacon | undefined {
    return this.#beacon;
  }

  start(): void {
    const { transport, clock } = this.#parts;
    transport.subscribe('heartbeats', (_, message) => this.#hear(message));
    transport.subscribe('window', (from, message) => this.#hearBeacon(from, message));
    transport.onConnection((peer, up) => up && this.#watchdog.onConnection(peer));
    clock.every(lookMs, () => this.#look(), this.#stopping.signal);
  }

  stop(): void {
    this.#stopping.abort();
  }

  /** Called once for each heartbeat that is later than the last of its sender, the own ones included. `sealed` proves it to others. */
  onHeartbeat(listener: (heartbeat: Heartbeat, sealed: Uint8Array) => void): void {
    this.#heartbeatListeners.push(listener);
  }

  onBeacon(listener: (beacon: Beacon) => void): void {
    this.#beaconListeners.push(listener);
  }

  /** Seals and gossips this node's heartbeat. */
  beat(status: BeatStatus): Beat {
    const { clock, transport } = this.#parts;
    this.#beatAtMs = clock.monotonic();
    const beat = this.sealBeat(status);
    void transport.publish('heartbeats', beat.bytes);
    return beat;
  }

  /** This node's heartbeat, for a stream alone. */
  sealBeat(status: BeatStatus): Beat {
    const sequence = ++this.#sequence;
    const sentAtUptimeMs = this.#parts.clock.uptime();
    const body = heartbeatCodec.encode(this.#heartbeat(status, sequence, sentAtUptimeMs));
    return { bytes: this.#seal('heartbeats', status.incarnation, sequence, body), sequence, sentAtUptimeMs };
  }

  /** The leader's word of itself and of the head of the queue. */
  announce(beacon: Beacon): void {
    const bytes = this.#seal('window', beacon.term, ++this.#sequence, beaconCodec.encode(beacon));
    void this.#parts.transport.publish('window', bytes);
  }

  /**
   * A sealed heartbeat that came over a stream, from its sender or passed on for it; it counts as heard.
   * Fails with `invalid-request`, `forbidden`.
   */
  receive(sealed: Uint8Array): Heartbeat {
    const envelope = openEnvelope(sealed, this.#parts.verifier);
    const { meshId, members } = this.#parts.members.current();
    if (envelope === undefined || envelope.topic !== 'heartbeats' || envelope.meshId !== meshId) {
      throw new SkeinError('invalid-request', 'a heartbeat without a valid seal');
    }
    if (!members.some(({ peerId, state }) => peerId === envelope.sender && state !== 'left')) {
      throw new SkeinError('forbidden', `${envelope.sender} is no member of this mesh`);
    }
    const heartbeat = this.#open(envelope);
    if (heartbeat === undefined)
      throw new SkeinError('forbidden', `a heartbeat of another epoch from ${envelope.sender}`);
    this.#take(heartbeat, sealed);
    return heartbeat;
  }

  #heartbeat(status: BeatStatus, sequence: number, sentAtUptimeMs: number): Heartbeat {
    const { transport, machine, blobs } = this.#parts;
    const { name, roles, version } = this.#options;
    const { busy, begun, ...rest } = status;
    return {
      ...rest,
      ...machine.sample(),
      peerId: transport.self,
      name,
      roles,
      version,
      sequence,
      // Soft and for show, so a list beyond the bound may be cut rather than silence the node.
      begun: begun.slice(0, fencesMax),
      slots: { busy, total: status.claim.slots },
      blobs: blobs(),
      reach: transport.reach(),
      addresses: [...transport.addresses()].slice(0, 16),
      sentAtUptimeMs,
    };
  }

  #seal(topic: Envelope['topic'], incarnation: number, sequence: number, body: Uint8Array): Uint8Array {
    const { meshId, epochId } = this.#parts.members.current();
    return sealEnvelope(
      { meshId, epochId: epochId as EpochId, topic, incarnation, sequence, body },
      this.#parts.signer,
    );
  }

  // The transport has judged seal, mesh and membership already.
  #hear(message: Uint8Array): void {
    const envelope = readEnvelope(message);
    const heartbeat = envelope === undefined ? undefined : this.#tryOpen(envelope);
    if (heartbeat !== undefined) this.#take(heartbeat, message);
  }

  #tryOpen(envelope: Envelope): Heartbeat | undefined {
    try {
      return this.#open(envelope);
    } catch (error) {
      this.#parts.log.debug({ err: error, from: envelope.sender }, 'a heartbeat could not be read');
      return undefined;
    }
  }

  /** Undefined for another epoch. Fails with `invalid-request` where the seal and its content disagree. */
  #open({ epochId, sender, incarnation, sequence, body }: Envelope): Heartbeat | undefined {
    if (epochId !== this.#parts.members.current().epochId) return undefined;
    const heartbeat = heartbeatCodec.decode(body);
    if (heartbeat.peerId !== sender || heartbeat.incarnation !== incarnation || heartbeat.sequence !== sequence) {
      throw new SkeinError('invalid-request', 'a heartbeat under the seal of another');
    }
    return heartbeat;
  }

  #take(heartbeat: Heartbeat, sealed: Uint8Array): void {
    if (!this.table.hear(heartbeat)) return;
    for (const listener of this.#heartbeatListeners) listener(heartbeat, sealed);
  }

  #hearBeacon(from: PeerId, message: Uint8Array): void {
    const envelope = readEnvelope(message);
    if (envelope === undefined || envelope.epochId !== this.#parts.members.current().epochId) return;
    try {
      const beacon = beaconCodec.decode(envelope.body);
      if (beacon.leader !== from || beacon.term < (this.#beacon?.term ?? 0)) return;
      this.#beacon = beacon;
      for (const listener of this.#beaconListeners) listener(beacon);
    } catch (error) {
      this.#parts.log.debug({ err: error, from }, 'a beacon could not be read');
    }
  }

  #look(): void {
    const { heartbeatMs } = this.#parts.members.current();
    try {
      this.#beatIfDue(heartbeatMs);
      for (const peer of this.#watchdog.look(heartbeatMs)) {
        this.#parts.log.info({ peer }, 'a connected peer went silent: its connection is replaced');
      }
    } catch (error) {
      this.#parts.log.error({ err: error }, 'a look at the heartbeats failed; the next one tries again');
    }
  }

  #beatIfDue(intervalMs: number): void {
    if (this.#parts.clock.monotonic() - this.#beatAtMs < intervalMs - lookMs / 2) return;
    const status = this.#parts.status?.();
    if (status !== undefined) this.beat(status);
  }
}
