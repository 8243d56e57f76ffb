// What consensus needs of a disk: the Raft log, hard state and rows of one replica, and a few small values of the node.
// One synced batch per append; after a failed write nothing more goes through that handle (DESIGN: the disk that lies).
import type { EpochId } from '../../protocol/ids.ts';
import type { Entry, HardState, VoterId } from '../../protocol/raft/message.ts';

export interface RowChange {
  readonly key: string;
  /** Undefined deletes. */
  readonly row: unknown;
}

export interface Epoch {
  readonly number: number;
  readonly id: EpochId;
}

export interface Append {
  /** Without a gap. What is stored at or above the first of them is cut. */
  readonly entries: readonly Entry[];
  readonly hardState: HardState | undefined;
  /** Rows of entries applied since the last append; they ride in this batch. At most one change per key. */
  readonly changes: readonly RowChange[];
  /** Index up to which `changes` reaches. */
  readonly appliedIndex: number;
  /** Entries at or below may be dropped, or undefined. Never above `appliedIndex`. */
  readonly compactTo: number | undefined;
}

export interface Loaded {
  /** Undefined in a folder that holds no replica; its voter is NOBODY then. */
  readonly epoch: Epoch | undefined;
  readonly voterId: VoterId;
  readonly hardState: HardState;
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly appliedIndex: number;
}

export interface Snapshot {
  readonly index: number;
  readonly stateHash: string;
  /** In key order. To be read once, to its end or until broken off. */
  readonly rows: AsyncIterable<readonly [string, unknown]>;
}

export interface StagedPlace {
  readonly from: VoterId;
  readonly index: number;
}

/** How much of a snapshot has come. */
export interface Staged extends StagedPlace {
  /** Undefined before the first row. */
  readonly lastKey: string | undefined;
  /** Of the rows staged so far. */
  readonly stateHash: string;
}

export interface Install {
  readonly index: number;
  readonly term: number;
  /** Whether stored entries after `index` stay, as far as the one at `index` has that term; else all of them are void. */
  readonly keepsTail: boolean;
  readonly hardState: HardState | undefined;
}

export interface RowsOptions {
  /** Exclusive; a whole key. */
  readonly after?: string;
  readonly reverse?: boolean;
  readonly limit?: number;
}

export interface LogStorage {
  /**
   * Opening what is open gives what it holds. A folder that holds no replica becomes the first voter of `initialEpoch`.
   * Fails with `folder-locked`, `folder-newer`, `folder-damaged`, `folder-unusable`, `disk-full`.
   */
  open(initialEpoch?: Epoch): Promise<Loaded>;
  close(): Promise<void>;
  /** The term of an entry that is kept, or of the one before the first; else undefined. */
  term(index: number): number | undefined;
  entry(index: number): Entry | undefined;
  /**
   * Resolves when fsynced; one at a time. Rejects with `disk-full`: none of its entries will ever be there; or with
   * `folder-unusable`: they may or may not. From then on every write is refused until `reopen` has resolved.
   */
  append(append: Append): Promise<void>;
  /**
   * After a failed write the storage itself waits for room, closes, opens and reads back; this waits for that, and
   * resolves with what is truly there. Fails with `folder-damaged`, or with the signal's reason.
   */
  reopen(signal: AbortSignal): Promise<Loaded>;
  /**
   * Rows of a snapshot that is on its way, in key order; one call at a time. Those at or below the last key are passed
   * over. Another place than that of the last call voids what is staged, also with no rows. What `staged` says after a
   * restart is true. Fails as `append` does, but what it failed to write may be found staged afterwards.
   */
  stage(place: StagedPlace, rows: readonly (readonly [string, unknown])[]): Promise<void>;
  staged(): Staged | undefined;
  /**
   * In one synced batch the staged rows become the rows, and the log begins after `index`; the old rows are cleared in the
   * background. Something must be staged at that index, and it must be above the applied one. Alone: no `append` and no
   * `stage` is under way. Where it fails with `disk-full` too, only `reopen` can tell whether it was done.
   */
  install(install: Install): Promise<void>;
  /** A folder that holds no replica becomes this one, in this epoch; both are durable when it resolves. */
  become(epoch: Epoch, voterId: VoterId): Promise<Loaded>;
  /**
   * Drops log, rows, staging, epoch, voter id, term and vote; this node's own values stay. What is left takes `become`.
   * Alone, as `install`. After a crash in the middle the next opening goes on with it.
   */
  forget(): Promise<void>;
  /** Synchronous, and of what is stored alone: the overlay is the caller's. Fails for an instant while reopening. */
  row(key: string): unknown;
  /** In key order, as of the first `next()`. */
  rows(prefix: string, options: RowsOptions): AsyncIterable<readonly [string, unknown]>;
  /** Every stored row as of this call, with the index and the hash that belong to them. */
  snapshot(): Snapshot;
  /** Adds up the hash of every row anew. Fails with `folder-damaged` where it differs from the one that was kept. */
  verify(signal: AbortSignal): Promise<void>;
  /** Small values of this node alone, outside the replicated state. Synced. Fails as `append` does. */
  getLocal(key: string): unknown;
  putLocal(changes: readonly { readonly key: string; readonly value: unknown }[]): Promise<void>;
  scanLocal(prefix: string): AsyncIterable<readonly [string, unknown]>;
}
