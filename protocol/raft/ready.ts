// What the core asks of its shell: in which order, and how durably.
import type { Entry, HardState, Message } from './message.ts';

/**
 * Taken once each by `ready()` and given back, in the same order, by `advance()` once persisted.
 * Several may be outstanding.
 */
export interface Ready {
  /** Changed since the last Ready, or undefined. */
  readonly hardState: HardState | undefined;
  /** To persist. The first may lie at or below the stored last index: what is stored from there on is then void. */
  readonly entries: readonly Entry[];
  /** Whether term, vote or entries changed: `advance` may follow only after an fsync. A new `commit` alone may ride later. */
  readonly mustSync: boolean;
  /** May go at once, in parallel with the write. */
  readonly messages: readonly Message[];
  /** Owed until this Ready and all before it are persisted: an answer that a crash could unsay must not leave earlier. */
  readonly messagesAfterSync: readonly Message[];
  /** Committed and persisted here: to be applied, in order, each exactly once. */
  readonly committed: readonly Entry[];
  /** Answered ReadIndex requests: serve each once everything up to `index` is applied. */
  readonly reads: readonly ReadState[];
}

export interface ReadState {
  readonly context: number;
  readonly index: number;
}
