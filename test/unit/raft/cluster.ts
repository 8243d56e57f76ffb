// Raft cores joined by a network and disks that a case or dice drive by hand: the shell at its simplest. What a crash
// leaves is what was synced; messages lie under way until someone delivers them.
import type { EpochId } from '../../../protocol/ids.ts';
import type {
  Configuration,
  Entry,
  Envelope,
  Message,
  SnapshotPlace,
  VoterId,
} from '../../../protocol/raft/message.ts';
import { Raft } from '../../../protocol/raft/raft.ts';
import type { ReadState, Ready } from '../../../protocol/raft/ready.ts';
import type { RaftOptions } from '../../../protocol/raft/replica.ts';
import type { Random } from '../../../protocol/random.ts';
import { type Disk, lastOf } from './disk.ts';
import { Invariants } from './invariants.ts';

export const epochId = 'e'.repeat(32) as EpochId;

export type Settings = Omit<RaftOptions, 'epochId' | 'id' | 'hardState' | 'appliedIndex' | 'configuration'>;

export const defaultSettings: Settings = {
  electionTicks: 10,
  heartbeatTicks: 1,
  batchMax: 100,
  batchMaxBytes: 1_000,
  inflightMax: 100,
  inflightMaxBytes: 10_000,
  recentMax: 0,
};

/** A command counts as many bytes as its label has letters, anything else one. */
const sizeOf = (entry: Entry): number =>
  entry.kind === 'command' && entry.data.kind === 'job.dropped' ? entry.data.jobId.length : 1;

export class Node {
  readonly id: VoterId;
  readonly #cluster: Cluster;
  /** As of index 0. */
  readonly initial: Configuration;
  disk: Disk = { hardState: { term: 0, vote: 0, commit: 0 }, base: { index: 0, term: 0 }, entries: [], applied: 0 };
  /** Undefined while it is down. */
  raft: Raft | undefined;
  applied = 0;
  unsynced: { readonly ready: Ready; readonly applied: number }[] = [];
  /** What may wait for the next sync, and is lost by a crash before that. */
  #lazy: Partial<Pick<Disk, 'hardState' | 'applied'>> = {};
  reads: ReadState[] = [];
  snapshotsDue: Envelope[] = [];
  /** Its disk syncs only when told to. */
  isSlow = false;

  constructor(cluster: Cluster, id: VoterId, initial: Configuration) {
    this.#cluster = cluster;
    this.id = id;
    this.initial = initial;
  }

