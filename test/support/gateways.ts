// Several gateways of one mesh with their blobs, over whichever transport and stores; workers that deliver to them.
import { createHash } from 'node:crypto';
import { Copies } from '../../node/blob/copies.ts';
import { Fetcher } from '../../node/blob/fetch.ts';
import { type GatewayPeers, othersOf } from '../../node/blob/gateways.ts';
import { MemoryBlobStore } from '../../node/blob/memory.ts';
import { MeshBlobs } from '../../node/blob/mesh-blobs.ts';
import type { BlobStore } from '../../node/blob/port.ts';
import { Restorer } from '../../node/blob/restore.ts';
import { BlobServer } from '../../node/blob/transfer.ts';
import { seededRandom } from '../../node/clock.ts';
import { silentLog } from '../../node/log.ts';
import { MemoryTransport } from '../../node/transport/memory.ts';
import { MemoryNetwork } from '../../node/transport/memory-network.ts';
import type { Admission, CallOptions, Channel, Handler, Transport } from '../../node/transport/port.ts';
import type { MeshId, PeerId, Sha256 } from '../../protocol/ids.ts';
import type { RowKey } from '../../protocol/state/rows.ts';
import type { Clock } from '../../protocol/time.ts';
import { ManualClock } from './manual-clock.ts';

export const MESH = 'ab'.repeat(16) as MeshId;
const random = seededRandom('gateways');

export const hashOf = (bytes: Uint8Array): Sha256 => createHash('sha256').update(bytes).digest('hex') as Sha256;

export interface Call {
  readonly from: PeerId;
  readonly method: string;
}

/** A member: its store, what it asks of others, and what it answers. */
export class BlobNode {
  readonly self: PeerId;
  readonly transport: Transport;
  readonly fetcher: Fetcher;
  readonly blobs: MeshBlobs;
  readonly copies: Copies;
  readonly restorer: Restorer;
  readonly gateways: GatewayPeers;
  /** What it was asked, in order. */
  readonly asked: Call[] = [];
  /** What a test puts in the way of an answer. */
  onCall: (call: Call, body: Uint8Array, answer: () => Promise<Uint8Array>) => Promise<Uint8Array> = (_, __, answer) =>
    answer();
  readonly #newStore: () => BlobStore;
  store: BlobStore;

  constructor(bed: GatewayBed, transport: Transport, role: 'gateway' | 'worker') {
    const { clock } = bed;
    this.self = transport.self;
    this.transport = transport;
    this.#newStore = () => bed.newStore(transport.self);
    this.store = this.#newStore();
    const { self } = this;
    const all = (): readonly PeerId[] => bed.gateways.map((gateway) => gateway.self);
    const connected = () => all().filter((peer) => peer === self || transport.connected().includes(peer));
    this.gateways = { connected, anyAway: () => connected().length < all().length };
    // The store may be replaced under a running node.
    const store = new Proxy({} as BlobStore, {
      get: (_, name) => {
        const member = this.store[name as keyof BlobStore];
        return typeof member === 'function' ? member.bind(this.store) : member;
      },
    });
    this.fetcher = new Fetcher({ transport, store });
    const parts = { transport, store, fetcher: this.fetcher, gateways: this.gateways, clock, out: silentLog };
    this.blobs = new MeshBlobs(parts);
    this.copies = new Copies(parts);
    const { scan } = bed;
    this.restorer = new Restorer({ ...parts, scan, lists: this.blobs, random });
    const watched = {
      handle: (channel: Channel, method: string, handler: Handler): void =>
        transport.handle(channel, method, (from, body) => {
          const call = { from, method };
          this.asked.push(call);
          return this.onCall(call, body, () => handler(from, body));
        }),
    } as Transport;
    const gateway = role === 'gateway';
    new BlobServer({ ...parts, transport: watched, ...(gateway && { copies: this.copies }) }, { gateway }).start();
  }

  async start(): Promise<void> {
    await this.store.start();
    await this.transport.start();
  }

  /** Its disk was replaced. */
  async emptied(): Promise<void> {
    this.store = this.#newStore();
    await this.store.start();
  }

