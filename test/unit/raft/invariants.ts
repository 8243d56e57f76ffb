// What must hold at every moment, whatever happened (figure 3 of the paper), and of what is said.
import * as assert from 'uvu/assert';
import type { Configuration, Entry, Message, VoterId } from '../../../protocol/raft/message.ts';
import type { Cluster, Node } from './cluster.ts';
import { holds, lastOf } from './disk.ts';

export class Invariants {
  readonly #cluster: Cluster;
  /** What was applied first, in order: what all must apply. */
  readonly agreed: Entry[] = [];
  /** The highest index that anyone ever took for committed. */
  committed = 0;
  readonly #leaders = new Map<number, VoterId>();
  readonly #votes = new Map<string, VoterId>();
  readonly #terms = new Map<VoterId, number>();
  readonly #reads = new Map<number, number>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** State machine safety; and what is applied lies on the disks of a majority. */
  onApplied(node: Node, entry: Entry): void {
    assert.is(entry.index, node.applied + 1, `node ${node.id} applies in order`);
    const agreed = this.agreed[entry.index - 1];
    if (agreed !== undefined) {
      assert.equal(entry, agreed, `node ${node.id} applies at ${entry.index} what others did`);
      return;
    }
    assert.is(entry.index, this.agreed.length + 1);
    assert.ok(holds(node.disk, entry), `node ${node.id} has entry ${entry.index} on its own disk before it applies it`);
    const held = this.#configurations(node).some(({ voters }) => this.#isOnMajority(voters, entry));
    assert.ok(held, `entry ${entry.index} of term ${entry.term} is on a majority's disks`);
    this.agreed.push(entry);
  }

  #configurations(node: Node): Configuration[] {
    const inForce = [...this.#cluster.nodes.values()].flatMap((one) => one.raft?.configuration ?? []);
    return [node.configurationAt(this.agreed.length), ...inForce];
  }

  #isOnMajority(voters: readonly VoterId[], entry: Entry): boolean {
    const holders = voters.filter((voter) => {
      const disk = this.#cluster.nodes.get(voter)?.disk;
      return disk !== undefined && holds(disk, entry);
    });
    return holders.length * 2 > voters.length;
  }

  /** An answer that a crash could unsay does not leave. */
  onSaid(message: Message): void {
    const { disk } = this.#cluster.at(message.from);
    if (message.kind === 'vote' || (message.kind === 'vote.answer' && message.granted)) {
      const candidate = message.kind === 'vote' ? message.from : message.to;
      assert.equal(
        [disk.hardState.term, disk.hardState.vote],
        [message.term, candidate],
        `the vote of ${message.from} in term ${message.term} is on its disk before it is told`,
      );
      const key = `${message.from}@${message.term}`;
      assert.is(this.#votes.get(key) ?? candidate, candidate, `${message.from} votes once in term ${message.term}`);
      this.#votes.set(key, candidate);
    }
    if (message.kind === 'append.answer' || message.kind === 'heartbeat.answer') {
      assert.ok(disk.hardState.term >= message.term, `${message.from} keeps term ${message.term} before it answers`);
    }
    if (message.kind === 'append.answer' && message.ok) {
      const { from, matchIndex } = message;
      assert.ok(lastOf(disk) >= matchIndex, `${from} has entry ${matchIndex} on its disk before it says so`);
    }
  }

  onReadAsked(context: number): void {
    this.#reads.set(context, this.committed);
  }

  /** Linearizable: a read sees all that anyone took for committed when it was asked. */
  onReadAnswered(context: number, index: number): void {
    const least = this.#reads.get(context) ?? 0;
    assert.ok(index >= least, `read ${context} at ${index} misses entry ${least}`);
  }

  /** After each step. */
  check(): void {
    for (const { id, raft, disk } of this.#cluster.nodes.values()) {
      if (raft === undefined) continue;
      this.committed = Math.max(this.committed, raft.commitIndex);
      assert.ok(raft.term >= (this.#terms.get(id) ?? 0), `the term of ${id} never falls`);
      this.#terms.set(id, disk.hardState.term);
      if (raft.state !== 'leader') continue;
      const known = this.#leaders.get(raft.term);
      assert.is(known ?? id, id, `one leader in term ${raft.term}`);
      if (known === undefined) this.#onElected(this.#cluster.at(id), raft.term);
    }
  }

  /** Leader completeness. */
  #onElected(node: Node, term: number): void {
    this.#leaders.set(term, node.id);
    for (const entry of this.agreed) {
      if (entry.term < term) assert.ok(holds(node.disk, entry), `leader ${node.id} of term ${term} has ${entry.index}`);
    }
  }

  /** Log matching: where two logs have an entry of one index and term, they are the same up to there. Dear: not each step. */
  checkLogs(): void {
    const nodes = [...this.#cluster.nodes.values()];
    for (const [n, a] of nodes.entries()) for (const b of nodes.slice(n + 1)) checkMatching(a, b);
  }
}

function checkMatching(a: Node, b: Node): void {
  const from = Math.max(a.disk.base.index, b.disk.base.index) + 1;
  const of = (node: Node, index: number) => node.disk.entries[index - node.disk.base.index - 1];
  let matches = false;
  for (let index = Math.min(lastOf(a.disk), lastOf(b.disk)); index >= from; index--) {
    const [one, other] = [of(a, index), of(b, index)];
    matches ||= one?.term === other?.term;
    if (matches) assert.equal(one, other, `the logs of ${a.id} and ${b.id} match at ${index}`);
  }
}
