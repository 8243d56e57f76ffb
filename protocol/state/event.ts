// What `apply` tells the world. Names are those of the SSE stream (HTTP contract).
import type { JobId, PeerId } from '../ids.ts';

export type EventName = 'job.state' | 'task.state' | 'task.attempt' | 'outputs.ready' | 'job.done' | 'peer.state';

export interface StateEvent {
  readonly name: EventName;
  readonly project: string | null;
  readonly jobId: JobId | null;
  readonly task: number | null;
  readonly peerId: PeerId | null;
  readonly at: number;
  /** For people. */
  readonly sentence: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** An event with its place in the log: (epoch id, index, sub) is its id on every gateway. */
export interface LoggedEvent extends StateEvent {
  readonly index: number;
  readonly sub: number;
}
