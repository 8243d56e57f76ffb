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

interface EntryPlace {
  /** From 1, without a gap. */
  readonly index: number;
  readonly term: number;
}

/** One place in the log. `noop` is what a new leader appends so that earlier terms commit (section 5.4.2). */
export type Entry =
  | (EntryPlace & { readonly kind: 'noop' })
  | (EntryPlace & { readonly kind: 'command'; readonly data: Command });

/** What must survive a crash before anything that depends on it is said. `commit` is a hint and may lag. */
export interface HardState {
  readonly term: number;
  /** NOBODY where no vote was given in this term. */
  readonly vote: VoterId;
  readonly commit: number;
}

/** On every message. A message of another epoch is dropped unread: its log is not this one. */
interface Envelope {
  readonly epochId: EpochId;
  readonly term: number;
  readonly from: VoterId;
  readonly to: VoterId;
}

export type Message = Envelope &
  (
    | { readonly kind: 'vote'; readonly lastIndex: number; readonly lastTerm: number }
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
  );
