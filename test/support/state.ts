// The replicated state in memory for tests: a View that applies effects, builders of commands, and the invariants of rows.
// Every command is applied twice to deep-frozen inputs, so that each test also holds `apply` to be pure and deterministic.
import * as assert from 'uvu/assert';
import type { JobSpec } from '../../protocol/api/jobspec.ts';
import { type EpochId, type Fence, type JobId, type MeshId, makeFence, type PeerId } from '../../protocol/ids.ts';
import { apply, type Effect } from '../../protocol/state/apply.ts';
import type { Command, Idempotency, Outcome } from '../../protocol/state/command.ts';
import { taskState } from '../../protocol/state/queue.ts';
import type { Result } from '../../protocol/state/result.ts';
import {
  type AttemptEnd,
  type Begun,
  type Hold,
  type JobRow,
  keys,
  type MemberRow,
  type ProgressRow,
  type Role,
  type RowKey,
  type TaskRow,
  type TaskState,
  type View,
} from '../../protocol/state/rows.ts';

export const EPOCH = 'ab'.repeat(16) as EpochId;
export const ANN = 'peer-ann' as PeerId;
export const BOB = 'peer-bob' as PeerId;
export const CAT = 'peer-cat' as PeerId;

/** A job's id from a number below 26. */
export const job = (n: number): JobId => `j-${String.fromCharCode(97 + n).padStart(16, 'a')}` as JobId;

type Refused = Extract<Outcome, { kind: 'refused' }>;

export class State {
  readonly rows = new Map<string, unknown>();
  readonly view: View = { get: <Row>(key: RowKey<Row>) => this.rows.get(key) as Row | undefined };
  readonly epochId: EpochId;
  index = 0;
  /** Wall time that the builders put into commands. */
  now = 1_000;

  constructor(epochId: EpochId = EPOCH) {
    this.epochId = epochId;
  }

  apply(command: Command): Effect & { readonly index: number } {
    const place = deepFreeze({ index: ++this.index, epochId: this.epochId });
    deepFreeze(command);
    const effect = apply(this.view, command, place);
    assert.equal(apply(this.view, command, place), effect, 'the same rows and command give the same effect');
    if (effect.outcome.kind === 'refused') {
      assert.is(effect.changes.length + effect.events.length, 0, 'a refusal changes nothing and says nothing');
    }
    for (const { key, row } of effect.changes) {
      if (row === undefined) this.rows.delete(key);
      else this.rows.set(key, deepFreeze(row));
    }
    return { ...effect, index: place.index };
  }

  /** Applies what must be accepted. @returns its answer */
  done(command: Command): Readonly<Record<string, unknown>> {
    const { outcome } = this.apply(command);
    if (outcome.kind === 'refused') throw new Error(`refused ${command.kind}: ${outcome.code}, ${outcome.sentence}`);
    return outcome.answer;
  }

  refused(command: Command, code: Refused['code']): void {
    const { outcome } = this.apply(command);
    assert.is(outcome.kind === 'refused' ? outcome.code : 'done', code);
  }

  submit(jobId: JobId, tasks = 1, spec: Partial<JobSpec> = {}): JobId {
    this.done(submitted(jobId, tasks, spec, { at: this.now }));
    return jobId;
  }

  /** @returns the fence of the grant */
  grant(jobId: JobId, task: number, peerId: PeerId, incarnation = this.incarnation(peerId)): Fence {
    this.done(granted(jobId, task, peerId, incarnation));
    return makeFence(this.epochId, this.index);
  }

  incarnation(peerId: PeerId): number {
    return this.member(peerId).incarnation;
  }

  member(peerId: PeerId): MemberRow {
    return present(this.view.get(keys.member(peerId)));
  }

  job(jobId: JobId): JobRow {
    return present(this.view.get(keys.job(jobId)));
  }

  progress(jobId: JobId): ProgressRow {
    return present(this.view.get(keys.progress(jobId)));
  }

  task(jobId: JobId, n: number): TaskRow {
    return present(this.view.get(keys.task(jobId, n)));
  }

  taskState(jobId: JobId, n: number): TaskState {
    return taskState(this.progress(jobId), this.view.get(keys.task(jobId, n)), n);
  }

