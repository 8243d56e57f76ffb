// What the HTTP door needs of a mesh. node/mesh.ts implements it; gateway/ knows nothing else of a node.
import type { Readable } from 'node:stream';
import type { Verdict } from '../protocol/api/job.ts';
import type { PeerView } from '../protocol/api/mesh.ts';
import type { EpochId, JobId, MeshId, PeerId, Sha256 } from '../protocol/ids.ts';
import type { Command, Outcome } from '../protocol/state/command.ts';
import type { LoggedEvent } from '../protocol/state/event.ts';
import type { OutputFile, Span } from '../protocol/state/result.ts';
import type { RowKey, TaskRow, View } from '../protocol/state/rows.ts';

export interface MeshStatus {
  readonly meshId: MeshId;
  readonly meshName: string;
  readonly epochId: EpochId;
  readonly self: PeerId;
  readonly version: string;
  readonly term: number;
  readonly leader: PeerId | null;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly voters: { readonly total: number; readonly healthy: number; readonly needed: number };
  readonly disk: 'ok' | 'full' | 'failed';
  /** Ready to take submissions. */
  readonly ready: boolean;
  /** How long ago this replica last heard from a leader, ms: 0 where it leads, null or missing where it is not known. */
  readonly ageMs?: number | null;
}

export interface Waiting {
  readonly verdict: Verdict;
  readonly sentence: string;
  readonly since: number;
}

export interface LogChunk {
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** The attempt has ended and this is the last chunk. */
  readonly end: boolean;
}

export interface MeshPort {
  status(): MeshStatus;
  /** Proposes and waits for commit and apply. Fails as ReplicatedLog.propose does. */
  propose(command: Command, signal?: AbortSignal): Promise<{ readonly index: number; readonly outcome: Outcome }>;
  /** Afterwards `view` is linearizable. */
  readBarrier(signal?: AbortSignal): Promise<void>;
  readonly view: View;
  scan<Row>(
    prefix: string,
    options?: { after?: string; reverse?: boolean; limit?: number },
  ): AsyncIterable<readonly [RowKey<Row>, Row]>;

  /** Undefined where the memory of events does not reach back so far: the caller sends `gap`. */
  eventsSince(index: number, sub: number): readonly LoggedEvent[] | undefined;
  onEvents(listener: (events: readonly LoggedEvent[]) => void): () => void;

  readonly blobs: BlobPort;
  /** Why a job that is not finished waits, or undefined where something of it runs. */
  waiting(jobId: JobId): Waiting | null;
  /** Fences that workers report as begun: a granted task shows as `running` once it is heard. */
  begun(task: TaskRow): boolean;
  peers(): readonly PeerView[];
  /** Milliseconds since the last complete pass of each duty. */
  quiet(): ReadonlyMap<string, number>;
  /** Facts for placement known at submission: undefined, or the sentence why no known member could meet the needs. */
  unmet(
    needs: { cpu?: number | 'all'; memBytes?: number; diskBytes?: number; gpu?: number } | undefined,
  ): string | undefined;

  /** Reads the log of one attempt, live from its worker or from its blob. Waits up to `waitMs` for more. */
  readLog(
    request: { jobId: JobId; task: number; attempt: number; stream: 'out' | 'err'; offset: number; waitMs: number },
    signal: AbortSignal,
  ): Promise<LogChunk>;
  /** The files of a result, from the row or from its manifest blob. */
  outputFiles(task: TaskRow): Promise<readonly OutputFile[]>;

  newJobId(): JobId;
  /** Addresses and peer ids for a ticket; opens the mesh port beyond loopback where that is the default. */
  ticketAddresses(): Promise<{
    readonly addresses: readonly string[];
    readonly peerIds: readonly PeerId[];
    readonly notes: readonly string[];
  }>;
  now(): number;
}

export interface BlobPort {
  /** Undefined where no gateway has it that can be asked; otherwise it is here now, as what is read is. */
  stat(sha256: Sha256): Promise<{ readonly sizeBytes: number } | undefined>;
  put(
    sha256: Sha256,
    source: AsyncIterable<Uint8Array>,
    sizeBytes: number | undefined,
    signal: AbortSignal,
  ): Promise<{ readonly existed: boolean }>;
  uploadOffset(sha256: Sha256): Promise<number>;
  uploadAppend(
    sha256: Sha256,
    offset: number,
    totalBytes: number,
    source: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<{ offset: number; done: boolean }>;
  read(sha256: Sha256, range?: { offset: number; sizeBytes: number }): Promise<Readable>;
  readSpan(span: Span): Promise<Readable>;
  /** Those that no gateway has that can be asked; at most `max`. */
  lacking(blobs: Iterable<Sha256>, max?: number): Promise<Sha256[]>;
  /** Sees to it that they are on as many gateways as they should be, or can be for now, before the log names them. */
  copy(blobs: Iterable<Sha256>): Promise<void>;
}
