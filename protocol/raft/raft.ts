// The Raft core: a state machine without clock, chance or I/O of its own. The shell hands in ticks, messages and
// proposals and carries out what `ready()` asks. Section numbers are those of the paper (extended version).
import { assert } from '../errors.ts';
import type { EpochId } from '../ids.ts';
import { between, type Random } from '../random.ts';
import type { Command } from '../state/command.ts';
import { type LogReader, RaftLog } from './log.ts';
import { type HardState, type Message, NOBODY, type VoterId } from './message.ts';
import { Progress } from './progress.ts';
import { majorityReached, tally } from './quorum.ts';
import type { ReadState, Ready } from './ready.ts';

export interface RaftOptions {
  readonly epochId: EpochId;
  readonly id: VoterId;
  /** The configuration in force. An id that is not in it follows and never campaigns. */
  readonly voters: readonly VoterId[];
  readonly hardState: HardState;
  /** What the shell has applied already. */
  readonly appliedIndex: number;
  /** Silence after which a follower campaigns: drawn anew each time from [electionTicks, 2 × electionTicks). */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /** Most entries in one append message and in one Ready's `committed`. */
  readonly batchMax: number;
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
/** A message but for what every message carries. */
type Body = DistributiveOmit<Message, 'epochId' | 'term' | 'from' | 'to'>;
type Of<Kind extends Message['kind']> = Extract<Message, { kind: Kind }>;

export class Raft {
  readonly #options: RaftOptions;
  readonly #random: Random;
  readonly #log: RaftLog;

  #term: number;
  #vote: VoterId;
  #state: 'follower' | 'candidate' | 'leader' = 'follower';
  #leader: VoterId = NOBODY;
  #silentTicks = 0;
  #patienceTicks = 0;

  /** Candidate: who answered. */
  #votes = new Map<VoterId, boolean>();
  /** Leader: the other voters. */
  #others = new Map<VoterId, Progress>();
  /** Leader: quorum rounds, and the reads that wait for one or for the first commit of the term (dissertation, 6.4). */
  #round = 0;
  #reads: { readonly context: number; readonly index: number; readonly round: number }[] = [];
  #earlyReads: number[] = [];

  #offeredHardState: HardState;
  #messages: Message[] = [];
  #messagesAfterSync: Message[] = [];
  #answeredReads: ReadState[] = [];

