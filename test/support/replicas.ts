// Replicas of one log in one process: production's drivers, links, codecs and rules, over disks in memory, a clock that the
// test moves and wires that it cuts.
import { seededRandom } from '../../node/clock.ts';
import { Consensus, type ConsensusOptions } from '../../node/consensus/driver.ts';
import { serveReplica, TransportLinks } from '../../node/consensus/links.ts';
import { serveEnlist } from '../../node/membership/enlist.ts';
import { MemoryDisk, MemoryStorage } from '../../node/storage/memory.ts';
import type { CallOptions, Channel, Handler } from '../../node/transport/port.ts';
import { SkeinError } from '../../protocol/errors.ts';
import type { EpochId, MeshId, PeerId } from '../../protocol/ids.ts';
import { apply } from '../../protocol/state/apply.ts';
import { enlistCodec, enlistedCodec, replicaMethods } from '../../protocol/wire/replica.ts';
import { ManualClock } from './manual-clock.ts';

export const epoch = { number: 1, id: 'e'.repeat(32) as EpochId };
export const limits = { timeoutMs: 10_000 };
const MESH = 'a'.repeat(32) as MeshId;

/** One node's end of the wires. */
class Wire {
  readonly #wires: ReadonlyMap<PeerId, Wire>;
  readonly self: PeerId;
  readonly handlers = new Map<string, Handler>();
  isCut: (from: PeerId, to: PeerId) => boolean = () => false;

  constructor(self: PeerId, wires: ReadonlyMap<PeerId, Wire>) {
    this.self = self;
    this.#wires = wires;
  }

  handle(channel: Channel, method: string, handler: Handler): void {
    this.handlers.set(`${channel}/${method}`, handler);
  }

