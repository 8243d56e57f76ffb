// What the commands ask of a gateway. The typed client is the implementation; tests hand in a mesh of their own.
import type {
  Accepted,
  BlobCheck,
  CancelRequest,
  EventList,
  EventView,
  Explanation,
  JobList,
  JobView,
  LogAttempt,
  LogEnd,
  LogEvent,
  OutputManifest,
  RetryRequest,
  Submitted,
  TaskList,
  TaskView,
} from '../../protocol/api/job.ts';
import type { JobSpec } from '../../protocol/api/jobspec.ts';

export type LogItem =
  | ({ readonly kind: 'attempt' } & LogAttempt)
  | ({ readonly kind: 'log'; readonly bytes: Uint8Array } & Omit<LogEvent, 'base64'>)
  | ({ readonly kind: 'end' } & LogEnd);

export interface LogQuery {
  readonly stream: 'out' | 'err';
  /** A number, `latest` or `all`. */
  readonly attempt?: string;
}

export interface Jobs {
  submit(spec: JobSpec, idempotencyKey: string, signal?: AbortSignal): Promise<Submitted>;
  job(ref: string, signal?: AbortSignal): Promise<JobView>;
  /** Answers at the end of the job, or as it is after `timeoutMs`. */
  waitFor(ref: string, timeoutMs: number, signal?: AbortSignal): Promise<JobView>;
  jobs(query: JobQuery, signal?: AbortSignal): Promise<JobList>;
  task(ref: string, n: number, signal?: AbortSignal): Promise<TaskView>;
  tasks(ref: string, cursor: string | undefined, signal?: AbortSignal): Promise<TaskList>;
  explain(ref: string, task: number | undefined, signal?: AbortSignal): Promise<Explanation>;
  history(ref: string, signal?: AbortSignal): Promise<EventList>;
  /** Resumes by itself; ends with the job. Of the whole mesh where no job is named: never ends. */
  events(ref: string | undefined, signal: AbortSignal): AsyncIterable<EventView>;
  cancel(ref: string, request: CancelRequest, idempotencyKey: string): Promise<Accepted>;
  retry(ref: string, request: RetryRequest, idempotencyKey: string): Promise<Accepted>;
  /** Resumes by itself at the byte; ends with `end`. */
  followLog(ref: string, task: number, query: LogQuery, signal: AbortSignal): AsyncIterable<LogItem>;
  /** Bytes from `offset` on. */
  readLog(
    ref: string,
    task: number,
    query: LogQuery,
    offset: number,
    signal?: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array>>;
  outputs(ref: string, task: number, signal?: AbortSignal): Promise<OutputManifest>;
  readOutput(
    ref: string,
    task: number,
    path: string,
    offset: number,
    signal?: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array>>;
  readTar(
    ref: string,
    query: { readonly tasks?: string; readonly prefix?: string },
    signal?: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array>>;
  checkBlobs(sha256: readonly string[], signal?: AbortSignal): Promise<BlobCheck>;
  /** Resumable: `open` is asked for the bytes from an offset on. */
  upload(blob: Upload, signal?: AbortSignal): Promise<void>;
  readBlob(sha256: string, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
}

export interface JobQuery {
  readonly state?: string;
  readonly label?: string;
  readonly since?: string;
  readonly limit?: number;
  readonly cursor?: string;
}

export interface Upload {
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly offset: number;
  readonly open: (offset: number) => AsyncIterable<Uint8Array>;
}
