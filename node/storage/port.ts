// What consensus needs of a disk: the Raft log, hard state and rows of one replica, and a few small values of the node.
// One synced batch per append; after a failed write nothing more goes through that handle (DESIGN: the disk that lies).
import type { Entry, HardState } from '../../protocol/raft/message.ts';

export interface RowChange {
  readonly key: string;
  /** Undefined deletes. */
  readonly row: unknown;
}

export interface Append {
  readonly entries: readonly Entry[];
  readonly hardState: HardState | undefined;
  /** Rows of entries applied since the last append; they ride in this batch. */
  readonly changes: readonly RowChange[];
  /** Index up to which `changes` reaches. */
  readonly appliedIndex: number;
  /** Entries at or below may be dropped, or undefined. */
  readonly compactTo: number | undefined;
}

export interface Loaded {
  readonly hardState: HardState;
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly appliedIndex: number;
}

export interface LogStorage {
  /** Fails with `folder-locked`, `folder-newer`, `folder-damaged`, `folder-unusable`. */
  open(): Promise<Loaded>;
  close(): Promise<void>;
  entries(from: number, toExclusive: number): Promise<readonly Entry[]>;
  term(index: number): number | undefined;
  /** Resolves when fsynced. Rejects with `disk-full` or `folder-unusable`; then only `reopen` may follow. */
  append(append: Append): Promise<void>;
  /** After a failed append: closes, probes for room, reopens, reads back. Resolves with what is truly there. */
  reopen(signal: AbortSignal): Promise<Loaded>;
  /** Synchronous, from disk alone: the overlay is the caller's. */
  row(key: string): unknown;
  rows(
    prefix: string,
    options: { after?: string; reverse?: boolean; limit?: number },
  ): AsyncIterable<readonly [string, unknown]>;
  /** Small values of this node alone, outside the replicated state. Synced. */
  getLocal(key: string): unknown;
  putLocal(changes: readonly { readonly key: string; readonly value: unknown }[]): Promise<void>;
  scanLocal(prefix: string): AsyncIterable<readonly [string, unknown]>;
}
