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
  /** Undefined in a folder that holds no log yet. */
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

export interface RowsOptions {
  /** Exclusive; a whole key. */
  readonly after?: string;
  readonly reverse?: boolean;
  readonly limit?: number;
}

export interface LogStorage {
  /**
   * Opening what is open gives what it holds. A folder without an epoch takes `initialEpoch` as its own, for ever.
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
