// A leader's followers: what is sent to each, what a quorum of them holds (section 5.3, 5.4.2).
import type { Entry, MessageOf, VoterId } from './message.ts';
import { Progress } from './progress.ts';
import { majorityReached } from './quorum.ts';
import type { Replica } from './replica.ts';

export type SizeOf = (entry: Entry) => number;

export class Replication {
  readonly #replica: Replica;
  readonly #sizeOf: SizeOf;
  readonly #others = new Map<VoterId, Progress>();

  constructor(replica: Replica, sizeOf: SizeOf) {
    this.#replica = replica;
    this.#sizeOf = sizeOf;
  }

  of(voter: VoterId): Progress | undefined {
    return this.#others.get(voter);
  }

  get all(): ReadonlyMap<VoterId, Progress> {
    return this.#others;
  }

  /**
   * Follows the configuration in force. A learner is spoken to once the entry that added it has committed: an id whose
   * entry is lost may yet be another replica's.
   */
  reconcile(): void {
    const { inForce, log, id, options } = this.#replica;
    const { voters, learners } = inForce.configuration;
    const settled = learners.filter((learner) => learner !== inForce.index || learner <= log.committed);
    const members = [...voters, ...settled].filter((member) => member !== id);
    for (const member of this.#others.keys()) if (!members.includes(member)) this.#others.delete(member);
    for (const member of members) {
      if (!this.#others.has(member)) this.#others.set(member, new Progress(log.lastIndex + 1, options));
    }
  }

  /** An append is due to all: there are new entries, or a new commit index. */
  touch(): void {
    for (const other of this.#others.values()) other.isDue = true;
  }

  /** Sends whatever is due, as far as each window allows. */
  flush(): void {
    for (const [voter, other] of this.#others) {
      while (other.isDue && other.maySend) this.#sendNext(voter, other);
    }
  }

  #sendNext(voter: VoterId, other: Progress): void {
    const { log, options } = this.#replica;
    const prevIndex = other.next - 1;
    const prevTerm = log.term(prevIndex);
    const last = Math.min(this.#lastSendable, prevIndex + options.batchMax);
    const available = log.entries(other.next, last + 1);
    if (prevTerm === undefined || available === undefined) {
      other.onSnapshotDue();
      this.#replica.askForSnapshot(voter);
      return;
    }
    const { entries, sizeBytes } = this.#bounded(available);
    this.#replica.send(voter, { kind: 'append', prevIndex, prevTerm, entries, commit: log.committed });
    other.onSent({ lastIndex: prevIndex + entries.length, count: entries.length, sizeBytes });
    other.isDue = other.state === 'replicate' && other.next <= this.#lastSendable;
  }

  /** A configuration leaves only once this node's own disk holds it: before that it is in force nowhere. */
  get #lastSendable(): number {
    const { configurations, stable, lastIndex } = this.#replica.log;
    return (configurations.firstAbove(stable)?.index ?? lastIndex + 1) - 1;
  }

  #bounded(available: readonly Entry[]): { readonly entries: readonly Entry[]; readonly sizeBytes: number } {
    let sizeBytes = 0;
    let count = 0;
    while (count < available.length && sizeBytes < this.#replica.options.batchMaxBytes) {
      sizeBytes += this.#sizeOf(available[count] as Entry);
      count++;
    }
    return { entries: available.slice(0, count), sizeBytes };
  }

  heartbeat(round: number): void {
    const { committed } = this.#replica.log;
    for (const [voter, other] of this.#others) {
      this.#replica.send(voter, { kind: 'heartbeat', commit: Math.min(committed, other.match), round });
    }
  }

  onAppendAnswer(other: Progress, message: MessageOf<'append.answer'>): void {
    const { log } = this.#replica;
    if (message.ok) {
      // A match above the own log cannot be true, and the quorum must not count it.
      if (message.matchIndex > log.lastIndex) return;
      other.onAccepted(message.matchIndex, log.continuesAfter(message.matchIndex));
      other.isDue ||= other.next <= this.#lastSendable;
    } else if (other.onRefused(message.prevIndex, log.lastAtMost(message.hintIndex, message.hintTerm))) {
      other.isDue = true;
    }
  }

  onHeartbeatAnswer(other: Progress, round: number): void {
    other.onHeard(round);
    other.isDue ||= other.match < this.#lastSendable;
  }

  /** How far a majority of the voters in force holds the log; this node as far as its own disk does. */
  get quorumMatch(): number {
    return this.#reached((other) => other.match, this.#replica.log.stable);
  }

  /** The latest round that a majority answered. */
  quorumRound(round: number): number {
    return this.#reached((other) => other.round, round);
  }

  /** Whether a majority was heard from since this was asked last. */
  takeQuorumActive(): boolean {
    const active = new Set([...this.#others].filter(([, other]) => other.takeActive()).map(([voter]) => voter));
    return this.#reached((_, voter) => (active.has(voter) ? 1 : 0), 1) === 1;
  }

  #reached(of: (other: Progress, voter: VoterId) => number, own: number): number {
    const { voters, id } = this.#replica;
    return majorityReached(
      voters.map((voter) => {
        const other = this.#others.get(voter);
        if (voter === id) return own;
        return other === undefined ? 0 : of(other, voter);
      }),
    );
  }
}
