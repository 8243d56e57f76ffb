// Jobs: submission, idempotency, cancellation, retry and removal; and the order in which tasks go out.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { JobId } from '../../../protocol/ids.ts';
import type { Command } from '../../../protocol/state/command.ts';
import { append, giveBack, headOf, inRanges, take, without } from '../../../protocol/state/queue.ts';
import { keys, type TaskState } from '../../../protocol/state/rows.ts';
import {
  ANN,
  adopted,
  BOB,
  cancelled,
  checkJob,
  checkPeer,
  dead,
  ended,
  finished,
  granted,
  job,
  meshOf,
  openOf,
  present,
  resultOf,
  retried,
  type State,
  submitted,
} from '../../support/state.ts';

const J = job(1);
const K = job(2);
const once = { key: 'once', bodyHash: 'h1' };
const other = { key: 'once', bodyHash: 'h2' };

/** Grants a task to Ann and finishes it with this code. */
function run(state: State, n: number, code = 0, jobId: JobId = J): void {
  state.grant(jobId, n, ANN);
  state.done(finished(openOf(state, jobId, n), resultOf(code)));
}

function states(state: State, jobId: JobId = J): TaskState[] {
  return Array.from({ length: state.job(jobId).taskCount }, (_, at) => state.taskState(jobId, at + 1));
}

test('a submission is one job row however many tasks it has', () => {
  const state = meshOf(ANN);
  const before = state.rows.size;
  assert.equal(state.done(submitted(J, 1_000_000)), { jobId: J });
  assert.is(state.rows.size - before, 4);
  assert.is(state.progress(J).counts.queued, 1_000_000);
  assert.is(state.taskState(J, 1_000_000), 'queued');
  assert.equal(state.view.get(keys.arrival(state.index)), { jobId: J });
});

test('an id that is in use is refused', () => {
  const state = meshOf(ANN);
  state.submit(J, 3);
  state.refused(submitted(J, 1), 'state-conflict');
  state.refused(submitted(J, 1, {}, { project: 'another' }), 'state-conflict');
  assert.is(state.job(J).taskCount, 3);
});

test('the same idempotency key gives the same job, and does nothing twice', () => {
  const state = meshOf(ANN);
  const first = state.apply(submitted(J, 1, {}, { idempotency: once }));
  const again = state.apply(submitted(K, 1, {}, { idempotency: once }));
  assert.equal(first.outcome, { kind: 'done', answer: { jobId: J } });
  assert.equal(again.outcome, { kind: 'done', answer: { jobId: J }, replayed: true });
  assert.is(again.changes.length + again.events.length, 0);
  assert.is(state.view.get(keys.job(K)), undefined);
});

test('an idempotency key under another body is refused', () => {
  const state = meshOf(ANN);
  state.done(submitted(J, 1, {}, { idempotency: once }));
  state.refused(submitted(K, 1, {}, { idempotency: other }), 'idempotency-mismatch');
});

test('idempotency keys are per project', () => {
  const state = meshOf(ANN);
  state.done(submitted(J, 1, {}, { idempotency: once }));
  assert.equal(state.done(submitted(K, 1, {}, { idempotency: other, project: 'theirs' })), { jobId: K });
});

test('an idempotency key is not used up by a refusal', () => {
  const state = meshOf(ANN);
  state.submit(J);
  state.refused(submitted(J, 1, {}, { idempotency: once }), 'state-conflict');
  assert.equal(state.done(submitted(K, 1, {}, { idempotency: once })), { jobId: K });
});

test('the answer under an idempotency key is given again however the job went on', () => {
  const state = meshOf(ANN);
  state.submit(J);
  const ask = cancelled(J, null, { idempotency: once });
  state.done(ask);
  state.done(retried(J));
  const { outcome } = state.apply(ask);
  assert.equal(outcome, { kind: 'done', answer: { jobId: J }, replayed: true });
  assert.is(state.taskState(J, 1), 'queued');
});

test('a retry under the same idempotency key runs the tasks once more, not twice', () => {
  const state = meshOf(ANN);
  state.submit(J);
  run(state, 1, 1);
  const ask = retried(J, 'failed', { idempotency: once });
  state.done(ask);
  run(state, 1, 1);
  state.done(ask);
  assert.is(state.taskState(J, 1), 'failed');
});

test('an idempotency key that was dropped is free again', () => {
  const state = meshOf(ANN);
  state.done(submitted(J, 1, {}, { idempotency: once }));
  state.done({ kind: 'idempotency.dropped', project: 'default', keys: ['once'], at: 0 });
  assert.equal(state.done(submitted(K, 1, {}, { idempotency: once })), { jobId: K });
});