  holds(peerId: PeerId): readonly Hold[] {
    return this.view.get(keys.holds(peerId))?.grants ?? [];
  }

  fences(peerId: PeerId): readonly Fence[] {
    return this.holds(peerId).map((hold) => makeFence(this.epochId, hold.index));
  }
}

/** A mesh in which these peers are workers of incarnation 1; the first is its founder. */
export function meshOf(...peers: readonly PeerId[]): State {
  const state = new State();
  const [founder] = peers;
  state.done({
    kind: 'mesh.created',
    meshId: 'cd'.repeat(16) as MeshId,
    founder: founder ?? ANN,
    name: 'test',
    epochId: EPOCH,
    at: 0,
  });
  for (const peerId of peers) {
    if (peerId !== founder) state.done(ticketCreated(`ticket-of-${peerId}`));
    state.done(joined(peerId, peerId === founder ? null : `ticket-of-${peerId}`));
    state.done(adopted(peerId, 1));
  }
  return state;
}

export function ticketCreated(secretHash: string, options: { roles?: Role[]; uses?: number; expiresAt?: number } = {}) {
  const { roles = ['worker'], uses = 1, expiresAt = 1_000_000 } = options;
  return {
    kind: 'ticket.created',
    secretHash,
    roles,
    uses,
    expiresAt,
    by: 'ann',
    project: 'default',
    idempotency: null,
    at: 0,
  } satisfies Command;
}

export function joined(
  peerId: PeerId,
  ticket: string | null,
  { name = peerId.slice(5), roles = ['worker'], at = 0 }: { name?: string; roles?: Role[]; at?: number } = {},
) {
  return {
    kind: 'member.joined',
    peerId,
    name,
    roles,
    boxKey: 'box',
    observer: null,
    ticket,
    at,
  } satisfies Command;
}

/** When attempts of these tests began. */
export const STARTED = 1_500;

export const begunAt = (startedAt: number, fences: Iterable<Fence>): Begun[] =>
  Array.from(fences, (fence) => [fence, startedAt] as const);

export function adopted(
  peerId: PeerId,
  incarnation: number,
  fences: readonly Fence[] = [],
  begun: readonly Fence[] = [],
) {
  return {
    kind: 'member.adopted',
    peerId,
    incarnation,
    fences,
    begun: begunAt(STARTED, begun),
    at: 0,
  } satisfies Command;
}

/** @param fences null: nobody heard what it had begun. */
export function dead(peerId: PeerId, incarnation: number, fences: readonly Fence[] | null = []) {
  const begun = fences === null ? null : begunAt(STARTED, fences);
  return { kind: 'member.dead', peerId, incarnation, begun, reason: 'no heartbeat', at: 0 } satisfies Command;
}

export function draining(peerId: PeerId, on = true) {
  return {
    kind: 'member.draining',
    peerId,
    draining: on,
    project: 'default',
    idempotency: null,
    at: 0,
  } satisfies Command;
}

export function specOf(spec: Partial<JobSpec> = {}): JobSpec {
  return { schema: 'skein.jobspec/1', command: ['true'], ...spec };
}

export function submitted(
  jobId: JobId,
  taskCount = 1,
  spec: Partial<JobSpec> = {},
  { idempotency = null, project = 'default', at = 1_000 }: Asked = {},
) {
  return {
    kind: 'job.submitted',
    jobId,
    project,
    spec: specOf(spec),
    taskCount,
    by: 'ann',
    idempotency,
    at,
  } satisfies Command;
}

interface Asked {
  readonly idempotency?: Idempotency | null;
  readonly project?: string;
  readonly at?: number;
}

export function cancelled(
  jobId: JobId,
  tasks: readonly [number, number] | null = null,
  { idempotency = null, project = 'default', at = 2_000 }: Asked = {},
) {
  return { kind: 'job.cancelled', jobId, tasks, reason: 'enough', idempotency, project, at } satisfies Command;
}

export function retried(
  jobId: JobId,
  tasks: 'failed' | 'all' | readonly number[] = 'failed',
  { idempotency = null, project = 'default', at = 3_000 }: Asked = {},
) {
  return { kind: 'job.retried', jobId, tasks, idempotency, project, at } satisfies Command;
}

