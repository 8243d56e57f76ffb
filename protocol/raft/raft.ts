// The Raft core: a state machine without clock, chance or I/O of its own. The shell hands in ticks, messages and
// proposals and carries out what `ready()` asks. Here are roles and terms; what each role does lies beside this file.
// Section numbers are those of the paper (extended version).
import { between, type Random } from '../random.ts';
import type { Command } from '../state/command.ts';
import type { MembershipChange } from './configuration.ts';
import { answerStale, onAppend, onHeartbeat, onSnapshot } from './follower.ts';
import { type ChangeResult, Leader } from './leader.ts';
import type { LogReader } from './log.ts';
import { type Configuration, type HardState, type Message, type MessageOf, NOBODY, type VoterId } from './message.ts';
import type { ProgressState } from './progress.ts';
import { tally } from './quorum.ts';
import type { Ready } from './ready.ts';
import { type RaftOptions, Replica } from './replica.ts';
import type { SizeOf } from './replication.ts';

type Role =
  | { readonly kind: 'follower'; readonly leader: VoterId }
  | { readonly kind: 'precandidate' | 'candidate'; readonly votes: Map<VoterId, boolean> }
  | { readonly kind: 'leader'; readonly lead: Leader };

export interface RaftCollaborators {
  readonly log: LogReader;
  readonly random: Random;
  /** What an entry counts towards the bounds in bytes. */
  readonly sizeOf: SizeOf;
}

/** What a leader knows of another member. */
export interface FollowerStatus {
  readonly voterId: VoterId;
  readonly match: number;
  readonly state: ProgressState;
}

export class Raft {
  readonly #replica: Replica;
  readonly #random: Random;
  readonly #sizeOf: SizeOf;
  #role: Role = { kind: 'follower', leader: NOBODY };
  #silentTicks = 0;
  #patienceTicks = 0;
  #wasRemoved = false;
  #offeredHardState: HardState;

  constructor({ log, random, sizeOf }: RaftCollaborators, options: RaftOptions) {
    this.#replica = new Replica(log, options);
    this.#random = random;
    this.#sizeOf = sizeOf;
    this.#offeredHardState = this.#replica.hardState;
    this.#becomeFollower(NOBODY);
  }

