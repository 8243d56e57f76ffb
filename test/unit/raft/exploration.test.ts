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
const STEPS = 2_000;
const NODES_MAX = 9;
const VOTERS_MAX = 5;

/** How often each thing that hurts happened: a storm in which nothing does proves nothing. */
const happened = new Map<string, number>();
const count = (what: string, times = 1): void => void happened.set(what, (happened.get(what) ?? 0) + times);

class Storm {
  readonly #random: Random;
  readonly #cluster: Cluster;
  readonly #initial: Configuration;
  /** Configuration entries of which it is known who was added. */
  #known = 0;
  #n = 0;
  #isStormy = true;

  constructor(seed: string) {
    this.#random = seededRandom(seed);
    this.#cluster = new Cluster(this.#random.fork('cores'), {
      heartbeatTicks: 2,
      batchMax: 4,
      batchMaxBytes: 12,
      inflightMax: 4,
      inflightMaxBytes: 30,
      recentMax: this.#pick([0, 0, 3]),
    });
    const size = this.#pick([1, 1, 3, 3, 3, 5]);
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
      this.#act(node, this.#random.next() * 1_000);
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

  #act(node: Node, dice: number): void {
    const { raft } = node;
    const { nodes, cuts } = this.#cluster;
    if (raft === undefined) {
      if (dice < 200) node.start();
    } else if (dice < 250) raft.tick();
    else if (dice < 540) this.#some(() => this.#deliverOne());
    else if (dice < 800) this.#some(() => node.syncOne());
    else if (dice < 850) raft.propose(command(`c${this.#n++}`));
    else if (dice < 880) this.#read(node);
    else if (dice < 962) this.#changeMembership(node);
    else if (dice < 965) this.#crash(node);
    else if (dice < 975) node.compact(node.disk.applied - between(this.#random, 0, 5));
    else if (dice < 985) this.#sendSnapshot(node);
    else if (dice < 988) this.#happens('transfers', raft.transferTo(this.#pick([...nodes.keys()])));
    else if (dice < 991) raft.onUnreachable(this.#pick([...nodes.keys()]));
    else if (dice < 993) cuts.add(`${node.id}->${this.#pick([...nodes.keys()])}`);
    else if (dice < 994.5) for (const id of nodes.keys()) cuts.add(`${node.id}->${id}`).add(`${id}->${node.id}`);
    else cuts.clear();
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
    // Mostly in order; one in ten is lost, one in ten comes again.
    const at = this.#random.next() < 0.7 ? 0 : between(this.#random, 0, flights.length - 1);
    const flight = flights[at] as Flight;
    const dice = this.#random.next();
    if (dice < 0.1 || !this.#cluster.passes(flight.message)) {
      flights.splice(at, 1);
      return;
    }
    if (flight.message.kind === 'snapshot') count('snapshots');
    if (flight.message.kind === 'not-member') count('removed members told');
    this.#cluster.deliver(flight);
    if (dice > 0.9) this.#cluster.flights.push({ ...flight });
    this.#cluster.nodes.get(flight.message.to)?.collect();
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

  #changeMembership({ raft }: Node): void {
    // Below that index ids are those of the first voters.
    if (raft?.state !== 'leader' || raft.lastIndex < VOTERS_MAX) return;
    const { voters, learners } = raft.configuration;
    const dice = this.#random.next();
    const some = this.#pick([...voters, ...learners]);
    let change: MembershipChange = { kind: 'remove', voterId: some };
    if (dice < 0.3 && this.#cluster.nodes.size < NODES_MAX) change = { kind: 'add-learner' };
    else if (voters.length === 1 && learners.length > 1) change = { kind: 'promote', voterIds: learners.slice(0, 2) };
    else if (dice < 0.9 && learners.length > 0 && voters.length < VOTERS_MAX) {
      change = { kind: 'promote', voterIds: learners.slice(0, 1) };
    }
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

  #sendSnapshot(node: Node): void {
    const due = node.snapshotsDue.shift();
    if (due === undefined) return;
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
    'changes: promote 2',
    'changes: remove',
    'term-not-committed',
    'change-under-way',
  ]) {
    assert.ok((happened.get(what) ?? 0) > 0, `${what} happened`);
  }
});

test.run();
