// The rows of the replicated state: their keys and shapes. Rows are immutable values; `apply` replaces them whole.
// Nothing here is ever scanned by `apply`: what it needs to find is named by a key.
import type { JobSpec } from '../api/jobspec.ts';
import type { EpochId, Fence, JobId, MeshId, PeerId } from '../ids.ts';
import type { Configuration, VoterId } from '../raft/message.ts';
import type { Exit, ExitReason, Outputs, Span } from './result.ts';

/** A row's key, which carries the type of the row under it. */
export type RowKey<Row> = string & { readonly row?: Row };

export type Role = 'worker' | 'gateway' | 'voter';

export interface MeshRow {
  readonly meshId: MeshId;
  readonly name: string;
  readonly createdAt: number;
  readonly meshVersion: number;
  /** The member that made the mesh: the only one that needs no ticket. */
  readonly founder: PeerId;
  readonly epoch: { readonly number: number; readonly id: EpochId };
}

/** Who holds the log, as of the applied index. */
export interface ReplicasRow {
  /** How many voters the mesh works towards: 1, 3 or 5. */
  readonly target: number;
  readonly configuration: Configuration;
  /** Whose each replica is. */
  readonly peers: readonly (readonly [VoterId, PeerId])[];
}

export interface SettingsRow {
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  readonly keepMs: number;
}

export interface MemberRow {
  readonly peerId: PeerId;
  readonly name: string;
  readonly roles: readonly Role[];
  /** X25519 public key, base64: what secrets for this member are sealed to. */
  readonly boxKey: string;
  /** Ed25519 public key of the observer that `skein peers` uses on this machine (a libp2p peer id), or null. */
  readonly observer: PeerId | null;
  readonly incarnation: number;
  readonly state: 'alive' | 'draining' | 'dead' | 'left';
  readonly joinedAt: number;
  readonly ticket: string | null;
}

/** The open grants of a worker: what `dead` requeues and `adopted` moves. */
export interface HoldsRow {
  readonly grants: readonly Hold[];
}
export interface Hold {
  readonly index: number;
  readonly jobId: JobId;
  readonly task: number;
}

export interface JobRow {
  readonly jobId: JobId;
  readonly project: string;
  /** Log index of the submission: the order of arrival. */
  readonly index: number;
  readonly spec: JobSpec;
  readonly taskCount: number;
  readonly submittedAt: number;
  readonly submittedBy: string;
  /** Raised at each retry: lets a reader tell this run's rows from those of the last. */
  readonly retried: number;
}

export type JobState = 'queued' | 'running' | 'completed' | 'failed' | 'cancelled';
export type TaskState = JobState;

export interface Counts {
  readonly queued: number;
  readonly running: number;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
}

/** How a script is told to stop: Ctrl-C is passed on as what it is, anything else asks as `kill` does. */
export const stopSignals = ['SIGINT', 'SIGTERM'] as const;
export type StopSignal = (typeof stopSignals)[number];

export interface Cancellation {
  readonly at: number;
  readonly reason: string | null;
  readonly graceMs?: number;
  readonly signal?: StopSignal;
}

/** What changes as a job goes on; apart from JobRow so that a grant need not rewrite the spec. */
export interface ProgressRow {
  readonly jobId: JobId;
  readonly state: JobState;
  readonly counts: Counts;
  /** Tasks from here on have never left `queued` and have no row of their own. */
  readonly next: number;
  /** Inclusive ranges of tasks that came back, in the order in which they go out again. */
  readonly returned: readonly (readonly [number, number])[];
  readonly cancel: Cancellation | null;
  readonly attempts: number;
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
}

export interface AttemptRow {
  readonly n: number;
  readonly peerId: PeerId;
  readonly peerName: string;
  readonly fence: Fence;
  readonly state: 'open' | 'finished' | 'lost' | 'handed-back' | 'cancelled';
  readonly grantedAt: number;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  readonly exit: Exit | null;
  readonly reason: ExitReason | AttemptEnd | null;
  readonly detail: string | null;
  /** Whether the task counts this attempt against `maxLost`. */
  readonly blamed: boolean;
  readonly stdout: Span | null;
  readonly stderr: Span | null;
  readonly outputs: Outputs | null;
}