test('a job of another project is as if it were not there', () => {
  const state = meshOf(ANN);
  state.submit(J);
  state.refused(cancelled(J, null, { project: 'theirs' }), 'not-found');
  state.done(cancelled(J));
  state.refused(retried(J, 'failed', { project: 'theirs' }), 'not-found');
});

test('a cancel ends at once what is queued and asks what runs to stop', () => {
  const state = meshOf(ANN);
  state.submit(J, 4);
  run(state, 1);
  state.grant(J, 2, ANN);
  state.done(cancelled(J));
  assert.equal(states(state), ['completed', 'running', 'cancelled', 'cancelled']);
  assert.is(state.progress(J).state, 'running');
  assert.equal(state.progress(J).cancel, { at: 2_000, reason: 'enough' });
  checkJob(state, J);
  state.done(ended(openOf(state, J, 2), 'cancelled'));
  assert.is(state.progress(J).state, 'cancelled');
  checkJob(state, J);
});

test('a cancel of a job whose tasks came back ends those too', () => {
  const state = meshOf(ANN);
  state.submit(J, 2);
  state.grant(J, 1, ANN);
  state.done(dead(ANN, 1));
  state.done(cancelled(J));
  assert.equal(states(state), ['cancelled', 'cancelled']);
  assert.is(state.progress(J).state, 'cancelled');
  checkJob(state, J);
});

test('a second cancel changes nothing while the first is under way, and is refused afterwards', () => {
  const state = meshOf(ANN);
  state.submit(J);
  state.grant(J, 1, ANN);
  state.done(cancelled(J));
  const progress = state.progress(J);
  state.done(cancelled(J, null, { at: 2_500 }));
  assert.equal(state.progress(J), progress);
  state.done(finished(openOf(state, J, 1)));
  state.refused(cancelled(J), 'state-conflict');
});

test('a cancel of some tasks leaves the others alone', () => {
  const state = meshOf(ANN);
  state.submit(J, 6);
  run(state, 1);
  state.grant(J, 2, ANN);
  state.done(cancelled(J, [1, 3]));
  assert.equal(states(state), ['completed', 'running', 'cancelled', 'queued', 'queued', 'queued']);
  assert.is(state.task(J, 2).cancelRequested, true);
  assert.is(state.progress(J).cancel, null);
  checkJob(state, J);
  state.done(finished(openOf(state, J, 2)));
  assert.is(state.taskState(J, 2), 'cancelled');
  checkJob(state, J);
});

test('a cancel of tasks beyond the job’s touches only those that exist', () => {
  const state = meshOf(ANN);
  state.submit(J, 2);
  state.done(cancelled(J, [0, 1_000_000]));
  assert.equal(states(state), ['cancelled', 'cancelled']);
  assert.is(state.progress(J).state, 'cancelled');
  checkJob(state, J);
});

test('a retry is refused until everything that is being cancelled has stopped', () => {
  const state = meshOf(ANN);
  state.submit(J, 3);
  run(state, 1, 1);
  state.grant(J, 2, ANN);
  state.done(cancelled(J));
  for (const tasks of ['failed', 'all', [1]] as const) state.refused(retried(J, tasks), 'state-conflict');
  state.done(ended(openOf(state, J, 2), 'cancelled'));
  assert.equal(state.done(retried(J)), { jobId: J, tasks: 3 });
  assert.equal(states(state), ['queued', 'queued', 'queued']);
  checkJob(state, J);
});

test('a retry of a task that is still being cancelled is refused', () => {
  const state = meshOf(ANN);
  state.submit(J, 2);
  state.grant(J, 1, ANN);
  state.done(cancelled(J, [1, 1]));
  state.refused(retried(J, [1]), 'state-conflict');
  state.done(ended(openOf(state, J, 1), 'cancelled'));
  state.done(retried(J, [1]));
  assert.is(state.task(J, 1).cancelRequested, false);
  run(state, 1);
  assert.is(state.taskState(J, 1), 'completed');
});

test('a retry of what failed takes failed and cancelled tasks, never completed ones', () => {
  const state = meshOf(ANN);
  state.submit(J, 3);
  run(state, 1);
  run(state, 2, 1);
  state.done(cancelled(J));
  assert.equal(state.done(retried(J)), { jobId: J, tasks: 2 });
  assert.equal(states(state), ['completed', 'queued', 'queued']);
  assert.is(state.progress(J).finishedAt, null);
  checkJob(state, J);
});