  start(): void {
    const { disk } = this;
    const log = {
      get lastIndex() {
        return lastOf(disk);
      },
      term: (index: number) =>
        index === disk.base.index ? disk.base.term : disk.entries[index - disk.base.index - 1]?.term,
      entry: (index: number) => disk.entries[index - disk.base.index - 1],
    };
    this.applied = disk.applied;
    this.raft = new Raft(
      { log, random: this.#cluster.random, sizeOf },
      {
        ...this.#cluster.settings,
        epochId,
        id: this.id,
        hardState: disk.hardState,
        appliedIndex: disk.applied,
        configuration: this.configurationAt(disk.applied),
      },
    );
  }

  /** What the rows of a real node would say. */
  configurationAt(index: number): Configuration {
    const changes = this.#cluster.invariants.agreed.slice(0, index).filter((entry) => entry.kind === 'configuration');
    return changes.at(-1)?.configuration ?? this.initial;
  }

  crash(): void {
    this.raft = undefined;
    this.unsynced = [];
    this.#lazy = {};
    this.reads = [];
    this.snapshotsDue = [];
  }

  /** Takes every Ready; what may go at once goes. */
  collect(): void {
    for (let ready = this.raft?.ready(); ready !== undefined; ready = this.raft?.ready()) {
      this.#cluster.say(ready.messages);
      if (ready.snapshot !== undefined) this.applied = ready.snapshot.index;
      for (const entry of ready.committed) {
        this.#cluster.invariants.onApplied(this, entry);
        this.applied = entry.index;
      }
      this.reads.push(...ready.reads);
      this.snapshotsDue.push(...ready.snapshotsDue);
      this.unsynced.push({ ready, applied: this.applied });
    }
  }

  /** Persists the oldest Ready that is not yet; what was owed until then goes. */
  syncOne(): void {
    const oldest = this.unsynced.shift();
    if (oldest === undefined || this.raft === undefined) return;
    const { ready, applied } = oldest;
    this.#lazy = { ...this.#lazy, ...(ready.hardState && { hardState: ready.hardState }), applied };
    if (ready.mustSync) {
      this.persist(ready);
      this.#flush();
    }
    this.raft.advance(ready);
    this.#cluster.say(ready.messagesAfterSync);
  }

  #flush(): void {
    Object.assign(this.disk, this.#lazy);
    this.#lazy = {};
  }

  persist({ snapshot, entries }: Ready): void {
    const { disk } = this;
    if (snapshot !== undefined) {
      disk.entries = snapshot.keepsTail ? disk.entries.filter((entry) => entry.index > snapshot.index) : [];
      disk.base = { index: snapshot.index, term: snapshot.term };
    }
    const first = entries[0]?.index;
    if (first !== undefined) disk.entries = [...disk.entries.slice(0, first - disk.base.index - 1), ...entries];
  }

  compact(index: number): void {
    const { disk } = this;
    this.#flush();
    if (index <= disk.base.index || index > disk.applied) return;
    const term = disk.entries[index - disk.base.index - 1]?.term ?? 0;
    disk.entries = disk.entries.filter((entry) => entry.index > index);
    disk.base = { index, term };
  }

  /** A snapshot of what is applied, or of what was at an earlier index. */
  placeAt(index = this.applied): SnapshotPlace {
    const term = this.#cluster.invariants.agreed[index - 1]?.term ?? 0;
    return { index, term, configuration: this.configurationAt(index) };
  }
}

export interface Flight {
  readonly message: Message;
  /** Delayed until it is released. */
  isHeld: boolean;
}

export class Cluster {
  readonly random: Random;
  readonly settings: Settings;
  readonly nodes = new Map<VoterId, Node>();
  readonly invariants = new Invariants(this);
  flights: Flight[] = [];
  /** Directions in which nothing passes: `1->2`. */
  readonly cuts = new Set<string>();

  constructor(random: Random, settings: Partial<Settings> = {}) {
    this.random = random;
    this.settings = { ...defaultSettings, ...settings };
  }

  add(id: VoterId, initial: Configuration): Node {
    const node = new Node(this, id, initial);
    this.nodes.set(id, node);
    node.start();
    return node;
  }

  at(id: VoterId): Node {
    const node = this.nodes.get(id);
    if (node === undefined) throw new Error(`there is no node ${id}`);
    return node;
  }

  passes({ from, to }: Envelope): boolean {
    return !this.cuts.has(`${from}->${to}`);
  }

  /** What is said into a cut is lost; what was under way before waits there. */
  say(messages: readonly Message[]): void {
    for (const message of messages) {
      this.invariants.onSaid(message);
      if (this.passes(message)) this.flights.push({ message, isHeld: false });
    }
  }

  deliver(flight: Flight): void {
    this.flights = this.flights.filter((one) => one !== flight);
    this.nodes.get(flight.message.to)?.raft?.step(flight.message);
  }

  /** Every node does what is due, but slow disks sync nothing. */
  work(): void {
    for (const node of this.nodes.values()) {
      node.collect();
      while (!node.isSlow && node.unsynced.length > 0) {
        node.syncOne();
        node.collect();
      }
    }
  }

  /** Everything that passes is delivered, in order, until nothing is left. */
  settle(): void {
    for (let turns = 0; turns < 50_000; turns++) {
      this.work();
      const next = this.flights.find((flight) => !flight.isHeld && this.passes(flight.message));
      if (next === undefined) return;
      this.deliver(next);
    }
    throw new Error('the nodes never stop talking');
  }
}