  async keep(content: string | Uint8Array): Promise<Sha256> {
    const source = async function* (): AsyncGenerator<Uint8Array> {
      yield typeof content === 'string' ? Buffer.from(content) : content;
    };
    return (await this.store.put(source(), {})).sha256;
  }

  /** Those of these that are on its disk. */
  async held(...blobs: readonly Sha256[]): Promise<number> {
    let held = 0;
    for (const sha256 of blobs) if ((await this.store.stat(sha256)) !== undefined) held++;
    return held;
  }

  /** How often it was asked so. */
  times(method: string): number {
    return this.asked.filter((call) => call.method === method).length;
  }

  get others(): readonly PeerId[] {
    return othersOf(this.gateways, this.self);
  }

  call(
    to: PeerId,
    method: string,
    body: Uint8Array,
    options: CallOptions = { timeoutMs: 30_000 },
  ): Promise<Uint8Array> {
    return this.transport.call(to, 'blob', method, body, options);
  }
}

export class GatewayBed implements AsyncDisposable {
  readonly clock: Clock;
  readonly rows = new Map<string, unknown>();
  readonly gateways: BlobNode[] = [];
  readonly #nodes: BlobNode[] = [];
  readonly #members = new Set<PeerId>();
  readonly admission: Admission = {
    isMember: (peer) => this.#members.has(peer),
    isGateway: (peer) => this.gateways.some(({ self }) => self === peer),
    isObserver: () => false,
    joinable: () => false,
  };
  readonly scan: <Row>(prefix: string) => AsyncIterable<readonly [RowKey<Row>, Row]>;

  /** An empty one for a node that starts, or whose disk was replaced. */
  readonly newStore: (self: PeerId) => BlobStore;

  constructor(clock: Clock, newStore: (self: PeerId) => BlobStore) {
    this.clock = clock;
    this.newStore = newStore;
    const { rows } = this;
    this.scan = async function* <Row>(prefix: string) {
      for (const [key, row] of rows) if (key.startsWith(prefix)) yield [key as RowKey<Row>, row as Row] as const;
    };
  }

  /** A member that is started and connected to all that were there. */
  async add(role: 'gateway' | 'worker', transport: Transport): Promise<BlobNode> {
    const node = new BlobNode(this, transport, role);
    this.#members.add(node.self);
    if (role === 'gateway') this.gateways.push(node);
    await node.start();
    for (const other of this.#nodes) await this.connect(node, other);
    this.#nodes.push(node);
    return node;
  }

  async connect(node: BlobNode, other: BlobNode): Promise<void> {
    for (const address of other.transport.addresses()) await node.transport.dial(address, { timeoutMs: 10_000 });
  }

  /** A job whose input these are. */
  name(...blobs: readonly Sha256[]): void {
    const inputs = blobs.map((sha256, n) => ({ path: String(n), sha256 }));
    this.rows.set(`job/${this.rows.size}`, { spec: { schema: 'skein.jobspec/1', inputs } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { transport } of this.#nodes) await transport.stop();
  }
}

/** The same in one process, under a clock that tests move. */
export class MemoryBed extends GatewayBed {
  override readonly clock: ManualClock;
  readonly network: MemoryNetwork;

  constructor() {
    const clock = new ManualClock();
    super(clock, () => new MemoryBlobStore({ clock }));
    this.clock = clock;
    this.network = new MemoryNetwork({ clock, random });
  }

  gateway(name: string): Promise<BlobNode> {
    return this.add('gateway', this.transportOf(name));
  }

  worker(name: string): Promise<BlobNode> {
    return this.add('worker', this.transportOf(name));
  }

  transportOf(name: string): MemoryTransport {
    const { network, admission, clock } = this;
    const verifier = { verify: () => true } as never;
    const parts = { network, self: name as PeerId, admission, verifier, clock, random, log: silentLog };
    return new MemoryTransport(parts, { meshId: MESH, dialOutOnly: false });
  }

  /** Moves the clock until the work is done. */
  async awaited<T>(work: Promise<T>, stepMs = 100): Promise<T> {
    let over = false;
    const settled = work.finally(() => {
      over = true;
    });
    settled.catch(() => undefined); // told below
    while (!over) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      if (!over) await this.clock.advance(stepMs);
    }
    return settled;
  }
}