test('a retry of all takes completed tasks too', () => {
  const state = meshOf(ANN);
  state.submit(J, 2);
  run(state, 1);
  run(state, 2, 1);
  assert.equal(state.done(retried(J, 'all')), { jobId: J, tasks: 2 });
  assert.equal(states(state), ['queued', 'queued']);
  checkJob(state, J);
});

test('a retry of named tasks takes those alone, each once', () => {
  const state = meshOf(ANN);
  state.submit(J, 3);
  for (const n of [1, 2, 3]) run(state, n, 1);
  assert.equal(state.done(retried(J, [3, 1, 3])), { jobId: J, tasks: 2 });
  assert.equal(states(state), ['queued', 'failed', 'queued']);
  assert.equal(headOf(state.progress(J), 3, 9), [1, 3]);
  checkJob(state, J);
});

test('a retry of tasks that have not ended, do not exist or of nothing at all is refused', () => {
  const state = meshOf(ANN);
  state.submit(J, 3);
  run(state, 1);
  state.grant(J, 2, ANN);
  for (const n of [0, 2, 3, 4]) state.refused(retried(J, [n]), 'state-conflict');
  state.refused(retried(J), 'state-conflict');
  state.refused(retried(J, []), 'state-conflict');
  state.refused(retried(K), 'not-found');
});

test('a retry of one task of a cancelled job leaves the others cancelled, also those that had come back', () => {
  const state = meshOf(ANN);
  state.submit(J, 3);
  state.grant(J, 1, ANN);
  state.done(dead(ANN, 1));
  state.done(cancelled(J));
  state.done(adopted(ANN, 2));
  state.done(retried(J, [2]));
  assert.equal(states(state), ['cancelled', 'queued', 'cancelled']);
  checkJob(state, J);
  state.refused(granted(J, 1, ANN, 2), 'state-conflict');
  state.done(retried(J));
  assert.equal(states(state), ['queued', 'queued', 'queued']);
  checkJob(state, J);
});

test('a retry starts both budgets anew', () => {
  const state = meshOf(ANN, BOB);
  state.submit(J, 1, { retries: 1, maxLost: 1 });
  run(state, 1, 1);
  run(state, 1, 1);
  assert.is(state.taskState(J, 1), 'failed');
  state.done(retried(J));
  assert.equal([state.task(J, 1).lost, state.task(J, 1).failed], [0, 0]);
  run(state, 1, 1);
  assert.is(state.taskState(J, 1), 'queued');
  state.done(dead(ANN, 1, [state.grant(J, 1, ANN)]));
  assert.is(state.taskState(J, 1), 'failed');
  assert.is(state.task(J, 1).attempts.length, 4);
});

test('blame from before a retry is not taken back from the losses after it', () => {
  const state = meshOf(ANN, BOB);
  state.submit(J, 1, { maxLost: 1 });
  state.grant(J, 1, ANN);
  const first = openOf(state, J, 1);
  state.done(dead(ANN, 1, [first.fence]));
  state.done(retried(J));
  state.done(ended(first, 'intact'));
  assert.is(state.task(J, 1).lost, 0);
  state.done(dead(BOB, 1, [state.grant(J, 1, BOB)]));
  state.done(ended(first, 'intact'));
  assert.is(state.task(J, 1).lost, 1);
  checkJob(state, J);
});

test('retried tasks go out after those that came back and before those that never left', () => {
  const state = meshOf(ANN);
  state.submit(J, 6);
  run(state, 1, 1);
  state.grant(J, 3, ANN);
  state.done(ended(openOf(state, J, 3), 'unbegun'));
  state.done(retried(J, [1]));
  assert.equal(headOf(state.progress(J), 6, 9), [3, 2, 1, 4, 5, 6]);
});

test('each run of a job is told from the last by a number', () => {
  const state = meshOf(ANN);
  state.submit(J);
  for (const expected of [1, 2]) {
    run(state, 1, 1);
    state.done(retried(J));
    assert.is(state.job(J).retried, expected);
  }
});

test('a job stops once more tasks failed than it allows, and tells why', () => {
  const state = meshOf(ANN);
  state.submit(J, 5, { maxFails: 1 });
  run(state, 1, 1);
  assert.equal(states(state), ['failed', 'queued', 'queued', 'queued', 'queued']);
  state.grant(J, 2, ANN);
  run(state, 3, 1);
  assert.equal(states(state), ['failed', 'running', 'failed', 'cancelled', 'cancelled']);
  assert.match(present(state.progress(J).cancel?.reason), /more than 1 task/);
  state.done(finished(openOf(state, J, 2)));
  assert.is(state.taskState(J, 2), 'cancelled');
  checkJob(state, J);
});

