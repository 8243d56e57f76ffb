// The typed client of the HTTP API: the command line and users' programs speak to a mesh through it. Requests that are
// safe to repeat are repeated; those that create or act carry an idempotency key, so they are safe to repeat as well.
import type {
  Accepted,
  AttemptList,
  BlobCheck,
  CancelRequest,
  EventList,
  EventView,
  Explanation,
  JobList,
  JobPlan,
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
import type {
  Drained,
  KeyList,
  KeyRequest,
  KeyView,
  MemberList,
  PeerList,
  Readiness,
  TicketRequest,
  TicketView,
  WhoAmI,
} from '../../protocol/api/mesh.ts';
import { errorOf, type Problem } from '../../protocol/api/problem.ts';
import { SkeinError } from '../../protocol/errors.ts';
import type { Clock } from '../../protocol/time.ts';
import { Patience } from './patience.ts';
import { download, events, type Line } from './streams.ts';
import { type Call, type GatewayAddress, Transport, textOf } from './transport.ts';
import { type Upload, upload } from './upload.ts';

export interface ClientOptions {
  /** Tried in order; the one that answered last first. */
  readonly gateways: readonly GatewayAddress[];
  readonly key: string;
  readonly clock: Clock;
  /** How long a gateway that answered once may be away before a call fails; 120,000 unless told. */
  readonly patienceMs?: number;
}

/** A piece of a followed log. `attempt` means: from here on the output is this attempt's, from its start. */
export type LogItem =
  | ({ readonly kind: 'attempt' } & LogAttempt)
  | ({ readonly kind: 'log'; readonly bytes: Uint8Array } & Omit<LogEvent, 'base64'>)
  | ({ readonly kind: 'end' } & LogEnd);

export interface LogQuery {
  readonly stream: 'out' | 'err';
  /** A number, `latest`, or, followed, `all`. */
  readonly attempt?: string;
}

export interface JobQuery {
  readonly state?: string;
  readonly label?: string;
  readonly since?: string;
  readonly limit?: number;
  readonly cursor?: string;
}

type Query = Readonly<Record<string, string | number | undefined>>;

const PATIENCE_MS = 120_000;
/** On top of what the gateway itself waits. */
const WAIT_MARGIN_MS = 30_000;
const WAIT_MS_MAX = 60_000;

/** Fails with the SkeinError that the gateway sent, with `unreachable` or `certificate-changed`. */
export class SkeinClient {
  readonly #line: Line;

  constructor({ gateways, key, clock, patienceMs = PATIENCE_MS }: ClientOptions) {
    const transport = new Transport({ gateways, key, clock });
    this.#line = { transport, patience: new Patience(clock, patienceMs), clock };
  }

  close(): void {
    this.#line.transport.close();
  }

  /** The gateway in use, and its version once it has answered. */
  get url(): string {
    return this.#line.transport.url;
  }
  get gatewayVersion(): string | null {
    return this.#line.transport.gatewayVersion;
  }

  submit(spec: JobSpec, idempotencyKey: string, signal?: AbortSignal): Promise<Submitted> {
    return this.#act('/v1/jobs', spec, idempotencyKey, signal);
  }

  plan(spec: JobSpec, signal?: AbortSignal): Promise<JobPlan> {
    return this.#json({ method: 'POST', path: '/v1/jobs?dryRun=1', body: JSON.stringify(spec), signal });
  }

  job(ref: string, signal?: AbortSignal): Promise<JobView> {
    return this.#get(jobPath(ref), {}, signal);
  }

  /** Answers at the end of the job, or as it is after `timeoutMs`. */
  async waitFor(ref: string, timeoutMs: number, signal?: AbortSignal): Promise<JobView> {
    const { clock } = this.#line;
    const end = clock.monotonic() + timeoutMs;
    for (;;) {
      const left = Math.max(0, Math.min(WAIT_MS_MAX, Math.round(end - clock.monotonic())));
      const path = withQuery(jobPath(ref, 'wait'), { timeoutMs: left });
      const view = await this.#json<JobView>({ method: 'GET', path, answerMs: left + WAIT_MARGIN_MS, signal });
      if (view.finishedAt !== null || clock.monotonic() >= end) return view;
    }
  }

  jobs(query: JobQuery, signal?: AbortSignal): Promise<JobList> {
    return this.#get('/v1/jobs', { ...query }, signal);
  }

  task(ref: string, n: number, signal?: AbortSignal): Promise<TaskView> {
    return this.#get(taskPath(ref, n), {}, signal);
  }

  tasks(ref: string, cursor: string | undefined, signal?: AbortSignal): Promise<TaskList> {
    return this.#get(jobPath(ref, 'tasks'), { limit: 500, cursor }, signal);
  }

  attempts(ref: string, cursor: string | undefined, signal?: AbortSignal): Promise<AttemptList> {
    return this.#get(jobPath(ref, 'attempts'), { limit: 500, cursor }, signal);
  }

  explain(ref: string, task: number | undefined, signal?: AbortSignal): Promise<Explanation> {
    return this.#get(jobPath(ref, 'explain'), { task }, signal);
  }

  history(ref: string, signal?: AbortSignal): Promise<EventList> {
    return this.#get(jobPath(ref, 'events'), {}, signal);
  }

  /** Resumes by itself and ends with the job. Of the whole mesh, where no job is named, it never ends. */
  async *events(ref: string | undefined, signal: AbortSignal): AsyncGenerator<EventView> {
    const path = ref === undefined ? '/v1/events' : jobPath(ref, 'events');
    for await (const { event, data } of events(this.#line, path, signal)) {
      if (event === 'error') throw sentError(data);
      yield data as EventView;
      if (event === 'job.done' && ref !== undefined) return;
    }
  }

  cancel(ref: string, request: CancelRequest, idempotencyKey: string, signal?: AbortSignal): Promise<Accepted> {
    return this.#act(jobPath(ref, 'cancel'), request, idempotencyKey, signal);
  }

  retry(ref: string, request: RetryRequest, idempotencyKey: string, signal?: AbortSignal): Promise<Accepted> {
    return this.#act(jobPath(ref, 'retry'), request, idempotencyKey, signal);
  }

  /** Resumes by itself at the byte; ends after `end`. */
  async *followLog(ref: string, task: number, query: LogQuery, signal: AbortSignal): AsyncGenerator<LogItem> {
    const path = withQuery(taskPath(ref, task, 'logs'), { ...query });
    for await (const { event, data } of events(this.#line, path, signal)) {
      if (event === 'error') throw sentError(data);
      if (event === 'log') yield logBytes(data as LogEvent);
      else if (event === 'task.attempt') yield { kind: 'attempt', ...(data as LogAttempt) };
      else if (event === 'end') {
        yield { kind: 'end', ...(data as LogEnd) };
        return;
      }
    }
  }

  /** Bytes from `offset` on: all of a log that is closed, what there is by now of one that is not. */
  async readLog(ref: string, task: number, query: LogQuery, offset: number, signal?: AbortSignal) {
    return download(this.#line, withQuery(taskPath(ref, task, 'logs'), { ...query }), offset, signal);
  }

  outputs(ref: string, task: number, signal?: AbortSignal): Promise<OutputManifest> {
    return this.#get(taskPath(ref, task, 'outputs'), {}, signal);
  }

  async readOutput(ref: string, task: number, path: string, offset: number, signal?: AbortSignal) {
    const name = path.split('/').map(encodeURIComponent).join('/');
    return download(this.#line, `${taskPath(ref, task, 'outputs')}/${name}`, offset, signal);
  }

  async readTar(ref: string, query: { readonly tasks?: string; readonly prefix?: string }, signal?: AbortSignal) {
    return download(this.#line, withQuery(jobPath(ref, 'outputs.tar'), query), 0, signal);
  }

  /** Any number of hashes. */
  async checkBlobs(sha256: readonly string[], signal?: AbortSignal): Promise<BlobCheck> {
    const missing: BlobCheck['missing'] = [];
    for (let at = 0; at < sha256.length; at += 1000) {
      const body = JSON.stringify({ sha256: sha256.slice(at, at + 1000) });
      const part = await this.#json<BlobCheck>({ method: 'POST', path: '/v1/blobs/check', body, signal });
      missing.push(...part.missing);
    }
    return { schema: 'skein.blobcheck/1', missing };
  }

  upload(blob: Upload, signal?: AbortSignal): Promise<void> {
    return upload(this.#line, blob, signal);
  }

  async readBlob(sha256: string, signal?: AbortSignal) {
    return download(this.#line, `/v1/blobs/${sha256}`, 0, signal);
  }

  peers(signal?: AbortSignal): Promise<PeerList> {
    return this.#get('/v1/peers', {}, signal);
  }

  members(signal?: AbortSignal): Promise<MemberList> {
    return this.#get('/v1/members', {}, signal);
  }

  /** @param peer its id or its name. */
  drain(peer: string, draining: boolean, idempotencyKey: string, signal?: AbortSignal): Promise<Drained> {
    return this.#act(`/v1/peers/${encodeURIComponent(peer)}/drain`, { draining }, idempotencyKey, signal);
  }

  createTicket(request: TicketRequest, idempotencyKey: string, signal?: AbortSignal): Promise<TicketView> {
    return this.#act('/v1/tickets', request, idempotencyKey, signal);
  }

  keys(signal?: AbortSignal): Promise<KeyList> {
    return this.#get('/v1/keys', {}, signal);
  }

  createKey(request: KeyRequest, idempotencyKey: string, signal?: AbortSignal): Promise<KeyView> {
    return this.#act('/v1/keys', request, idempotencyKey, signal);
  }

  /** @param key its id or its name. */
  revokeKey(key: string, signal?: AbortSignal): Promise<KeyView> {
    return this.#json({ method: 'DELETE', path: `/v1/keys/${encodeURIComponent(key)}`, signal });
  }

  /** Replaces a key by another, of which the hash is given. */
  rotateKey(key: string, keyHash: string, idempotencyKey: string, signal?: AbortSignal): Promise<KeyView> {
    return this.#act(`/v1/keys/${encodeURIComponent(key)}/rotate`, { keyHash }, idempotencyKey, signal);
  }

  whoami(signal?: AbortSignal): Promise<WhoAmI> {
    return this.#get('/v1/whoami', {}, signal);
  }

  /** Also of a gateway that is not ready: then `ready` is false. Asked once, with no patience. */
  async readiness(signal?: AbortSignal): Promise<Readiness> {
    const call: Call = { method: 'GET', path: '/readyz', accepts: [503], signal };
    return JSON.parse(await textOf(await this.#line.transport.send(call)));
  }

  #get<T>(path: string, query: Query, signal: AbortSignal | undefined): Promise<T> {
    return this.#json({ method: 'GET', path: withQuery(path, query), signal });
  }

  #act<T>(path: string, body: unknown, idempotencyKey: string, signal: AbortSignal | undefined): Promise<T> {
    const headers = { 'idempotency-key': idempotencyKey };
    return this.#json({ method: 'POST', path, headers, body: JSON.stringify(body), signal });
  }

  /** Every such call may be repeated: it reads, it says what shall be so, or it has an idempotency key. */
  #json<T>(call: Call): Promise<T> {
    const once = async (): Promise<T> => JSON.parse(await textOf(await this.#line.transport.send(call)));
    return this.#line.patience.persist(once, call.signal);
  }
}

const jobPath = (ref: string, rest?: string): string =>
  `/v1/jobs/${encodeURIComponent(ref)}${rest === undefined ? '' : `/${rest}`}`;
const taskPath = (ref: string, n: number, rest?: string): string =>
  `${jobPath(ref, 'tasks')}/${n}${rest === undefined ? '' : `/${rest}`}`;

function withQuery(path: string, query: Query): string {
  const set = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]));
  return set.length === 0 ? path : `${path}?${new URLSearchParams(set)}`;
}

function logBytes({ base64, ...place }: LogEvent): LogItem {
  return { kind: 'log', ...place, bytes: Buffer.from(base64, 'base64') };
}

function sentError(data: unknown): SkeinError {
  const sentence = (data as Partial<Problem> | null)?.sentence;
  return errorOf(data) ?? new SkeinError('internal-error', sentence ?? 'the gateway ended the stream');
}