  get term(): number {
    return this.#replica.term;
  }
  get state(): Role['kind'] {
    return this.#role.kind;
  }
  /** NOBODY while none is known. */
  get leader(): VoterId {
    if (this.#role.kind === 'leader') return this.#replica.id;
    return this.#role.kind === 'follower' ? this.#role.leader : NOBODY;
  }
  get commitIndex(): number {
    return this.#replica.log.committed;
  }
  get lastIndex(): number {
    return this.#replica.log.lastIndex;
  }
  /** Up to here the log is persisted on this node. */
  get stableIndex(): number {
    return this.#replica.log.stable;
  }
  /** The one in force here; it may not be committed. */
  get configuration(): Configuration {
    return this.#replica.inForce.configuration;
  }
  /** This replica was removed for good: it goes on under a new id or not at all. */
  get wasRemoved(): boolean {
    return this.#wasRemoved || this.#replica.isGone(this.#replica.id);
  }
  /** While a leader hands over it takes no proposals. */
  get isTransferring(): boolean {
    return this.#role.kind === 'leader' && this.#role.lead.isTransferring;
  }
  /** Empty where this voter does not lead. */
  get followers(): readonly FollowerStatus[] {
    if (this.#role.kind !== 'leader') return [];
    return Array.from(this.#role.lead.replication.all, ([voterId, { match, state }]) => ({ voterId, match, state }));
  }

  /** One unit of time has passed. */
  tick(): void {
    if (this.#role.kind === 'leader') {
      if (!this.#role.lead.tick()) this.#becomeFollower(NOBODY);
      return;
    }
    this.#silentTicks++;
    if (this.#wasRemoved) return;
    if (!this.#replica.mayCampaign) return this.#learn();
    // A sole voter has nobody to wait for; once it is a candidate it waits for its own disk alone.
    const due = this.#replica.isSoleVoter ? this.#role.kind !== 'candidate' : this.#silentTicks >= this.#patienceTicks;
    if (due) this.#preCampaign();
  }

  /** @returns the entry's index, or undefined where this voter does not lead or hands over. It may still come to nothing. */
  propose(data: Command): number | undefined {
    return this.#role.kind === 'leader' ? this.#role.lead.propose(data) : undefined;
  }

  /** @param data is applied with the change. Like a proposal, one that was taken may still come to nothing. */
  changeMembership(change: MembershipChange, data: Command | null = null): ChangeResult {
    if (this.#role.kind !== 'leader') return { ok: false, reason: 'not-leader' };
    return this.#role.lead.change(change, data);
  }

  /**
   * Hands leadership to a voter once it has the whole log; given up after an election timeout.
   * @returns false where this voter does not lead or `to` is no other voter.
   */
  transferTo(to: VoterId): boolean {
    return this.#role.kind === 'leader' && this.#role.lead.transferTo(to);
  }

  /**
   * Asks for an index that holds everything committed before this call; the answer is in a later Ready's `reads`.
   * @returns false where this voter does not lead. A leader that is deposed forgets its reads: ask again.
   */
  readIndex(context: number): boolean {
    if (this.#role.kind !== 'leader') return false;
    this.#role.lead.readIndex(context);
    return true;
  }

  /** What was sent to `voter` last did not arrive. */
  onUnreachable(voter: VoterId): void {
    if (this.#role.kind === 'leader') this.#role.lead.onUnreachable(voter);
  }

  /** How a snapshot that was due ended: the index that arrived, or undefined where it did not. */
  onSnapshotSent(voter: VoterId, index: number | undefined): void {
    if (this.#role.kind === 'leader') this.#role.lead.onSnapshotSent(voter, index);
  }

  /** What must happen now, or undefined when nothing must. Each thing is handed out once. */
  ready(): Ready | undefined {
    if (this.#role.kind === 'leader') this.#role.lead.flush();
    const { log, options, hardState } = this.#replica;
    const { entries, snapshot } = log.takeUnoffered();
    const committed = log.takeCommitted(options.batchMax);
    const spoken = this.#replica.takeSpoken();
    const before = this.#offeredHardState;
    const voteChanged = hardState.term !== before.term || hardState.vote !== before.vote;
    const changed = voteChanged || hardState.commit !== before.commit;
    const mustSync = voteChanged || entries.length > 0 || snapshot !== undefined;
    const isSilent = Object.values(spoken).every((list) => list.length === 0);
    if (!changed && !mustSync && isSilent && committed.length === 0) return undefined;
    this.#offeredHardState = hardState;
    return { hardState: changed ? hardState : undefined, snapshot, entries, mustSync, committed, ...spoken };
  }

  /** This Ready, and every one before it, is persisted. Only now do this node's own vote and log count. */
  advance(ready: Ready): void {
    const { log, term, id } = this.#replica;
    if (ready.entries.length > 0 || ready.snapshot !== undefined) log.onPersisted();
    const votedForSelf = ready.hardState?.term === term && ready.hardState.vote === id;
    if (this.#role.kind === 'candidate' && votedForSelf) this.#countVote(id, true);
    else if (this.#role.kind === 'leader') this.#leading((lead) => lead.onPersisted());
  }

  /** A message came in. Total: what is late, foreign or senseless changes nothing. */
  step(message: Message): void {
    const { options, id, term } = this.#replica;
    if (message.epochId !== options.epochId || message.to !== id || message.from === id) return;
    if (message.kind === 'not-member') this.#onNotMember();
    else if (this.#replica.isGone(message.from)) this.#answerGone(message.from);
    else if (message.kind === 'pre-vote') this.#onPreVote(message);
    else if (message.kind === 'vote' && this.#hasLiveLeader && !message.transfer) return;
    else if (message.kind === 'pre-vote.answer' && message.term < term) this.#onPreVoteAnswer(message);
    else if (message.term < term) this.#onStale(message);
    else this.#take(message);
  }

  #take(message: Message): void {
    if (message.term > this.#replica.term) {
      this.#replica.enterTerm(message.term);
      this.#becomeFollower(NOBODY);
    }
    switch (message.kind) {
      case 'pre-vote.answer':
        this.#onPreVoteAnswer(message);
        break;
      case 'vote':
        this.#onVote(message);
        break;
      case 'vote.answer':
        if (this.#role.kind === 'candidate') this.#countVote(message.from, message.granted);
        break;
      case 'append':
        if (this.#follow(message.from)) onAppend(this.#replica, message);
        break;
      case 'heartbeat':
        if (this.#follow(message.from)) onHeartbeat(this.#replica, message);
        break;
      case 'snapshot':
        if (this.#follow(message.from)) onSnapshot(this.#replica, message);
        break;
      case 'append.answer':
        this.#leading((lead) => lead.onAppendAnswer(message));
        break;
      case 'heartbeat.answer':
        this.#leading((lead) => lead.onHeartbeatAnswer(message));
        break;
      case 'timeout-now':
        if (this.#role.kind === 'follower' && !this.#wasRemoved && this.#replica.mayCampaign) this.#campaign(true);
        break;
    }
  }

  #onStale(message: Message): void {
    const { kind } = message;
    if (kind === 'vote' || kind === 'append' || kind === 'heartbeat' || kind === 'snapshot') {
      answerStale(this.#replica, message);
    }
  }

  /** @returns whether `from` may be obeyed: in one term there is one leader, and it is not this voter. */
  #follow(from: VoterId): boolean {
    if (this.#role.kind === 'leader') return false;
    if (this.#role.kind === 'follower' && this.#role.leader === from) this.#silentTicks = 0;
    else this.#becomeFollower(from);
    return true;
  }

  #leading(act: (lead: Leader) => void): void {
    if (this.#role.kind !== 'leader') return;
    const { lead } = this.#role;
    act(lead);
    if (!lead.isDone) return;
    lead.flush();
    this.#becomeFollower(NOBODY);
  }

  #becomeFollower(leader: VoterId): void {
    this.#enter({ kind: 'follower', leader });
  }

  #enter(role: Role): void {
    this.#role = role;
    this.#silentTicks = 0;
    const { electionTicks } = this.#replica.options;
    this.#patienceTicks = between(this.#random, electionTicks, 2 * electionTicks - 1);
  }

  // Elections (section 5.2; dissertation, 9.6 and 4.2.3)

  /** Nobody leads a learner that hears nobody. It says that it is there: were it removed, it would be told so. */
  #learn(): void {
    if (this.#silentTicks < this.#patienceTicks) return;
    this.#becomeFollower(NOBODY);
    for (const voter of this.#replica.voters) this.#replica.sendAfterSync(voter, { kind: 'heartbeat.answer', round: 0 });
  }

  /** Asks first whether it would win, so that a voter that was cut off does not depose a leader when it comes back. */
  #preCampaign(): void {
    const { log, term, voters, id } = this.#replica;
    this.#enter({ kind: 'precandidate', votes: new Map() });
    const { lastIndex, lastTerm } = log;
    for (const voter of voters) {
      if (voter !== id) this.#replica.send(voter, { kind: 'pre-vote', nextTerm: term + 1, lastIndex, lastTerm });
    }
    this.#countVote(id, true);
  }

  #campaign(transfer: boolean): void {
    const { log, term, voters, id } = this.#replica;
    this.#replica.enterTerm(term + 1);
    this.#replica.voteFor(id);
    this.#enter({ kind: 'candidate', votes: new Map() });
    const { lastIndex, lastTerm } = log;
    // Owed after persistence, though figure 2 does not say so: a candidate that forgot its term could otherwise
    // campaign in it a second time, with a shorter log, and count grants given for the longer one.
    for (const voter of voters) {
      if (voter !== id) this.#replica.sendAfterSync(voter, { kind: 'vote', lastIndex, lastTerm, transfer });
    }
  }

  #countVote(voter: VoterId, granted: boolean): void {
    if (this.#role.kind !== 'precandidate' && this.#role.kind !== 'candidate') return;
    const { kind, votes } = this.#role;
    if (!votes.has(voter)) votes.set(voter, granted);
    const result = tally(this.#replica.voters, votes);
    if (result === 'lost') this.#becomeFollower(NOBODY);
    else if (result === 'won' && kind === 'precandidate') this.#campaign(false);
    else if (result === 'won') this.#enter({ kind: 'leader', lead: new Leader(this.#replica, this.#sizeOf) });
  }

  #onPreVoteAnswer(message: MessageOf<'pre-vote.answer'>): void {
    const isCurrent = this.#role.kind === 'precandidate' && message.nextTerm === this.#replica.term + 1;
    if (isCurrent) this.#countVote(message.from, message.granted);
  }

  #onPreVote(message: MessageOf<'pre-vote'>): void {
    if (this.#hasLiveLeader) return;
    const { nextTerm, lastIndex, lastTerm, from } = message;
    const granted = nextTerm > this.#replica.term && this.#replica.log.isUpToDate(lastIndex, lastTerm);
    this.#replica.send(from, { kind: 'pre-vote.answer', nextTerm, granted });
  }

  /** Learners answer too: this one may have been promoted without knowing. */
  #onVote(message: MessageOf<'vote'>): void {
    const { vote, log } = this.#replica;
    const free = vote === message.from || (vote === NOBODY && this.leader === NOBODY);
    const granted = free && log.isUpToDate(message.lastIndex, message.lastTerm);
    if (granted) {
      this.#replica.voteFor(message.from);
      this.#silentTicks = 0;
    }
    this.#replica.sendAfterSync(message.from, { kind: 'vote.answer', granted });
  }

  /** Within an election timeout of hearing from a leader, nobody else is wanted. A leader checks its own quorum. */
  get #hasLiveLeader(): boolean {
    if (this.#role.kind === 'leader') return true;
    return this.leader !== NOBODY && this.#silentTicks < this.#replica.options.electionTicks;
  }

  // Members that were removed

  #answerGone(voter: VoterId): void {
    this.#replica.send(voter, { kind: 'not-member', appliedIndex: this.#replica.log.applied });
  }

  #onNotMember(): void {
    this.#wasRemoved = true;
    if (this.#role.kind !== 'follower') this.#becomeFollower(NOBODY);
  }
}