test('a loss that ends a task counts among the failures a job allows', () => {
  const state = meshOf(ANN);
  state.submit(J, 2, { maxFails: 0, maxLost: 1 });
  state.done(dead(ANN, 1, [state.grant(J, 1, ANN)]));
  assert.equal(states(state), ['failed', 'cancelled']);
});

test('a retry of one task runs it although more had failed than the job allows', () => {
  const state = meshOf(ANN);
  state.submit(J, 4, { maxFails: 1 });
  run(state, 1, 1);
  run(state, 2, 1);
  state.done(retried(J, [3]));
  assert.equal(states(state), ['failed', 'failed', 'queued', 'cancelled']);
  run(state, 3, 0);
  assert.equal(states(state), ['failed', 'failed', 'completed', 'cancelled']);
  checkJob(state, J);
});

test('the state of a job follows from its tasks', () => {
  const state = meshOf(ANN);
  state.submit(J, 2);
  assert.is(state.progress(J).state, 'queued');
  run(state, 1);
  assert.is(state.progress(J).state, 'running');
  run(state, 2);
  assert.is(state.progress(J).state, 'completed');
  state.submit(K, 2);
  run(state, 1, 0, K);
  run(state, 2, 1, K);
  assert.is(state.progress(K).state, 'failed');
});

test('a job that ends says so once, with its counts', () => {
  const state = meshOf(ANN);
  state.submit(J, 2);
  run(state, 1);
  state.grant(J, 2, ANN);
  const { events } = state.apply(finished(openOf(state, J, 2), resultOf(1)));
  const done = events.filter((event) => event.name === 'job.done');
  assert.is(done.length, 1);
  assert.equal(done[0]?.fields.tasks, { queued: 0, running: 0, completed: 1, failed: 1, cancelled: 0 });
  assert.ok(events.every((event) => event.at === 1_800 && event.project === 'default'));
});

const dropped = (jobId: JobId): Command => ({ kind: 'job.dropped', jobId, at: 9_000 });

test('only a job that has ended is dropped, and nothing of it stays', () => {
  const state = meshOf(ANN);
  const before = new Set(state.rows.keys());
  state.submit(J, 3);
  state.refused(dropped(J), 'state-conflict');
  state.grant(J, 1, ANN);
  state.done(cancelled(J));
  state.refused(dropped(J), 'state-conflict');
  state.done(finished(openOf(state, J, 1)));
  state.done(dropped(J));
  assert.equal(
    [...state.rows.keys()].filter((key) => !before.has(key)),
    [],
  );
  state.refused(dropped(J), 'not-found');
  checkPeer(state, ANN);
});

test('tasks go out ascending, those that came back first, skipped ones before those after them', () => {
  const queue = { next: 9, returned: [[7, 8] as const, [1, 1] as const] };
  const progress = { ...meshProgress(), ...queue };
  assert.equal(headOf(progress, 11, 99), [7, 8, 1, 9, 10, 11]);
  assert.equal(headOf(progress, 11, 1), [7]);
  assert.equal(headOf(progress, 11, 4), [7, 8, 1, 9]);
  assert.equal(take(progress, 7), {
    next: 9,
    returned: [
      [8, 8],
      [1, 1],
    ],
  });
  assert.equal(take(progress, 9), { next: 10, returned: queue.returned });
  assert.equal(take(progress, 11), { next: 12, returned: [...queue.returned, [9, 10]] });
});

function meshProgress() {
  const state = meshOf(ANN);
  state.submit(J, 9);
  return state.progress(J);
}

test('ranges join where they touch and part where one is taken out', () => {
  assert.equal(giveBack([[5, 6]], 4), [[4, 6]]);
  assert.equal(giveBack([[5, 6]], 7), [
    [7, 7],
    [5, 6],
  ]);
  assert.equal(giveBack([], 1), [[1, 1]]);
  assert.equal(append([[1, 2]], [3, 4, 6]), [
    [1, 4],
    [6, 6],
  ]);
  assert.equal(without([[1, 5]], 3), [
    [1, 2],
    [4, 5],
  ]);
  assert.equal(
    without(
      [
        [1, 5],
        [9, 9],
      ],
      9,
    ),
    [[1, 5]],
  );
  assert.equal(without([[1, 5]], 1), [[2, 5]]);
  assert.equal(without([[1, 5]], 5), [[1, 4]]);
  assert.equal(
    [
      inRanges(
        [
          [1, 2],
          [5, 5],
        ],
        5,
      ),
      inRanges(
        [
          [1, 2],
          [5, 5],
        ],
        3,
      ),
    ],
    [true, false],
  );
});

test.run();
