// A mesh in memory behind the gateway's port: the real `apply` over a map of rows, no consensus, no disk, no workers.
// Tests grant and finish tasks by hand.
import { hash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { BlobPort, LogChunk, MeshPort, MeshStatus, Waiting } from '../../gateway/port.ts';
import type { PeerView } from '../../protocol/api/mesh.ts';
import { SkeinError } from '../../protocol/errors.ts';
import type { EpochId, Fence, JobId, MeshId, PeerId, Sha256 } from '../../protocol/ids.ts';
import { makeJobId } from '../../protocol/ids.ts';
import type { Random } from '../../protocol/random.ts';
import { apply } from '../../protocol/state/apply.ts';
import type { Command, Outcome } from '../../protocol/state/command.ts';
import type { LoggedEvent } from '../../protocol/state/event.ts';
import type { OutputFile, Result, Span } from '../../protocol/state/result.ts';
import { keys, type RowKey, type TaskRow, type View } from '../../protocol/state/rows.ts';

export const ADMIN_KEY = 'admin-key-of-the-tests';
const EPOCH = 'e'.repeat(32) as EpochId;
export const PEER = 'peer-one' as PeerId;
const INCARNATION = 1;

interface FakeLog {
  bytes: Buffer;
  ended: boolean;
}

export class FakeMesh implements MeshPort {
  readonly #rows = new Map<string, unknown>();
  readonly #events: LoggedEvent[] = [];
  readonly #listeners = new Set<(events: readonly LoggedEvent[]) => void>();
  readonly #logs = new Map<string, FakeLog>();
  readonly #woken = new Set<() => void>();
  readonly #random: Random;
  readonly blobs = new FakeBlobs();
  index = 0;
  barriers = 0;
  proposals = 0;
  /** Set to make the mesh fail as one without a quorum does. */
  failing: SkeinError | undefined;
  /** The next proposal commits and its answer is lost. */
  losesNextAnswer = false;
  eventsFrom = 0;
  waitingNow: Waiting | null = null;
  unmetNow: string | undefined;
  begunNow = true;
  nowMs = Date.UTC(2026, 10, 24, 12, 0, 0);
  peersNow: PeerView[] = [];

  constructor(random: Random) {
    this.#random = random;
    const at = this.nowMs;
    this.commit({
      kind: 'mesh.created',
      meshId: 'a'.repeat(32) as MeshId,
      name: 'fake',
      founder: PEER,
      epochId: EPOCH,
      at,
    });
    this.addKey(ADMIN_KEY, 'admin', 'admin');
    this.commit({
      kind: 'member.joined',
      peerId: PEER,
      name: 'one',
      roles: ['worker', 'gateway', 'voter'],
      boxKey: '',
      observer: null,
      ticket: null,
      at,
    });
    this.commit({ kind: 'member.adopted', peerId: PEER, incarnation: INCARNATION, fences: [], begun: [], at });
  }

  addKey(text: string, name: string, scope: 'admin' | 'submit' | 'read', project = 'default'): void {
    const keyHash = hash('sha256', text, 'hex');
    this.commit({
      kind: 'key.created',
      keyHash,
      name,
      scope,
      project,
      at: this.nowMs,
      replaces: null,
      idempotency: null,
    });
  }

  readonly view: View = { get: <Row>(key: RowKey<Row>) => this.#rows.get(key) as Row | undefined };

  status(): MeshStatus {
    return {
      meshId: 'a'.repeat(32) as MeshId,
      meshName: 'fake',
      epochId: EPOCH,
      self: PEER,
      version: '0.0.0',
      term: 1,
      leader: this.failing === undefined ? PEER : null,
      commitIndex: this.index,
      appliedIndex: this.index,
      voters: { total: 1, healthy: 1, needed: 1 },
      disk: 'ok',
      ready: this.failing === undefined,
    };
  }

  commit(command: Command): { index: number; outcome: Outcome } {
    const index = ++this.index;
    const effect = apply(this.view, command, { index, epochId: EPOCH });
    for (const { key, row } of effect.changes) {
      if (row === undefined) this.#rows.delete(key);
      else this.#rows.set(key, row);
    }
    const events = effect.events.map((event, sub) => ({ ...event, index, sub }));
    this.#events.push(...events);
    for (const listener of this.#listeners) listener(events);
    for (const wake of [...this.#woken]) wake();
    return { index, outcome: effect.outcome };
  }

  async propose(command: Command): Promise<{ index: number; outcome: Outcome }> {
    this.proposals++;
    if (this.failing !== undefined) throw this.failing;
    const applied = this.commit(command);
    if (!this.losesNextAnswer) return applied;
    this.losesNextAnswer = false;
    throw new SkeinError('outcome-unknown', 'the leader was lost before it answered');
  }

  async readBarrier(): Promise<void> {
    this.barriers++;
    if (this.failing !== undefined) throw this.failing;
  }

  async *scan<Row>(prefix: string, options: { after?: string; reverse?: boolean; limit?: number } = {}) {
    const names = [...this.#rows.keys()].filter((name) => name.startsWith(prefix)).sort();
    if (options.reverse) names.reverse();
    const { after } = options;
    const inside = (name: string) => after === undefined || (options.reverse ? name < after : name > after);
    for (const name of names.filter(inside).slice(0, options.limit)) {
      yield [name as RowKey<Row>, this.#rows.get(name) as Row] as const;
    }
  }

  eventsSince(index: number, sub: number): readonly LoggedEvent[] | undefined {
    if (index < this.eventsFrom) return undefined;
    return this.#events.filter((event) => event.index > index || (event.index === index && event.sub > sub));
  }

  onEvents(listener: (events: readonly LoggedEvent[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  waiting(): Waiting | null {
    return this.waitingNow;
  }

  begun(): boolean {
    return this.begunNow;
  }

  peers(): readonly PeerView[] {
    return this.peersNow;
  }

  unmet(): string | undefined {
    return this.unmetNow;
  }

  async readLog(
    request: { jobId: JobId; task: number; attempt: number; stream: 'out' | 'err'; offset: number; waitMs: number },
    signal: AbortSignal,
  ): Promise<LogChunk> {
    const log = this.#log(request.jobId, request.task, request.attempt, request.stream);
    const until = AbortSignal.any([signal, AbortSignal.timeout(Math.max(1, request.waitMs))]);
    while (request.waitMs > 0 && !until.aborted && !log.ended && log.bytes.length <= request.offset) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#woken.delete(wake);
          resolve();
        };
        this.#woken.add(wake);
        until.addEventListener('abort', wake, { once: true });
      });
    }
    signal.throwIfAborted();
    const bytes = log.bytes.subarray(request.offset, request.offset + 65_536);
    return { offset: request.offset, bytes, end: log.ended && request.offset + bytes.length >= log.bytes.length };
  }

  async outputFiles(task: TaskRow): Promise<readonly OutputFile[]> {
    const outputs = task.attempts.at(-1)?.outputs;
    return outputs?.kind === 'inline' ? outputs.files : [];
  }

  quiet(): ReadonlyMap<string, number> {
    return new Map([['reaper', 1500]]);
  }

  newJobId(): JobId {
    return makeJobId(this.#random.bytes(10));
  }

  async ticketAddresses() {
    return { addresses: ['/ip4/127.0.0.1/tcp/7071'], peerIds: [PEER], notes: [] };
  }

  now(): number {
    return this.nowMs;
  }

  /** Grants a task to the one worker. */
  grant(jobId: JobId, task: number): Fence {
    const command = {
      kind: 'task.granted',
      jobId,
      task,
      peerId: PEER,
      incarnation: INCARNATION,
      at: this.nowMs,
    } as const;
    const { outcome } = this.commit(command);
    if (outcome.kind !== 'done') throw new Error(outcome.sentence);
    return outcome.answer.fence as Fence;
  }

  /** An event that no command made. */
  tell(sentence: string): void {
    const at = this.nowMs;
    const subject = { project: null, jobId: null, task: null, peerId: PEER, fields: {} };
    const event: LoggedEvent = { name: 'peer.state', ...subject, at, sentence, index: ++this.index, sub: 0 };
    for (const listener of this.#listeners) listener([event]);
  }

  /** Appends to a live log. */
  write(jobId: JobId, task: number, attempt: number, stream: 'out' | 'err', text: string): void {
    const log = this.#log(jobId, task, attempt, stream);
    log.bytes = Buffer.concat([log.bytes, Buffer.from(text)]);
    for (const wake of [...this.#woken]) wake();
  }

  finish(jobId: JobId, task: number, fence: Fence, result: Partial<Result> = {}): void {
    const row = this.view.get(keys.task(jobId, task));
    const n = row?.attempts.at(-1)?.n ?? 1;
    this.endLogs(jobId, task, n);
    const { outcome } = this.commit({
      kind: 'task.finished',
      fence,
      jobId,
      task,
      peerId: PEER,
      incarnation: INCARNATION,
      at: this.nowMs,
      result: {
        exit: { code: 0, signal: null },
        reason: 'exited',
        detail: null,
        startedAt: this.nowMs - 1000,
        endedAt: this.nowMs,
        stdout: this.keepLog(jobId, task, n, 'out'),
        stderr: this.keepLog(jobId, task, n, 'err'),
        outputs: { kind: 'inline', files: [] },
        ...result,
      },
    });
    if (outcome.kind !== 'done') throw new Error(outcome.sentence);
  }

  /** Gives the task back as one whose worker died under it. */
  lose(jobId: JobId, task: number, fence: Fence): void {
    const row = this.view.get(keys.task(jobId, task));
    this.endLogs(jobId, task, row?.attempts.at(-1)?.n ?? 1);
    const common = { fence, jobId, task, peerId: PEER, incarnation: INCARNATION, at: this.nowMs } as const;
    this.commit({ kind: 'task.ended', reason: 'runner-died', startedAt: null, ...common });
  }

  endLogs(jobId: JobId, task: number, attempt: number): void {
    for (const stream of ['out', 'err'] as const) this.#log(jobId, task, attempt, stream).ended = true;
    for (const wake of [...this.#woken]) wake();
  }

  keepLog(jobId: JobId, task: number, attempt: number, stream: 'out' | 'err'): Span | null {
    const { bytes } = this.#log(jobId, task, attempt, stream);
    if (bytes.length === 0) return null;
    return { blob: this.blobs.keep(bytes), offset: 0, sizeBytes: bytes.length };
  }

  #log(jobId: JobId, task: number, attempt: number, stream: string): FakeLog {
    const name = `${jobId}/${task}/${attempt}/${stream}`;
    const log = this.#logs.get(name) ?? { bytes: Buffer.alloc(0), ended: false };
    this.#logs.set(name, log);
    return log;
  }
}

export class FakeBlobs implements BlobPort {
  /** What was copied to other gateways before the log named it. */
  readonly copied: Sha256[] = [];
  readonly #whole = new Map<Sha256, Buffer>();
  readonly #partial = new Map<Sha256, Buffer>();

  keep(bytes: Buffer | string): Sha256 {
    const sha256 = hash('sha256', bytes, 'hex') as Sha256;
    this.#whole.set(sha256, Buffer.from(bytes));
    return sha256;
  }

  async stat(sha256: Sha256) {
    const bytes = this.#whole.get(sha256);
    return bytes === undefined ? undefined : { sizeBytes: bytes.length };
  }

  async put(sha256: Sha256, source: AsyncIterable<Uint8Array>) {
    if (this.#whole.has(sha256)) return { existed: true };
    const bytes = await collect(source);
    this.#verify(sha256, bytes);
    this.#whole.set(sha256, bytes);
    return { existed: false };
  }

  async uploadOffset(sha256: Sha256): Promise<number> {
    return this.#partial.get(sha256)?.length ?? 0;
  }

  async uploadAppend(sha256: Sha256, offset: number, totalBytes: number, source: AsyncIterable<Uint8Array>) {
    const before = this.#partial.get(sha256) ?? Buffer.alloc(0);
    if (offset !== before.length) {
      throw new SkeinError('bad-offset', `the upload goes on at ${before.length}`, {
        extra: { offset: before.length },
      });
    }
    let bytes = before;
    try {
      for await (const chunk of source) {
        bytes = Buffer.concat([bytes, chunk]);
        this.#partial.set(sha256, bytes);
      }
    } catch (cause) {
      throw new SkeinError('transfer-failed', 'the upload was cut off', { cause });
    }
    if (bytes.length < totalBytes) return { offset: bytes.length, done: false };
    this.#partial.delete(sha256);
    this.#verify(sha256, bytes);
    this.#whole.set(sha256, bytes);
    return { offset: bytes.length, done: true };
  }

  #verify(sha256: Sha256, bytes: Buffer): void {
    if (hash('sha256', bytes, 'hex') !== sha256) throw new SkeinError('digest-mismatch', 'the bytes have another hash');
  }

  async read(sha256: Sha256, range?: { offset: number; sizeBytes: number }): Promise<Readable> {
    const bytes = this.#whole.get(sha256);
    if (bytes === undefined) throw new SkeinError('not-found', `there is no blob ${sha256}`);
    const part = range === undefined ? bytes : bytes.subarray(range.offset, range.offset + range.sizeBytes);
    return Readable.from(part.length === 0 ? [] : [part]);
  }

  readSpan({ blob, offset, sizeBytes }: Span): Promise<Readable> {
    return this.read(blob, { offset, sizeBytes });
  }

  async lacking(blobs: Iterable<Sha256>, max?: number): Promise<Sha256[]> {
    return [...blobs].filter((sha256) => !this.#whole.has(sha256)).slice(0, max);
  }

  async copy(blobs: Iterable<Sha256>): Promise<void> {
    this.copied.push(...blobs);
  }
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}
