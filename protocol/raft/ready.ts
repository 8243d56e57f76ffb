// What the core asks of its shell: in which order, and how durably.
import type { Entry, Envelope, HardState, Message, SnapshotPlace } from './message.ts';

/**
 * Taken once each by `ready()` and given back, in the same order, by `advance()` once persisted.
 * Several may be outstanding.
 */
export interface Ready {
  /** Changed since the last Ready, or undefined. */
  readonly hardState: HardState | undefined;
  /** To be taken into use before `entries` and `committed`, or undefined. */
  readonly snapshot: Installation | undefined;
  /** To persist. The first may lie at or below the stored last index: what is stored from there on is then void. */
  readonly entries: readonly Entry[];
  /** Whether term, vote, snapshot or entries changed: `advance` may follow only after an fsync. A `commit` may ride later. */
  readonly mustSync: boolean;
  /** May go at once, in parallel with the write. */
  readonly messages: readonly Message[];
  /** Owed until this Ready and all before it are persisted: an answer that a crash could unsay must not leave earlier. */
  readonly messagesAfterSync: readonly Message[];
  /** Committed and persisted here: to be applied, in order, each exactly once. */
  readonly committed: readonly Entry[];
  /** Answered ReadIndex requests: serve each once everything up to `index` is applied. */
  readonly reads: readonly ReadState[];
  /**
   * To each of these the shell sends a snapshot of what it has applied, and then says how that went by
   * `onSnapshotSent`. With `kind` and `snapshot` added the envelope is the message that ends the stream.
   */
  readonly snapshotsDue: readonly Envelope[];
}

/** One synced batch: rows, applied index and configuration become the snapshot's, and the log begins after its index. */
export interface Installation extends SnapshotPlace {
  /** Whether stored entries after the snapshot's index stay; otherwise every stored entry is void. */
  readonly keepsTail: boolean;
}

export interface ReadState {
  readonly context: number;
  readonly index: number;
}
