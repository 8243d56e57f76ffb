// Seeded storms over the core alone: messages lost, doubled and reordered, one-way cuts, disks that lag, crashes that lose
// what was not synced, members that come and go, transfers, compaction, snapshots. The invariants are checked all along.
// A failing seed replays exactly: SEED=n node test/unit/raft/exploration.test.ts; SEEDS=n runs that many.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { seededRandom } from '../../../node/clock.ts';
import type { MembershipChange } from '../../../protocol/raft/configuration.ts';
import type { Configuration, VoterId } from '../../../protocol/raft/message.ts';
import { between, type Random } from '../../../protocol/random.ts';
import { Cluster, type Flight, type Node } from './cluster.ts';
import { command } from './notation.ts';

const SEEDS = Number(process.env.SEEDS ?? 60);
const STEPS = 4_000;
const NODES_MAX = 9;
const VOTERS_MAX = 5;

/** How often each thing that hurts happened: a storm in which nothing does proves nothing. */
const happened = new Map<string, number>();
const count = (what: string, times = 1): void => void happened.set(what, (happened.get(what) ?? 0) + times);

/** How likely each thing is, per step; every storm draws its own, so that some have much of one thing and none of another. */
const usual = {
  tick: 150,
  deliver: 400,
  sync: 300,
  propose: 25,
  read: 20,
  change: 40,
  crash: 4,
  compact: 8,
  sendSnapshot: 10,
  transfer: 3,
  unreachable: 3,
  cut: 3,
  isolate: 3,
  heal: 8,
};
type Kind = keyof typeof usual;
const varying: readonly Kind[] = [
  'propose',
  'read',
  'change',
  'crash',
  'compact',
  'transfer',
  'unreachable',
  'cut',
  'isolate',
];

class Storm {
  readonly #random: Random;
  readonly #cluster: Cluster;
  readonly #initial: Configuration;
  readonly #weights: Record<Kind, number>;
  readonly #lossRate: number;
  readonly #doubleRate: number;
  readonly #disorderRate: number;
  /** Configuration entries of which it is known who was added. */
  #known = 0;
  #n = 0;
  #isStormy = true;

