// A leader's work. It lasts as long as the role: what a deposed leader knew of followers and reads is gone with it.
import type { Command } from '../state/command.ts';
import { type ChangeRefusal, changed, type MembershipChange, type PlacedConfiguration } from './configuration.ts';
import type { MessageOf, VoterId } from './message.ts';
import { Reads } from './reads.ts';
import type { Replica } from './replica.ts';
import { Replication, type SizeOf } from './replication.ts';

export type ChangeResult =
  | { readonly ok: true; readonly index: number }
  | { readonly ok: false; readonly reason: ChangeRefusal };

export class Leader {
  readonly #replica: Replica;
  readonly replication: Replication;
  readonly #reads = new Reads();
  #heartbeatTicks = 0;
  #quorumTicks = 0;
  #transfer: { readonly to: VoterId; ticks: number } | undefined;
  #inForce: PlacedConfiguration | undefined;
  #isInForceCommitted = false;

  constructor(replica: Replica, sizeOf: SizeOf) {
    this.#replica = replica;
    this.replication = new Replication(replica, sizeOf);
    this.#followConfiguration();
    replica.appendOwn({ kind: 'noop' });
  }

  /** @returns whether it may go on leading: a majority was heard from within the last election timeout (check-quorum). */
  tick(): boolean {
    const { electionTicks, heartbeatTicks } = this.#replica.options;
    if (this.#transfer !== undefined && ++this.#transfer.ticks >= electionTicks) this.#transfer = undefined;
    if (++this.#heartbeatTicks >= heartbeatTicks) this.#heartbeat();
    if (++this.#quorumTicks < electionTicks) return true;
    this.#quorumTicks = 0;
    return this.replication.takeQuorumActive();
  }

  /** Undefined while it hands over. */
  propose(data: Command): number | undefined {
    if (this.#transfer !== undefined) return undefined;
    const index = this.#replica.appendOwn({ kind: 'command', data });
    this.replication.touch();
    return index;
  }

  // Membership (dissertation, 4.1 to 4.3)

  change(change: MembershipChange, data: Command | null): ChangeResult {
    const reason = this.#whyNot(change);
    if (reason !== undefined) return { ok: false, reason };
    const { log } = this.#replica;
    const configuration = changed(log.configurations.newest.configuration, change, log.lastIndex + 1);
    if (typeof configuration === 'string') return { ok: false, reason: configuration };
    return { ok: true, index: this.#replica.appendOwn({ kind: 'configuration', configuration, data }) };
  }

  #whyNot(change: MembershipChange): ChangeRefusal | undefined {
    const { log, hasCommittedInTerm } = this.#replica;
    if (this.#transfer !== undefined) return 'transferring';
    // Without this an earlier leader's uncommitted change and this one could both come into force (Ongaro, 2015).
    if (!hasCommittedInTerm) return 'term-not-committed';
    if (log.configurations.newest.index > log.applied) return 'change-under-way';
    if (change.kind === 'promote' && change.voterIds.some((id) => this.#lags(id))) return 'not-caught-up';
    return undefined;
  }

  /** A learner that lags would be a voter that holds up commitment. One that is none is refused for that. */
  #lags(learner: VoterId): boolean {
    const other = this.replication.of(learner);
    if (other === undefined) return false;
    return other.state !== 'replicate' || other.match + this.#replica.options.batchMax < this.#replica.log.committed;
  }

  // Leadership transfer (dissertation, 3.10)

  get isTransferring(): boolean {
    return this.#transfer !== undefined;
  }

  /** @returns false where `to` is no other voter. */
  transferTo(to: VoterId): boolean {
    if (!this.#replica.voters.includes(to) || this.replication.of(to) === undefined) return false;
    if (this.#transfer?.to !== to) this.#transfer = { to, ticks: 0 };
    this.replication.touch();
    this.#handOver(to);
    return true;
  }

  #handOver(voter: VoterId): void {
    if (this.#transfer?.to !== voter || this.replication.of(voter)?.match !== this.#replica.log.lastIndex) return;
    this.#replica.send(voter, { kind: 'timeout-now' });
  }

  // Reads

  readIndex(context: number): void {
    const { committed } = this.#replica.log;
    // Before it has committed in its own term a leader does not know what was committed before it (section 8).
    if (!this.#replica.hasCommittedInTerm) this.#reads.addEarly(context);
    else if (this.#replica.isSoleVoter) this.#replica.answerRead({ context, index: committed });
    else this.#reads.add({ context, index: committed });
  }

  #confirmReads(): void {
    const round = this.replication.quorumRound(this.#reads.round);
    for (const read of this.#reads.takeConfirmed(round)) this.#replica.answerRead(read);
  }

  // Followers' answers

  onAppendAnswer(message: MessageOf<'append.answer'>): void {
    const other = this.replication.of(message.from);
    if (other === undefined) return;
    this.replication.onAppendAnswer(other, message);
    this.#commitByQuorum();
    this.#handOver(message.from);
  }

  onHeartbeatAnswer(message: MessageOf<'heartbeat.answer'>): void {
    const other = this.replication.of(message.from);
    // A round that has not begun cannot have been answered.
    if (other === undefined || message.round > this.#reads.round) return;
    this.replication.onHeartbeatAnswer(other, message.round);
    this.#confirmReads();
    this.#handOver(message.from);
  }

  onUnreachable(voter: VoterId): void {
    this.replication.of(voter)?.onUnreachable();
  }

  onSnapshotSent(voter: VoterId, index: number | undefined): void {
    const other = this.replication.of(voter);
    if (other === undefined) return;
    other.onSnapshotSent(index);
    other.isDue = true;
  }

  /** More of the log is on this node's own disk; a configuration may have come into force with it. */
  onPersisted(): void {
    this.#followConfiguration();
    this.#commitByQuorum();
  }

  #commitByQuorum(): void {
    const { log, term } = this.#replica;
    const reached = this.replication.quorumMatch;
    // Only entries of the own term are committed by counting; earlier ones follow from them (figure 8).
    if (log.term(reached) !== term || !log.commitTo(reached)) return;
    this.#followConfiguration();
    this.replication.touch();
    for (const context of this.#reads.takeEarly()) this.readIndex(context);
  }

  #followConfiguration(): void {
    const { inForce, log } = this.#replica;
    const isCommitted = inForce.index <= log.committed;
    if (inForce === this.#inForce && isCommitted === this.#isInForceCommitted) return;
    this.#inForce = inForce;
    this.#isInForceCommitted = isCommitted;
    this.replication.reconcile();
    this.replication.touch();
    if (this.#transfer !== undefined && !this.#replica.voters.includes(this.#transfer.to)) this.#transfer = undefined;
    this.#confirmReads();
  }

  /** Removed by an entry that has committed: nothing is left to do (dissertation, 4.2.2). */
  get isDone(): boolean {
    const { inForce, log } = this.#replica;
    return inForce.index <= log.committed && !inForce.configuration.voters.includes(this.#replica.id);
  }

  #heartbeat(): void {
    this.#heartbeatTicks = 0;
    if (this.#reads.needsRound) this.#reads.beginRound();
    this.replication.heartbeat(this.#reads.round);
  }

  /** Says what has become due since the last time. */
  flush(): void {
    this.replication.flush();
    if (this.#reads.needsRound) this.#heartbeat();
  }
}
