// Every command that the log may hold. Times, ids and chance are chosen by the proposer and ride in the command,
// so that `apply` gives the same rows on every member.
import type { JobSpec } from '../api/jobspec.ts';
import type { EpochId, Fence, JobId, MeshId, PeerId } from '../ids.ts';
import type { Result } from './result.ts';
import type { AttemptEnd, Begun, Role, Scope, SettingsRow, StopSignal } from './rows.ts';

/** Per project; the first answer is kept in rows and given again. */
export interface Idempotency {
  readonly key: string;
  /** Over the canonical parsed body. */
  readonly bodyHash: string;
}

export type Command =
  | {
      readonly kind: 'mesh.created';
      readonly meshId: MeshId;
      readonly founder: PeerId;
      readonly name: string;
      readonly epochId: EpochId;
      readonly at: number;
    }
  | { readonly kind: 'settings.set'; readonly settings: Partial<SettingsRow>; readonly at: number }
  | {
      readonly kind: 'member.joined';
      readonly peerId: PeerId;
      readonly name: string;
      readonly roles: readonly Role[];
      readonly boxKey: string;
      readonly observer: PeerId | null;
      /** sha-256 of the ticket's secret, or null for the member that created the mesh. */
      readonly ticket: string | null;
      readonly at: number;
    }
  | {
      /** A starting node's new incarnation and the fences whose attempts it still holds. */
      readonly kind: 'member.adopted';
      readonly peerId: PeerId;
      readonly incarnation: number;
      readonly fences: readonly Fence[];
      /** What the leader heard as begun, and what the node itself found begun: only these are blamed when requeued. */
      readonly begun: readonly Begun[];
      readonly at: number;
    }
  | {
      readonly kind: 'member.dead';
      readonly peerId: PeerId;
      readonly incarnation: number;
      /** What the leader heard as begun; null where it never heard this worker, so that it cannot tell. */
      readonly begun: readonly Begun[] | null;
      /** For people: `no heartbeat for 15 s`. */
      readonly reason: string;
      readonly at: number;
    }
  | {
      readonly kind: 'member.draining';
      readonly peerId: PeerId;
      readonly draining: boolean;
      /** Whose idempotency key it is. */
      readonly project: string;
      readonly idempotency: Idempotency | null;
      readonly at: number;
    }
  | { readonly kind: 'member.left'; readonly peerId: PeerId; readonly at: number }
  /** These two stand in entries that change the configuration, and nowhere else. */
  | { readonly kind: 'replica.added'; readonly peerId: PeerId; readonly at: number }
  | { readonly kind: 'replica.changed'; readonly sentence: string; readonly at: number }
  | { readonly kind: 'voters.set'; readonly target: number; readonly at: number }
  | {
      readonly kind: 'ticket.created';
      readonly secretHash: string;
      readonly roles: readonly Role[];
      readonly uses: number;
      readonly expiresAt: number;
      readonly by: string;
      /** Whose idempotency key it is. */
      readonly project: string;
      readonly idempotency: Idempotency | null;
      readonly at: number;
    }
  | {
      /** Those that have expired by then; any other stays. */
      readonly kind: 'tickets.dropped';
      readonly secretHashes: readonly string[];
      readonly at: number;
    }
  | {
      readonly kind: 'key.created';
      readonly keyHash: string;
      readonly name: string;
      readonly scope: Scope;
      readonly project: string;
      readonly idempotency: Idempotency | null;
      readonly at: number;
      /** Replaces this key: revoked in the same step. */
      readonly replaces: string | null;
    }
  | { readonly kind: 'key.revoked'; readonly keyHash: string; readonly at: number }
  | {
      readonly kind: 'job.submitted';
      readonly jobId: JobId;
      readonly project: string;
      readonly spec: JobSpec;
      readonly taskCount: number;
      readonly by: string;
      readonly idempotency: Idempotency | null;
      readonly at: number;
    }
  | {
      readonly kind: 'job.cancelled';
      readonly jobId: JobId;
      /** Inclusive range, or null for the whole job. */
      readonly tasks: readonly [number, number] | null;
      readonly reason: string | null;
      /** From the signal to SIGKILL; absent: 10 s. Of a whole job. */
      readonly graceMs?: number;
      /** What tells the scripts; absent: SIGTERM. Of a whole job. */
      readonly signal?: StopSignal;
      readonly idempotency: Idempotency | null;
      readonly project: string;
      readonly at: number;
    }
  | {
      readonly kind: 'job.retried';
      readonly jobId: JobId;
      readonly tasks: 'failed' | 'all' | readonly number[];
      readonly idempotency: Idempotency | null;
      readonly project: string;
      readonly at: number;
    }
  | { readonly kind: 'job.dropped'; readonly jobId: JobId; readonly at: number }
  | {
      readonly kind: 'idempotency.dropped';
      readonly project: string;
      readonly keys: readonly string[];
      readonly at: number;
    }
  | {
      readonly kind: 'task.granted';
      readonly jobId: JobId;
      readonly task: number;
      readonly peerId: PeerId;
      readonly incarnation: number;
      readonly at: number;
    }
  | {
      readonly kind: 'task.finished';
      readonly fence: Fence;
      readonly jobId: JobId;
      readonly task: number;
      /** As the gateway saw it proven by the transport. */
      readonly peerId: PeerId;
      readonly incarnation: number;
      readonly result: Result;
      readonly at: number;
    }
  | {
      readonly kind: 'task.ended';
      readonly fence: Fence;
      readonly jobId: JobId;
      readonly task: number;
      readonly peerId: PeerId;
      readonly incarnation: number;
      /** `intact` on a grant that `dead` closed takes the blame back and changes nothing else. */
      readonly reason: AttemptEnd | 'intact';
      /** Null where nothing of it ran. */
      readonly startedAt: number | null;
      readonly at: number;
    };

/**
 * What applying a command came to. A refusal is an expected outcome, committed like any other:
 * every member refuses alike.
 */
export type Outcome =
  | { readonly kind: 'done'; readonly answer: Readonly<Record<string, unknown>>; readonly replayed?: boolean }
  | {
      readonly kind: 'refused';
      readonly code:
        | 'not-found'
        | 'state-conflict'
        | 'idempotency-mismatch'
        | 'ticket-refused'
        | 'stale-fence'
        | 'not-holder'
        | 'stale-incarnation'
        | 'not-member';
      readonly sentence: string;
      /** What whoever asked can do next. */
      readonly fix?: string;
    };
