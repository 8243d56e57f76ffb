// What voters say to each other and what they keep: entries, hard state and the messages of Raft (figure 2 of the paper).
// Values only; the codec for the wire is elsewhere.
import type { EpochId } from '../ids.ts';
import type { Command } from '../state/command.ts';

/**
 * Names one replica: the index of the entry that added it, never reused; the first one's is FIRST_VOTER.
 * Zero is nobody.
 */
export type VoterId = number;
export const FIRST_VOTER: VoterId = 1;
export const NOBODY: VoterId = 0;

/** The greatest index, term or round of a message that passed validation: nothing that follows it comes near 2^53. */
export const COUNT_MAX = 2 ** 48;

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

/** Who holds the log. Voters are counted; learners receive and are not. Nobody is in both. */
export interface Configuration {
  readonly voters: readonly VoterId[];
  readonly learners: readonly VoterId[];
}

interface EntryPlace {
  /** From 1, without a gap. */
  readonly index: number;
  readonly term: number;
}

/**
 * One place in the log. `noop` is what a new leader appends so that earlier terms commit (section 5.4.2).
 * A `configuration` is whole, not a difference; `data` is applied with it, for instance who the new learner is.
 */
export type Entry =
  | (EntryPlace & { readonly kind: 'noop' })
  | (EntryPlace & { readonly kind: 'command'; readonly data: Command })
  | (EntryPlace & {
      readonly kind: 'configuration';
      readonly configuration: Configuration;
      readonly data: Command | null;
    });

/** An entry but for its place. */
export type Content = DistributiveOmit<Entry, keyof EntryPlace>;

/** What must survive a crash before anything that depends on it is said. `commit` is a hint and may lag. */
export interface HardState {
  readonly term: number;
  /** NOBODY where no vote was given in this term. */
  readonly vote: VoterId;
  readonly commit: number;
}

/** The entry that a snapshot ends with, and the configuration as of it. */
export interface SnapshotPlace {
  readonly index: number;
  readonly term: number;
  readonly configuration: Configuration;
}

/** On every message. A message of another epoch is dropped unread: its log is not this one. */
export interface Envelope {
  readonly epochId: EpochId;
  readonly term: number;
  readonly from: VoterId;
  readonly to: VoterId;
}

export type Message = Envelope &
  /** Would you vote for me in `nextTerm`? Neither question nor answer changes a term or a vote (dissertation, 9.6). */
  (
    | {
        readonly kind: 'pre-vote';
        readonly nextTerm: number;
        readonly lastIndex: number;
        readonly lastTerm: number;
      }
    | { readonly kind: 'pre-vote.answer'; readonly nextTerm: number; readonly granted: boolean }
    /** `transfer`: the leader itself asked for this election, so that it is no reason to wait. */
    | {
        readonly kind: 'vote';
        readonly lastIndex: number;
        readonly lastTerm: number;
        readonly transfer: boolean;
      }
    | { readonly kind: 'vote.answer'; readonly granted: boolean }
    | {
        readonly kind: 'append';
        readonly prevIndex: number;
        readonly prevTerm: number;
        readonly entries: readonly Entry[];
        readonly commit: number;
      }
    | { readonly kind: 'append.answer'; readonly ok: true; readonly matchIndex: number }
    | {
        readonly kind: 'append.answer';
        readonly ok: false;
        /** The `prevIndex` that was refused: tells a late answer from a current one. */
        readonly prevIndex: number;
        /** Where the logs may last agree, as far as the follower can tell. */
        readonly hintIndex: number;
        readonly hintTerm: number;
      }
    /** `round` numbers the leader's quorum rounds: what ReadIndex counts. `commit` never exceeds what the follower holds. */
    | { readonly kind: 'heartbeat'; readonly commit: number; readonly round: number }
    | { readonly kind: 'heartbeat.answer'; readonly round: number }
    /** All rows of this snapshot have arrived and wait to be taken into use. Answered as an append is. */
    | { readonly kind: 'snapshot'; readonly snapshot: SnapshotPlace }
    /** From a leader that hands over: campaign at once (dissertation, 3.10). */
    | { readonly kind: 'timeout-now' }
    /** The addressee was removed by an entry at or below `appliedIndex`. */
    | { readonly kind: 'not-member'; readonly appliedIndex: number }
  );

/** A message but for what every message carries. */
export type Body = DistributiveOmit<Message, keyof Envelope>;
export type MessageOf<Kind extends Message['kind']> = Extract<Message, { kind: Kind }>;