/** A fence that its holder has begun, and when, by its holder's wall clock. */
export type Begun = readonly [fence: Fence, startedAt: number];

/** Why a grant closed without a result. */
export type AttemptEnd =
  | 'worker-dead'
  | 'worker-restarted'
  | 'drained'
  | 'runner-died'
  | 'cancelled'
  | 'lease-lapsed'
  | 'unbegun';

export interface TaskRow {
  readonly jobId: JobId;
  readonly n: number;
  readonly state: TaskState;
  /** The open grant, at most one. */
  readonly open: { readonly index: number; readonly peerId: PeerId; readonly incarnation: number } | null;
  /** Oldest first; the published result is the last attempt's where the state is completed or failed. */
  readonly attempts: readonly AttemptRow[];
  readonly lost: number;
  readonly failed: number;
  readonly cancelRequested: boolean;
}

export interface TicketRow {
  readonly roles: readonly Role[];
  readonly usesLeft: number;
  readonly expiresAt: number;
  readonly createdBy: string;
  /** Who redeemed it: the same peer gets the same answer again. */
  readonly redeemedBy: readonly PeerId[];
}

export type Scope = 'submit' | 'read' | 'admin';

export interface KeyRow {
  readonly name: string;
  readonly scope: Scope;
  readonly project: string;
  readonly createdAt: number;
  readonly revokedAt: number | null;
}

/** How many admin keys are in force: `apply` scans nothing and must know which is the last. */
export interface AdminsRow {
  readonly count: number;
}

/** The answer that an idempotency key gets again. */
export interface IdempotencyRow {
  readonly bodyHash: string;
  readonly at: number;
  readonly answer: Readonly<Record<string, unknown>>;
}

const pad = (n: number): string => String(n).padStart(16, '0');

export const keys = {
  mesh: 'mesh' as RowKey<MeshRow>,
  replicas: 'replicas' as RowKey<ReplicasRow>,
  settings: 'settings' as RowKey<SettingsRow>,
  /** Whose name it is: names are unique within a mesh. */
  name: (name: string): RowKey<{ readonly peerId: PeerId }> => `name/${name}`,
  member: (peerId: PeerId): RowKey<MemberRow> => `member/${peerId}`,
  /** Present from `drain` to `undrain`: a node that dies meanwhile comes back draining. */
  drain: (peerId: PeerId): RowKey<{ readonly at: number }> => `drain/${peerId}`,
  holds: (peerId: PeerId): RowKey<HoldsRow> => `holds/${peerId}`,
  job: (jobId: JobId): RowKey<JobRow> => `job/${jobId}`,
  progress: (jobId: JobId): RowKey<ProgressRow> => `progress/${jobId}`,
  task: (jobId: JobId, n: number): RowKey<TaskRow> => `task/${jobId}/${pad(n)}`,
  /** In order of arrival, for lists: the job's id under its log index. */
  arrival: (index: number): RowKey<{ readonly jobId: JobId }> => `arrival/${pad(index)}`,
  /** Present while the job has not ended: what a starting leader reads to rebuild its queue. */
  live: (jobId: JobId): RowKey<{ readonly index: number }> => `live/${jobId}`,
  ticket: (secretHash: string): RowKey<TicketRow> => `ticket/${secretHash}`,
  /** Under the sha-256 of the key's text. */
  key: (keyHash: string): RowKey<KeyRow> => `key/${keyHash}`,
  admins: 'admins' as RowKey<AdminsRow>,
  idempotency: (project: string, key: string): RowKey<IdempotencyRow> => `idempotency/${project}/${key}`,
} as const;

/** The applied rows as `apply` and decisions read them. */
export interface View {
  get<Row>(key: RowKey<Row>): Row | undefined;
}