  constructor(seed: string) {
    this.#random = seededRandom(seed);
    this.#weights = { ...usual };
    for (const kind of varying) this.#weights[kind] *= this.#pick([0, 1, 1, 4]);
    this.#weights.sync *= this.#pick([0.4, 1]);
    this.#lossRate = this.#pick([0, 0.1, 0.3]);
    this.#doubleRate = this.#pick([0, 0.1, 0.3]);
    this.#disorderRate = this.#pick([0.1, 0.3, 0.7]);
    this.#cluster = new Cluster(this.#random.fork('cores'), {
      electionTicks: this.#pick([3, 5, 10]),
      heartbeatTicks: this.#pick([1, 2]),
      batchMax: this.#pick([1, 4]),
      batchMaxBytes: 12,
      inflightMax: this.#pick([1, 4]),
      inflightMaxBytes: 30,
      recentMax: this.#pick([0, 0, 3]),
    });
    const size = this.#pick([1, 1, 2, 3, 3, 3, 4, 5]);
    const voters = Array.from({ length: size }, (_, n) => n + 1);
    this.#initial = { voters, learners: [] };
    for (const id of voters) this.#join(id);
  }

  #pick<T>(from: readonly T[]): T {
    return from[between(this.#random, 0, from.length - 1)] as T;
  }

  run(): void {
    for (let step = 0; step < STEPS; step++) {
      const node = this.#pick([...this.#cluster.nodes.values()]);
      if (node.raft !== undefined) this.#acts[this.#draw()](node);
      else if (this.#random.next() < 0.2) node.start();
      node.collect();
      this.#spawn();
      for (const { context, index } of node.reads.splice(0)) {
        count('reads');
        this.#cluster.invariants.onReadAnswered(context, index);
      }
      this.#cluster.invariants.check();
      if (step % 50 === 0) this.#cluster.invariants.checkLogs();
    }
    this.#calm();
  }

  #draw(): Kind {
    const kinds = Object.entries(this.#weights) as [Kind, number][];
    let left = this.#random.next() * kinds.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [kind, weight] of kinds) {
      left -= weight;
      if (left < 0) return kind;
    }
    return 'tick';
  }

  readonly #acts: Readonly<Record<Kind, (node: Node) => void>> = {
    tick: (node) => node.raft?.tick(),
    deliver: () => this.#some(() => this.#deliverOne()),
    sync: (node) => this.#some(() => node.syncOne()),
    propose: () => this.#propose(this.#anyLeader),
    read: (node) => this.#read(this.#leaderOr(node)),
    change: () => this.#changeMembership(this.#anyLeader),
    crash: (node) => this.#crash(this.#leaderOr(node)),
    compact: (node) => node.compact(node.disk.applied - between(this.#random, 0, 5)),
    sendSnapshot: () =>
      this.#sendSnapshot([...this.#cluster.nodes.values()].find((one) => one.snapshotsDue.length > 0)),
    transfer: () => this.#happens('transfers', this.#anyLeader?.raft?.transferTo(this.#anyId) ?? false),
    unreachable: (node) => node.raft?.onUnreachable(this.#anyId),
    cut: (node) => void this.#cluster.cuts.add(`${node.id}->${this.#anyId}`),
    isolate: (node) => this.#isolate(this.#leaderOr(node)),
    heal: () => this.#cluster.cuts.clear(),
  };

  get #anyId(): VoterId {
    return this.#pick([...this.#cluster.nodes.keys()]);
  }

  /** There may be several, of different terms. */
  get #anyLeader(): Node | undefined {
    const leaders = [...this.#cluster.nodes.values()].filter((node) => node.raft?.state === 'leader');
    return leaders.length === 0 ? undefined : this.#pick(leaders);
  }

  /** What befalls a leader shows more. */
  #leaderOr(node: Node): Node {
    return this.#random.next() < 0.5 ? (this.#anyLeader ?? node) : node;
  }

  /** Alone, or with one other. */
  #isolate({ id }: Node): void {
    const side = new Set([id, this.#random.next() < 0.5 ? id : this.#anyId]);
    for (const one of side) {
      for (const other of this.#cluster.nodes.keys()) {
        if (!side.has(other)) this.#cluster.cuts.add(`${one}->${other}`).add(`${other}->${one}`);
      }
    }
  }

  #some(act: () => void): void {
    for (let times = between(this.#random, 1, 4); times > 0; times--) act();
  }

  #happens(what: string, did: boolean): void {
    if (did) count(what);
  }

  #deliverOne(): void {
    const { flights } = this.#cluster;
    if (flights.length === 0) return;
    const isInOrder = this.#random.next() >= this.#disorderRate;
    const at = isInOrder ? 0 : between(this.#random, 0, flights.length - 1);
    const flight = flights[at] as Flight;
    // What was said before a cut may still arrive.
    if (this.#random.next() < this.#lossRate) {
      flights.splice(at, 1);
      return;
    }
    if (flight.message.kind === 'snapshot') count('snapshots');
    if (flight.message.kind === 'not-member') count('removed members told');
    this.#cluster.deliver(flight);
    if (this.#random.next() < this.#doubleRate) this.#cluster.flights.push({ ...flight });
    this.#cluster.nodes.get(flight.message.to)?.collect();
  }

  #propose(leader: Node | undefined): void {
    this.#some(() => leader?.raft?.propose(command(`c${this.#n++}`)));
  }

  #read({ raft }: Node): void {
    const context = ++this.#n;
    this.#cluster.invariants.onReadAsked(context);
    raft?.readIndex(context);
  }

  #crash(node: Node): void {
    count('crashes');
    this.#happens(
      'crashes that lose writes',
      node.unsynced.some(({ ready }) => ready.mustSync),
    );
    node.crash();
    if (this.#random.next() < 0.5) node.start();
  }

  #changeMembership(leader: Node | undefined): void {
    const raft = leader?.raft;
    // Below that index ids are those of the first voters.
    if (raft === undefined || raft.lastIndex < VOTERS_MAX) return;
    const { voters, learners } = raft.configuration;
    const ready = raft.followers.filter((one) => one.state === 'replicate' && learners.includes(one.voterId));
    const atOnce = voters.length === 1 ? 2 : 1;
    const voterIds = ready.map((one) => one.voterId).slice(0, atOnce);
    const dice = this.#random.next();
    let change: MembershipChange = { kind: 'add-learner' };
    if (dice < 0.1) change = { kind: 'remove', voterId: this.#pick([...voters, ...learners]) };
    else if (dice < (voterIds.length < atOnce ? 0.2 : 0.8) && voters.length < VOTERS_MAX)
      change = { kind: 'promote', voterIds };
    else if (this.#cluster.nodes.size >= NODES_MAX) return;
    const result = raft.changeMembership(change);
    count(
      result.ok
        ? `changes: ${change.kind}${change.kind === 'promote' ? ` ${change.voterIds.length}` : ''}`
        : result.reason,
    );
  }

  /** Those who were added learn their id once the entry is applied somewhere. */
  #spawn(): void {
    const { agreed } = this.#cluster.invariants;
    for (; this.#known < agreed.length; this.#known++) {
      const entry = agreed[this.#known];
      if (entry?.kind !== 'configuration' || !entry.configuration.learners.includes(entry.index)) continue;
      if (!this.#cluster.nodes.has(entry.index)) this.#join(entry.index);
    }
  }

  #join(id: VoterId): void {
    this.#cluster.add(id, this.#initial).isSlow = this.#isStormy;
  }

  #sendSnapshot(node: Node | undefined): void {
    const due = node?.snapshotsDue.shift();
    if (node === undefined || due === undefined) return;
    const snapshot = node.placeAt();
    this.#cluster.say([{ ...due, kind: 'snapshot', snapshot }]);
    node.raft?.onSnapshotSent(due.to, this.#random.next() < 0.3 ? undefined : snapshot.index);
  }

  /** After the faults stop there is a leader within a bound, and all its members apply the same log. */
  #calm(): void {
    const { nodes, cuts, invariants } = this.#cluster;
    cuts.clear();
    this.#isStormy = false;
    for (const node of nodes.values()) {
      node.isSlow = false;
      if (node.raft === undefined) node.start();
    }
    for (let round = 0; round < 100; round++) {
      for (const node of nodes.values()) node.raft?.tick();
      for (const node of nodes.values()) this.#sendSnapshot(node);
      this.#cluster.settle();
      this.#spawn();
      invariants.check();
    }
    invariants.checkLogs();
    const leaders = [...nodes.values()].filter((node) => node.raft?.state === 'leader');
    assert.is(leaders.length, 1, 'one leader was found');
    const leader = leaders[0] as Node;
    const { voters = [], learners = [] } = leader.raft?.configuration ?? {};
    for (const id of [...voters, ...learners]) {
      assert.is(this.#cluster.at(id).applied, invariants.agreed.length, `member ${id} has applied all`);
    }
    count('entries', invariants.agreed.length);
    count('elections', leader.raft?.term ?? 0);
  }
}

test('one log through loss, reordering, crashes and changes of members', () => {
  const only = process.env.SEED;
  const seeds = only === undefined ? Array.from({ length: SEEDS }, (_, n) => String(n)) : [only];
  for (const seed of seeds) {
    try {
      new Storm(seed).run();
    } catch (error) {
      if (error instanceof Error) error.message = `SEED=${seed}: ${error.message}`;
      throw error;
    }
  }
  if (process.env.SEEDS !== undefined) console.log(Object.fromEntries(happened));
  if (only !== undefined) return;
  for (const what of [
    'entries',
    'elections',
    'reads',
    'crashes that lose writes',
    'snapshots',
    'transfers',
    'removed members told',
    'changes: add-learner',
    'changes: promote 1',
    'changes: remove',
    'term-not-committed',
    'change-under-way',
  ]) {
    assert.ok((happened.get(what) ?? 0) > 0, `${what} happened`);
  }
});

test.run();