export function granted(jobId: JobId, task: number, peerId: PeerId, incarnation = 1) {
  return { kind: 'task.granted', jobId, task, peerId, incarnation, at: 1_500 } satisfies Command;
}

export function resultOf(code: number | null = 0, result: Partial<Result> = {}): Result {
  return {
    exit: { code, signal: null },
    reason: 'exited',
    detail: null,
    startedAt: 1_600,
    endedAt: 1_700,
    stdout: null,
    stderr: null,
    outputs: { kind: 'inline', files: [] },
    ...result,
  };
}

/** One attempt as its holder names it. */
export interface Named {
  readonly fence: Fence;
  readonly jobId: JobId;
  readonly task: number;
  readonly peerId: PeerId;
  readonly incarnation: number;
}

/** The open grant of a task, as its holder would name it. */
export function openOf(state: State, jobId: JobId, task: number): Named {
  const open = present(state.task(jobId, task).open);
  const { peerId, incarnation } = open;
  return { fence: makeFence(state.epochId, open.index), jobId, task, peerId, incarnation };
}

export function finished(named: Named, result: Result = resultOf()) {
  return { kind: 'task.finished', ...named, result, at: 1_800 } satisfies Command;
}

export function ended(named: Named, reason: AttemptEnd | 'intact') {
  return {
    kind: 'task.ended',
    ...named,
    reason,
    startedAt: reason === 'unbegun' ? null : STARTED,
    at: 1_800,
  } satisfies Command;
}

/** What must hold of a job's rows after every command. */
export function checkJob(state: State, jobId: JobId): void {
  const { taskCount } = state.job(jobId);
  const progress = state.progress(jobId);
  const counted = { queued: 0, running: 0, completed: 0, failed: 0, cancelled: 0 };
  for (let n = 1; n <= taskCount; n++) {
    const task = state.view.get(keys.task(jobId, n));
    counted[state.taskState(jobId, n)]++;
    if (task !== undefined) checkTask(state, task);
  }
  assert.equal(progress.counts, counted, 'the counts are those of the tasks');
  const unfinished = counted.queued + counted.running > 0;
  assert.is(progress.finishedAt === null, unfinished, 'a job has ended once nothing of it is left to run');
  assert.is(
    state.view.get(keys.live(jobId)) !== undefined,
    unfinished,
    'the live row stands while the job has not ended',
  );
  assert.is(progress.state === 'queued' || progress.state === 'running', unfinished, 'the state says the same');
}

function checkTask(state: State, task: TaskRow): void {
  const open = task.attempts.filter((attempt) => attempt.state === 'open');
  assert.ok(open.length <= 1, 'a task has at most one open attempt');
  assert.is(open.length === 1, task.open !== null, 'the open grant and the open attempt are one');
  assert.is(task.open !== null, task.state === 'running', 'a task runs while a grant of it is open');
  assert.is(task.lost, task.attempts.filter((attempt) => attempt.blamed).length, 'lost counts the blamed attempts');
  if (task.open === null) return;
  const { index, peerId, incarnation } = task.open;
  assert.is(task.attempts.at(-1)?.fence, makeFence(state.epochId, index), 'the last attempt is the open one');
  const held = state.holds(peerId).filter((hold) => hold.index === index);
  assert.equal(held, [{ index, jobId: task.jobId, task: task.n }], 'the holder holds it, once');
  assert.is(incarnation, state.incarnation(peerId), 'an open grant is of the incarnation in force');
}

/** What must hold of a peer's rows after every command. */
export function checkPeer(state: State, peerId: PeerId): void {
  const row = state.view.get(keys.holds(peerId));
  assert.ok(row === undefined || row.grants.length > 0, 'a peer that holds nothing has no row of holds');
  for (const hold of state.holds(peerId)) {
    const { open } = state.task(hold.jobId, hold.task);
    assert.is(open?.index, hold.index, 'what is held is open');
    assert.is(open?.peerId, peerId, 'what is held is held by the peer');
  }
  const { state: liveness } = state.member(peerId);
  if (liveness === 'dead' || liveness === 'left') assert.is(row, undefined, 'the dead hold nothing');
}

export function present<T>(value: T | null | undefined): T {
  if (value === undefined || value === null) throw new Error('the row is not there');
  return value;
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const inner of Object.values(value)) deepFreeze(inner);
  return value;
}
