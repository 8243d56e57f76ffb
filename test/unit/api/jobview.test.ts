// What is said of a job, from rows that the real state machine made.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { seededRandom } from '../../../node/clock.ts';
import type { JobSpec } from '../../../protocol/api/jobspec.ts';
import { jobView, specView, type Told, taskView } from '../../../protocol/api/jobview.ts';
import type { JobId, Sha256 } from '../../../protocol/ids.ts';
import { keys, type TaskRow } from '../../../protocol/state/rows.ts';
import { FakeMesh } from '../../support/fake-mesh.ts';

const told: Told = { begun: () => true, now: 0, waiting: null, itemOf: () => null, tails: new Map() };

function submitted(fields: Partial<JobSpec> = {}, taskCount = 1) {
  const mesh = new FakeMesh(seededRandom('jobview'));
  const jobId = mesh.newJobId();
  const spec: JobSpec = { schema: 'skein.jobspec/1', command: ['true'], ...fields };
  const at = mesh.nowMs;
  mesh.commit({ kind: 'job.submitted', jobId, project: 'default', spec, taskCount, by: 'me', idempotency: null, at });
  return { mesh, jobId };
}

function rowsOf(mesh: FakeMesh, jobId: JobId) {
  const job = mesh.view.get(keys.job(jobId));
  const progress = mesh.view.get(keys.progress(jobId));
  if (job === undefined || progress === undefined) throw new Error('no such job');
  const tasks: TaskRow[] = [];
  for (let n = 1; n <= job.taskCount; n++) {
    const task = mesh.view.get(keys.task(jobId, n));
    if (task !== undefined) tasks.push(task);
  }
  return { job, progress, tasks, whole: true };
}

function viewOf(mesh: FakeMesh, jobId: JobId, changes: Partial<Told> = {}) {
  return jobView(rowsOf(mesh, jobId), { ...told, now: mesh.nowMs, ...changes });
}

test('no field is ever missing, and what is not known is null', () => {
  const { mesh, jobId } = submitted();
  const view = viewOf(mesh, jobId);
  assert.is(Object.values(view).filter((value: unknown) => value === undefined).length, 0);
  assert.is(view.exit, null);
  assert.is(view.durationMs, null);
  assert.is(view.name, null);
  assert.is(view.state, 'queued');
});

test('the values of env are never told', () => {
  assert.equal(specView({ schema: 'skein.jobspec/1', env: { TOKEN: 'secret' } }).env, { TOKEN: null });
});

test('the exit of a script is its own, and 128+n where a signal ended it', () => {
  for (const [exit, code, signal] of [
    [{ code: 0, signal: null }, 0, null],
    [{ code: 7, signal: null }, 7, null],
    [{ code: null, signal: 'SIGKILL' }, 137, 'SIGKILL'],
    [{ code: null, signal: 'SIGTERM' }, 143, 'SIGTERM'],
    [{ code: null, signal: 'SIGABRT' }, 134, 'SIGABRT'],
    // A real-time signal.
    [{ code: null, signal: 'SIG34' }, 162, 'SIG34'],
  ] as const) {
    const { mesh, jobId } = submitted();
    mesh.finish(jobId, 1, mesh.grant(jobId, 1), { exit });
    assert.equal(viewOf(mesh, jobId).exit, { code, signal, source: 'script', reason: 'exited' });
  }
});

test('where the script gave no code it is one of skein, which says so', () => {
  for (const [reason, code] of [
    ['timeout', 124],
    ['not-executable', 126],
    ['not-found', 127],
    ['input-lost', 125],
    ['runtime-failed', 125],
    ['out-of-memory', 137],
  ] as const) {
    const { mesh, jobId } = submitted();
    mesh.finish(jobId, 1, mesh.grant(jobId, 1), { exit: { code: null, signal: 'SIGKILL' }, reason, detail: 'why' });
    const { exit, failures } = viewOf(mesh, jobId);
    assert.is(exit?.code, code, reason);
    assert.is(exit?.source, 'skein');
    assert.is(exit?.reason, reason);
    assert.is(failures[0]?.reason, 'why');
  }
});

