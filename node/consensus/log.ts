// The replicated log as the rest of the node sees it: the same for one voter and for several.
import type { EpochId, PeerId } from '../../protocol/ids.ts';
import type { MembershipChange } from '../../protocol/raft/configuration.ts';
import type { VoterId } from '../../protocol/raft/message.ts';
import type { ProgressState } from '../../protocol/raft/progress.ts';
import type { Command, Outcome } from '../../protocol/state/command.ts';
import type { LoggedEvent } from '../../protocol/state/event.ts';
import type { RowKey, View } from '../../protocol/state/rows.ts';

export interface LogStatus {
  readonly epochId: EpochId;
  readonly epochNumber: number;
  readonly term: number;
  readonly state: 'follower' | 'candidate' | 'leader';
  /** Whether this node leads and has applied its own term's no-op. */
  readonly leading: boolean;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly lastIndex: number;
  /** The gateway that leads, as far as this one knows; null while it knows of none. */
  readonly leader: PeerId | null;
  readonly voterId: VoterId;
  /** This replica was removed for good: under this id it takes no part any more. */
  readonly removed: boolean;
  readonly voters: number;
  /** Voters that are known to live: on a follower the leader alone can tell, and the least that it needs is given. */
  readonly healthy: number;
  /** While the disk refuses writes: submissions get 507, reads go on. */
  readonly disk: 'ok' | 'full' | 'failed';
}

/** What a leader knows of another replica. */
export interface ReplicaStatus {
  readonly voterId: VoterId;
  readonly peerId: PeerId | null;
  readonly isVoter: boolean;
  /** The log up to here is on its disk. */
  readonly matchIndex: number;
  readonly state: ProgressState;
  /** Since it was last heard; null where it never was, since this node leads. */
  readonly silentMs: number | null;
}

export interface WaitLimits {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface Applied {
  readonly index: number;
  readonly outcome: Outcome;
}

export interface ScanOptions {
  /** Exclusive. */
  readonly after?: string;
  readonly reverse?: boolean;
  readonly limit?: number;
}

export interface ReplicatedLog {
  start(): Promise<void>;
  stop(): Promise<void>;
  status(): LogStatus;
  /**
   * Resolves once the command is committed and applied here; a refusal by `apply` is an Outcome, not an error.
   * Commands proposed within one turn share a batch. Fails with `disk-full`, `no-leader`, `no-quorum`, `outcome-unknown`,
   * `too-busy` (more than 8,192 waiting), `too-large` (over 64 KiB of submission, 700 KiB otherwise).
   */
  propose(command: Command, options: WaitLimits): Promise<Applied>;
  /** The ReadIndex of Raft (dissertation, 6.4): afterwards `view` holds everything that was committed before the call. */
  readBarrier(options: WaitLimits): Promise<number>;
  /** The applied rows, those not yet on disk included. */
  readonly view: View;
  /** Applied rows in key order, overlay included; consistent at one applied index per call. */
  scan<Row>(prefix: string, options?: ScanOptions): AsyncIterable<readonly [RowKey<Row>, Row]>;
  /** Called synchronously after each applied batch, in order. */
  onApplied(listener: (batch: AppliedBatch) => void): () => void;
  onStatus(listener: (status: LogStatus) => void): () => void;
  /** A snapshot took the place of all rows: whatever was derived from them is read anew. Nothing is applied meanwhile. */
  onReplaced(listener: () => Promise<void>): () => void;
  /** The other replicas; empty where this one does not lead. */
  replicas(): readonly ReplicaStatus[];
  /**
   * Changes who holds the log, one step at a time; `command` is applied with it. Resolves as a proposal does. Fails with
   * `no-leader`, or with `state-conflict` where the change may not be made now.
   */
  changeReplicas(change: MembershipChange, command: Command, options: WaitLimits): Promise<Applied>;
  /** Hands leadership to another voter. @returns whether that was begun */
  transferTo(voterId: VoterId): boolean;
  /** Events of applied entries above (index, sub), from a bounded memory; undefined where it does not reach back so far. */
  eventsSince(index: number, sub: number): readonly LoggedEvent[] | undefined;
  /** Every row at one index, in key order. */
  snapshot(): Promise<{
    readonly index: number;
    readonly rows: AsyncIterable<readonly [string, unknown]>;
    readonly stateHash: string;
  }>;
}

export interface AppliedBatch {
  readonly appliedIndex: number;
  readonly entries: readonly AppliedEntry[];
}
export interface AppliedEntry {
  readonly index: number;
  readonly command: Command;
  readonly outcome: Outcome;
  readonly events: readonly LoggedEvent[];
}
