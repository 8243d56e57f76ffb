// What a replica is whatever its role: its name, term, vote and log, and what it has to say. What the roles share.
import type { EpochId } from '../ids.ts';
import { isMember, type PlacedConfiguration } from './configuration.ts';
import { type LogReader, RaftLog } from './log.ts';
import {
  type Body,
  type Configuration,
  type Content,
  type Envelope,
  type HardState,
  type Message,
  NOBODY,
  type VoterId,
} from './message.ts';
import type { WindowLimits } from './progress.ts';
import type { ReadState } from './ready.ts';

export interface RaftOptions extends WindowLimits {
  readonly epochId: EpochId;
  readonly id: VoterId;
  readonly hardState: HardState;
  /** What the shell has applied already, and the configuration as of it. */
  readonly appliedIndex: number;
  readonly configuration: Configuration;
  /** Silence after which a follower campaigns: drawn anew each time from [electionTicks, 2 × electionTicks). */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /** Most entries in one append message and in one Ready's `committed`. */
  readonly batchMax: number;
  /** An append ends with the entry that reaches this. */
  readonly batchMaxBytes: number;
  /** Applied entries kept in memory, so that a follower a little behind costs no disk read. */
  readonly recentMax: number;
}

export class Replica {
  readonly options: RaftOptions;
  readonly log: RaftLog;
  #term: number;
  #vote: VoterId;
  #messages: Message[] = [];
  #messagesAfterSync: Message[] = [];
  #snapshotsDue: Envelope[] = [];
  #reads: ReadState[] = [];

  constructor(reader: LogReader, options: RaftOptions) {
    this.options = options;
    this.#term = options.hardState.term;
    this.#vote = options.hardState.vote;
    this.log = new RaftLog(reader, {
      committed: Math.min(options.hardState.commit, reader.lastIndex),
      applied: options.appliedIndex,
      configuration: options.configuration,
      recentMax: options.recentMax,
    });
  }

  get id(): VoterId {
    return this.options.id;
  }
  get term(): number {
    return this.#term;
  }
  get vote(): VoterId {
    return this.#vote;
  }
  get hardState(): HardState {
    return { term: this.#term, vote: this.#vote, commit: this.log.committed };
  }

  enterTerm(term: number): void {
    this.#term = term;
    this.#vote = NOBODY;
  }

  voteFor(id: VoterId): void {
    this.#vote = id;
  }

  /** The last configuration that this node's own disk holds, committed or not. See DESIGN.md. */
  get inForce(): PlacedConfiguration {
    return this.log.configurations.at(this.log.stable);
  }
  get voters(): readonly VoterId[] {
    return this.inForce.configuration.voters;
  }
  get isSoleVoter(): boolean {
    return this.voters.length === 1 && this.voters[0] === this.id;
  }

  /** A voter that an uncommitted entry removes may still be needed to commit that entry (dissertation, 4.2.2). */
  get mayCampaign(): boolean {
    const { log, inForce } = this;
    if (inForce.configuration.voters.includes(this.id)) return true;
    const before = inForce.index > log.committed ? log.configurations.before(inForce) : undefined;
    return before?.configuration.voters.includes(this.id) ?? false;
  }

  /** Ids are indexes and never come back: one that could have been applied here, and is no member, was removed for good. */
  isGone(id: VoterId): boolean {
    return id <= this.log.applied && !isMember(this.log.configurations.applied, id);
  }

  get hasCommittedInTerm(): boolean {
    return this.log.term(this.log.committed) === this.#term;
  }

  /** At the end of the log, in the present term. @returns its index. */
  appendOwn(content: Content): number {
    const index = this.log.lastIndex + 1;
    this.log.append([{ index, term: this.#term, ...content }]);
    return index;
  }

  send(to: VoterId, body: Body): void {
    this.#messages.push(this.#addressed(to, body));
  }

  sendAfterSync(to: VoterId, body: Body): void {
    this.#messagesAfterSync.push(this.#addressed(to, body));
  }

  askForSnapshot(to: VoterId): void {
    this.#snapshotsDue.push(this.#envelope(to));
  }

  answerRead(read: ReadState): void {
    this.#reads.push(read);
  }

  takeSpoken(): {
    readonly messages: readonly Message[];
    readonly messagesAfterSync: readonly Message[];
    readonly snapshotsDue: readonly Envelope[];
    readonly reads: readonly ReadState[];
  } {
    const spoken = {
      messages: this.#messages,
      messagesAfterSync: this.#messagesAfterSync,
      snapshotsDue: this.#snapshotsDue,
      reads: this.#reads,
    };
    this.#messages = [];
    this.#messagesAfterSync = [];
    this.#snapshotsDue = [];
    this.#reads = [];
    return spoken;
  }

  #addressed(to: VoterId, body: Body): Message {
    return { ...body, ...this.#envelope(to) };
  }

  #envelope(to: VoterId): Envelope {
    return { epochId: this.options.epochId, term: this.#term, from: this.id, to };
  }
}