test('a cancelled task is 121, one that lost its workers 123 with all of them named', () => {
  const cancelled = submitted();
  const at = cancelled.mesh.nowMs;
  const cancel = {
    kind: 'job.cancelled',
    tasks: null,
    reason: 'enough',
    idempotency: null,
    project: 'default',
  } as const;
  cancelled.mesh.commit({ ...cancel, jobId: cancelled.jobId, at });
  const view = viewOf(cancelled.mesh, cancelled.jobId);
  assert.is(view.state, 'cancelled');
  assert.is(view.cancelReason, 'enough');

  const lost = submitted({ maxLost: 2 });
  for (let n = 0; n < 2; n++) lost.mesh.lose(lost.jobId, 1, lost.mesh.grant(lost.jobId, 1));
  const gone = viewOf(lost.mesh, lost.jobId);
  assert.is(gone.exit?.code, 123);
  assert.is(gone.failures[0]?.reason, 'lost 2 workers: one, one');
  assert.is(gone.attemptCount, 2);
});

test('of several tasks one that failed makes 1, and none that failed makes 0', () => {
  const { mesh, jobId } = submitted({ items: { list: ['a', 'b'] } }, 2);
  mesh.finish(jobId, 1, mesh.grant(jobId, 1));
  assert.is(viewOf(mesh, jobId).exit, null);
  mesh.finish(jobId, 2, mesh.grant(jobId, 2), { exit: { code: 9, signal: null } });
  assert.is(viewOf(mesh, jobId).exit?.code, 1);
});

test('what a cancelled task saved when it was told to stop is its result', () => {
  const { mesh, jobId } = submitted();
  const fence = mesh.grant(jobId, 1);
  mesh.commit({
    kind: 'job.cancelled',
    jobId,
    tasks: null,
    reason: null,
    idempotency: null,
    project: 'default',
    at: mesh.nowMs,
  });
  const span = { blob: 'a'.repeat(64) as Sha256, offset: 0, sizeBytes: 3 };
  const saved = { kind: 'file', path: 'saved', mode: 0o644, sha256: 'b'.repeat(64) as Sha256, span } as const;
  mesh.finish(jobId, 1, fence, { outputs: { kind: 'inline', files: [saved] } });
  const view = viewOf(mesh, jobId);
  assert.is(view.exit?.code, 121);
  assert.equal(view.outputs, [{ task: 1, path: 'saved', bytes: 3, sha256: saved.sha256 }]);
});

test('a task that was granted and not begun still shows as queued', () => {
  const { mesh, jobId } = submitted();
  mesh.grant(jobId, 1);
  const unbegun = viewOf(mesh, jobId, { begun: () => false });
  assert.is(unbegun.state, 'queued');
  assert.equal([unbegun.tasks.queued, unbegun.tasks.running], [1, 0]);
  assert.is(unbegun.attempts[0]?.state, 'queued');
  const begun = viewOf(mesh, jobId);
  assert.is(begun.state, 'running');
  assert.is(begun.attempts[0]?.state, 'running');
});

test('a task without a row is told like any other', () => {
  const { mesh, jobId } = submitted({ items: { range: { from: 10, to: 19 } } }, 10);
  const view = taskView(rowsOf(mesh, jobId), 7, undefined, { begun: () => false, itemOf: () => '16' });
  assert.equal([view.state, view.item, view.attempts.length, view.exit], ['queued', '16', 0, null]);
});

test('the history is told from the rows, oldest first', () => {
  const { mesh, jobId } = submitted({ retries: 1 });
  mesh.finish(jobId, 1, mesh.grant(jobId, 1), { exit: { code: 1, signal: null } });
  mesh.nowMs += 5000;
  mesh.finish(jobId, 1, mesh.grant(jobId, 1));
  const types = viewOf(mesh, jobId).events.map((event) => event.type);
  assert.equal(types, ['job.submitted', 'task.attempt', 'task.state', 'task.attempt', 'task.state', 'job.done']);
});

test.run();