  constructor(collaborators: { readonly log: LogReader; readonly random: Random }, options: RaftOptions) {
    this.#options = options;
    this.#random = collaborators.random;
    this.#log = new RaftLog(collaborators.log, {
      committed: Math.min(options.hardState.commit, collaborators.log.lastIndex),
      applied: options.appliedIndex,
    });
    this.#term = options.hardState.term;
    this.#vote = options.hardState.vote;
    this.#offeredHardState = this.#hardState();
    this.#becomeFollower(this.#term, NOBODY);
  }

  get term(): number {
    return this.#term;
  }
  get state(): 'follower' | 'candidate' | 'leader' {
    return this.#state;
  }
  /** NOBODY while none is known. */
  get leader(): VoterId {
    return this.#leader;
  }
  get commitIndex(): number {
    return this.#log.committed;
  }
  get lastIndex(): number {
    return this.#log.lastIndex;
  }
  /** Up to here the log is persisted on this node. */
  get stableIndex(): number {
    return this.#log.stable;
  }

  /** One unit of time has passed. */
  tick(): void {
    this.#silentTicks++;
    if (this.#state === 'leader') {
      if (this.#silentTicks >= this.#options.heartbeatTicks) this.#heartbeat();
      return;
    }
    if (!this.#options.voters.includes(this.#options.id)) return;
    // A sole voter has nobody to wait for; once it is a candidate it waits for its own disk alone.
    const due = this.#isSoleVoter ? this.#state === 'follower' : this.#silentTicks >= this.#patienceTicks;
    if (due) this.#campaign();
  }

  /** @returns the entry's index, or undefined where this voter does not lead. It may still come to nothing. */
  propose(data: Command): number | undefined {
    if (this.#state !== 'leader') return undefined;
    const index = this.#log.lastIndex + 1;
    this.#log.append([{ index, term: this.#term, kind: 'command', data }]);
    for (const voter of this.#others.keys()) this.#replicate(voter);
    return index;
  }

  /**
   * Asks for an index that holds everything committed before this call; the answer is in a later Ready's `reads`.
   * @returns false where this voter does not lead. A leader that is deposed forgets its reads: ask again.
   */
  readIndex(context: number): boolean {
    if (this.#state !== 'leader') return false;
    // Before it has committed in its own term a leader does not know what was committed before it (section 8).
    if (!this.#hasCommittedInTerm) this.#earlyReads.push(context);
    else if (this.#isSoleVoter) this.#answeredReads.push({ context, index: this.#log.committed });
    else {
      this.#round++;
      this.#reads.push({ context, index: this.#log.committed, round: this.#round });
      this.#heartbeat();
    }
    return true;
  }

  /** A message came in. Total: what is late, foreign or senseless changes nothing. */
  step(message: Message): void {
    if (message.epochId !== this.#options.epochId || message.to !== this.#options.id) return;
    if (message.from === this.#options.id) return;
    if (message.term < this.#term) this.#answerStale(message);
    else this.#take(message);
  }

  #take(message: Message): void {
    if (message.term > this.#term) this.#becomeFollower(message.term, NOBODY);
    switch (message.kind) {
      case 'vote':
        this.#onVote(message);
        break;
      case 'vote.answer':
        this.#onVoteAnswer(message);
        break;
      case 'append':
        if (this.#follow(message.from)) this.#onAppend(message);
        break;
      case 'append.answer':
        this.#onAppendAnswer(message);
        break;
      case 'heartbeat':
        if (this.#follow(message.from)) this.#onHeartbeat(message);
        break;
      case 'heartbeat.answer':
        this.#onHeartbeatAnswer(message);
        break;
    }
  }

  /** What must happen now, or undefined when nothing must. Each thing is handed out once. */
  ready(): Ready | undefined {
    const entries = this.#log.takeUnoffered();
    const committed = this.#log.takeCommitted(this.#options.batchMax);
    const before = this.#offeredHardState;
    const now = this.#hardState();
    const voteChanged = now.term !== before.term || now.vote !== before.vote;
    const changed = voteChanged || now.commit !== before.commit;
    const spoken = this.#messages.length + this.#messagesAfterSync.length + this.#answeredReads.length > 0;
    if (!changed && !spoken && entries.length === 0 && committed.length === 0) return undefined;
    const ready: Ready = {
      hardState: changed ? now : undefined,
      entries,
      mustSync: voteChanged || entries.length > 0,
      messages: this.#messages,
      messagesAfterSync: this.#messagesAfterSync,
      committed,
      reads: this.#answeredReads,
    };
    this.#offeredHardState = now;
    this.#messages = [];
    this.#messagesAfterSync = [];
    this.#answeredReads = [];
    return ready;
  }

  /** This Ready, and every one before it, is persisted. Only now do this node's own vote and log count. */
  advance(ready: Ready): void {
    const last = ready.entries.at(-1);
    if (last !== undefined) this.#log.stableTo(last.index, last.term);
    const { id } = this.#options;
    const votedForSelf = ready.hardState?.term === this.#term && ready.hardState.vote === id;
    if (this.#state === 'candidate' && votedForSelf) this.#countVote(id, true);
    else if (this.#state === 'leader') this.#commitByQuorum();
  }

  // Elections (section 5.2)

  #campaign(): void {
    this.#becomeFollower(this.#term + 1, NOBODY);
    this.#state = 'candidate';
    this.#vote = this.#options.id;
    const { lastIndex, lastTerm } = this.#log;
    // Owed after persistence, though figure 2 does not say so: a candidate that forgot its term could otherwise
    // campaign in it a second time, with a shorter log, and count grants given for the longer one.
    for (const voter of this.#options.voters) this.#sendAfterSync(voter, { kind: 'vote', lastIndex, lastTerm });
  }

  #onVote(message: Of<'vote'>): void {
    const free = this.#vote === message.from || (this.#vote === NOBODY && this.#leader === NOBODY);
    const granted = free && this.#log.isUpToDate(message.lastIndex, message.lastTerm);
    if (granted) {
      this.#vote = message.from;
      this.#silentTicks = 0;
    }
    this.#sendAfterSync(message.from, { kind: 'vote.answer', granted });
  }

  #onVoteAnswer(message: Of<'vote.answer'>): void {
    if (this.#state === 'candidate') this.#countVote(message.from, message.granted);
  }

  #countVote(voter: VoterId, granted: boolean): void {
    if (!this.#votes.has(voter)) this.#votes.set(voter, granted);
    const result = tally(this.#options.voters, this.#votes);
    if (result === 'won') this.#becomeLeader();
    else if (result === 'lost') this.#becomeFollower(this.#term, NOBODY);
  }

  #becomeFollower(term: number, leader: VoterId): void {
    if (term > this.#term) {
      this.#term = term;
      this.#vote = NOBODY;
    }
    this.#state = 'follower';
    this.#leader = leader;
    this.#silentTicks = 0;
    const { electionTicks } = this.#options;
    this.#patienceTicks = between(this.#random, electionTicks, 2 * electionTicks - 1);
    this.#votes.clear();
    this.#others.clear();
    this.#reads = [];
    this.#earlyReads = [];
  }

  #becomeLeader(): void {
    this.#state = 'leader';
    this.#leader = this.#options.id;
    this.#silentTicks = 0;
    const next = this.#log.lastIndex + 1;
    for (const voter of this.#options.voters) {
      if (voter !== this.#options.id) this.#others.set(voter, new Progress(next));
    }
    this.#log.append([{ index: next, term: this.#term, kind: 'noop' }]);
    for (const voter of this.#others.keys()) this.#replicate(voter);
  }

  /** @returns whether `from` may be obeyed: in one term there is one leader, and it is not this voter. */
  #follow(from: VoterId): boolean {
    if (this.#state === 'leader') return false;
    if (this.#state === 'candidate') this.#becomeFollower(this.#term, from);
    this.#leader = from;
    this.#silentTicks = 0;
    return true;
  }

  /** Tells a sender of an older term the present one, so that it steps down. */
  #answerStale(message: Message): void {
    const { lastIndex, lastTerm } = this.#log;
    if (message.kind === 'vote') this.#sendAfterSync(message.from, { kind: 'vote.answer', granted: false });
    if (message.kind !== 'append' && message.kind !== 'heartbeat') return;
    const prevIndex = message.kind === 'append' ? message.prevIndex : lastIndex;
    const refusal = { kind: 'append.answer', ok: false, prevIndex, hintIndex: lastIndex, hintTerm: lastTerm } as const;
    this.#sendAfterSync(message.from, refusal);
  }

  // Log replication (section 5.3)

  #onAppend(message: Of<'append'>): void {
    const { prevIndex, prevTerm, entries, from } = message;
    if (entries.some((entry, n) => entry.index !== prevIndex + 1 + n)) return;
    // What is committed agrees with every later leader, so there is nothing to compare.
    const { committed } = this.#log;
    if (prevIndex < committed) {
      this.#sendAfterSync(from, { kind: 'append.answer', ok: true, matchIndex: committed });
      return;
    }
    if (this.#log.term(prevIndex) !== prevTerm) {
      this.#refuse(message);
      return;
    }
    // Only a true conflict may cut the log: a late, shorter append must not drop what a later one brought.
    const differs = entries.findIndex((entry) => this.#log.term(entry.index) !== entry.term);
    if (differs !== -1) this.#log.append(entries.slice(differs));
    const matchIndex = prevIndex + entries.length;
    this.#log.commitTo(Math.min(message.commit, matchIndex));
    this.#sendAfterSync(from, { kind: 'append.answer', ok: true, matchIndex });
  }

  #refuse(message: Of<'append'>): void {
    const { prevIndex, prevTerm, from } = message;
    const hintIndex = this.#log.lastAtMost(prevIndex, prevTerm);
    const hintTerm = this.#log.term(hintIndex) ?? 0;
    this.#sendAfterSync(from, { kind: 'append.answer', ok: false, prevIndex, hintIndex, hintTerm });
  }

  #onAppendAnswer(message: Of<'append.answer'>): void {
    const other = this.#others.get(message.from);
    if (other === undefined) return;
    if (message.ok) {
      // A match above the own log cannot be true, and the quorum must not count it.
      if (message.matchIndex > this.#log.lastIndex) return;
      if (other.onAccepted(message.matchIndex)) this.#commitByQuorum();
      if (other.next <= this.#log.lastIndex) this.#replicate(message.from);
      return;
    }
    const agreeIndex = this.#log.lastAtMost(message.hintIndex, message.hintTerm);
    if (other.onRefused(message.prevIndex, agreeIndex)) this.#replicate(message.from);
  }

  /**
   * Sends what `voter` lacks as far as its window allows. One that lacks entries which are kept no longer gets
   * heartbeats alone, so that it does not campaign.
   */
  #replicate(voter: VoterId): void {
    const other = this.#others.get(voter);
    if (other === undefined || !other.maySend) return;
    const prevIndex = other.next - 1;
    const prevTerm = this.#log.term(prevIndex);
    const end = Math.min(this.#log.lastIndex, prevIndex + this.#options.batchMax);
    const entries = this.#log.entries(other.next, end + 1);
    if (prevTerm === undefined || entries === undefined) return;
    this.#send(voter, { kind: 'append', prevIndex, prevTerm, entries, commit: this.#log.committed });
    other.onSent(end, entries.length);
  }

  // Commitment (section 5.4.2)

  get #hasCommittedInTerm(): boolean {
    return this.#log.term(this.#log.committed) === this.#term;
  }

  #commitByQuorum(): void {
    const reached = majorityReached(
      this.#options.voters.map((voter) =>
        voter === this.#options.id ? this.#log.stable : (this.#others.get(voter)?.match ?? 0),
      ),
    );
    // Only entries of the own term are committed by counting; earlier ones follow from them (figure 8).
    if (this.#log.term(reached) !== this.#term || !this.#log.commitTo(reached)) return;
    for (const voter of this.#others.keys()) this.#replicate(voter);
    for (const context of this.#earlyReads.splice(0)) this.readIndex(context);
  }

  // Heartbeats, and the rounds that confirm a term

  #heartbeat(): void {
    this.#silentTicks = 0;
    for (const [voter, other] of this.#others) {
      const commit = Math.min(this.#log.committed, other.match);
      this.#send(voter, { kind: 'heartbeat', commit, round: this.#round });
    }
  }

  #onHeartbeat(message: Of<'heartbeat'>): void {
    this.#log.commitTo(message.commit);
    this.#sendAfterSync(message.from, { kind: 'heartbeat.answer', round: message.round });
  }

  #onHeartbeatAnswer(message: Of<'heartbeat.answer'>): void {
    const other = this.#others.get(message.from);
    if (other === undefined || message.round > this.#round) return;
    other.onHeard(message.round);
    if (other.match < this.#log.lastIndex) this.#replicate(message.from);
    this.#confirmReads();
  }

  #confirmReads(): void {
    const reached = majorityReached(
      this.#options.voters.map((voter) =>
        voter === this.#options.id ? this.#round : (this.#others.get(voter)?.round ?? 0),
      ),
    );
    while (this.#reads[0] !== undefined && this.#reads[0].round <= reached) {
      const { context, index } = this.#reads.shift() as { context: number; index: number };
      this.#answeredReads.push({ context, index });
    }
  }

  get #isSoleVoter(): boolean {
    return this.#options.voters.length === 1 && this.#options.voters[0] === this.#options.id;
  }

  #hardState(): HardState {
    return { term: this.#term, vote: this.#vote, commit: this.#log.committed };
  }

  #send(to: VoterId, body: Body): void {
    this.#messages.push(this.#addressed(to, body));
  }

  #sendAfterSync(to: VoterId, body: Body): void {
    if (to !== this.#options.id) this.#messagesAfterSync.push(this.#addressed(to, body));
  }

  #addressed(to: VoterId, body: Body): Message {
    assert(to !== this.#options.id, 'a message to oneself');
    return { ...body, epochId: this.#options.epochId, term: this.#term, from: this.#options.id, to };
  }
}