  async call(peer: PeerId, channel: Channel, method: string, body: Uint8Array, _: CallOptions): Promise<Uint8Array> {
    // Who is away is found so at once, as over a connection that is closed.
    if (this.isCut(this.self, peer) || !this.#wires.has(peer)) throw new SkeinError('unreachable', `${peer} is away`);
    await turn();
    const handler = this.#wires.get(peer)?.handlers.get(`${channel}/${method}`);
    if (handler === undefined || this.isCut(this.self, peer)) throw new SkeinError('unreachable', `${peer} is away`);
    const answer = await handler(this.self, body);
    await turn();
    if (this.isCut(peer, this.self)) throw new SkeinError('no-answer', `${peer} did not answer`);
    return answer;
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export interface ReplicaNode {
  readonly peerId: PeerId;
  readonly disk: MemoryDisk;
  readonly storage: MemoryStorage;
  log: Consensus;
}

export class Replicas {
  readonly clock = new ManualClock();
  readonly nodes = new Map<PeerId, ReplicaNode>();
  readonly #wires = new Map<PeerId, Wire>();
  readonly #cut = new Set<string>();
  readonly #options: Partial<ConsensusOptions>;
  #starts = 0;

  private constructor(options: Partial<ConsensusOptions>) {
    this.#options = options;
  }

  /** A mesh of one, founded. */
  static async found(options: Partial<ConsensusOptions> = {}): Promise<Replicas> {
    const replicas = new Replicas(options);
    const { log, peerId } = await replicas.#start('p1' as PeerId, new MemoryDisk());
    const at = replicas.clock.now();
    await log.propose(
      { kind: 'mesh.created', meshId: MESH, founder: peerId, name: 'test', epochId: epoch.id, at },
      limits,
    );
    await replicas.admit(peerId);
    return replicas;
  }

  /** Makes it a member with every role. */
  async admit(peerId: PeerId): Promise<void> {
    const leader = this.leader();
    const at = this.clock.now();
    const ticket = peerId === 'p1' ? null : `ticket of ${peerId}`;
    if (ticket !== null) {
      const made = {
        secretHash: ticket,
        roles: ['gateway', 'voter'],
        uses: 1,
        expiresAt: at + 1e9,
        by: 'test',
      } as const;
      await this.settled(
        leader.log.propose({ kind: 'ticket.created', ...made, project: 'default', idempotency: null, at }, limits),
      );
    }
    await this.settled(
      leader.log.propose(
        {
          kind: 'member.joined',
          peerId,
          name: peerId,
          roles: ['gateway', 'voter'],
          boxKey: '',
          observer: null,
          ticket,
          at,
        },
        limits,
      ),
    );
  }

  /** A new gateway: a member, then a learner. */
  async join(name: string): Promise<ReplicaNode> {
    const peerId = name as PeerId;
    await this.admit(peerId);
    const disk = new MemoryDisk();
    const voterId = await this.enlist(peerId);
    const storage = new MemoryStorage(disk);
    await storage.open();
    await storage.become(epoch, voterId);
    await storage.close();
    return this.#start(peerId, disk);
  }

  async enlist(peerId: PeerId): Promise<number> {
    const wire = this.#wireOf(peerId);
    const body = enlistCodec.encode({ epochId: epoch.id });
    const answer = await this.settled(wire.call(this.leader().peerId, 'raft', replicaMethods.enlist, body, limits));
    return enlistedCodec.decode(answer).voterId;
  }

  async #start(peerId: PeerId, disk: MemoryDisk): Promise<ReplicaNode> {
    const wire = this.#wireOf(peerId);
    const storage = new MemoryStorage(disk);
    const { clock } = this;
    const random = seededRandom(`${peerId} ${this.#starts++}`);
    const links = new TransportLinks(wire);
    const log = new Consensus({ storage, clock, random, apply, links }, { initialEpoch: epoch, ...this.#options });
    serveReplica(wire, log);
    serveEnlist(wire, { log, clock });
    await log.start();
    const node = { peerId, disk, storage, log };
    this.nodes.set(peerId, node);
    return node;
  }

  #wireOf(peerId: PeerId): Wire {
    const wire = new Wire(peerId, this.#wires);
    wire.isCut = (from, to) => this.#cut.has(`${from} ${to}`);
    this.#wires.set(peerId, wire);
    return wire;
  }

  /** What it holds unsynced is gone; nobody hears its answers. */
  async stop(node: ReplicaNode): Promise<void> {
    this.#wires.delete(node.peerId);
    this.nodes.delete(node.peerId);
    await node.log.stop();
    await node.storage.close();
  }

  start({ peerId, disk }: ReplicaNode): Promise<ReplicaNode> {
    return this.#start(peerId, disk);
  }

  cut(from: ReplicaNode, to: ReplicaNode): void {
    this.#cut.add(`${from.peerId} ${to.peerId}`);
  }

  isolate(node: ReplicaNode): void {
    for (const other of this.nodes.values()) {
      if (other === node) continue;
      this.cut(node, other);
      this.cut(other, node);
    }
  }

  heal(): void {
    this.#cut.clear();
  }

  /** The one that leads in the highest term. */
  leader(): ReplicaNode {
    const leading = [...this.nodes.values()].filter(({ log }) => log.status().leading);
    const found = leading.sort((a, b) => b.log.status().term - a.log.status().term)[0];
    if (found === undefined) throw new Error('nobody leads');
    return found;
  }

  /** Time goes on until `look` says yes. */
  async until(what: string, look: () => boolean, { withinMs = 30_000 } = {}): Promise<void> {
    for (let passedMs = 0; passedMs <= withinMs; passedMs += 50) {
      if (look()) return;
      await this.clock.advance(50);
      for (let n = 0; n < 4; n++) await turn();
    }
    const seen = Array.from(this.nodes.values(), ({ peerId, log }) => ({ peerId, ...log.status() }));
    throw new Error(`not within ${withinMs} ms: ${what}\n${JSON.stringify(seen, null, 1)}`);
  }

  /** What becomes of it as time goes on. */
  async settled<T>(work: Promise<T>): Promise<T> {
    let done = false;
    const end = (): void => {
      done = true;
    };
    work.then(end, end);
    await this.until('an answer', () => done);
    return work;
  }

  async end(): Promise<void> {
    for (const node of [...this.nodes.values()]) await this.stop(node);
  }
}
