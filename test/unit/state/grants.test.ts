// Grants and what closes them: who may be given a task, whose report counts, and what a loss costs.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type EpochId, makeFence } from '../../../protocol/ids.ts';
import type { Result } from '../../../protocol/state/result.ts';
import {
  ANN,
  adopted,
  BOB,
  cancelled,
  checkJob,
  checkPeer,
  dead,
  draining,
  ended,
  finished,
  granted,
  job,
  joined,
  meshOf,
  openOf,
  present,
  resultOf,
  STARTED,
  type State,
  ticketCreated,
} from '../../support/state.ts';

const J = job(1);

function running(spec = {}): State {
  const state = meshOf(ANN, BOB);
  state.submit(J, 1, spec);
  state.grant(J, 1, ANN);
  return state;
}

/** Grants task 1 to Ann and lets that incarnation of hers die, which raises it by one. */
function loseOnAnn(state: State): void {
  const fence = state.grant(J, 1, ANN);
  const incarnation = state.incarnation(ANN);
  state.done(dead(ANN, incarnation, [fence]));
  state.done(adopted(ANN, incarnation + 1));
}

test('a grant opens an attempt whose fence is the index of its entry', () => {
  const state = meshOf(ANN);
  state.submit(J, 3);
  const answer = state.done(granted(J, 1, ANN));
  const fence = makeFence(state.epochId, state.index);
  assert.equal(answer, { fence, attempt: 1 });
  const task = state.task(J, 1);
  assert.equal(task.open, { index: state.index, peerId: ANN, incarnation: 1 });
  assert.is(task.attempts[0]?.fence, fence);
  assert.equal(state.holds(ANN), [{ index: state.index, jobId: J, task: 1 }]);
  assert.is(state.progress(J).startedAt, 1_500);
  assert.is(state.progress(J).attempts, 1);
});

test('a task has at most one open grant', () => {
  const state = running();
  state.refused(granted(J, 1, BOB), 'state-conflict');
  state.refused(granted(J, 1, ANN), 'state-conflict');
});

test('a task that does not exist is granted to nobody', () => {
  const state = meshOf(ANN);
  state.submit(J, 2);
  state.refused(granted(J, 0, ANN), 'state-conflict');
  state.refused(granted(J, 3, ANN), 'state-conflict');
  state.refused(granted(job(2), 1, ANN), 'not-found');
});

test('a grant is refused for any incarnation but the one in force', () => {
  const state = meshOf(ANN);
  state.submit(J);
  state.refused(granted(J, 1, ANN, 0), 'stale-incarnation');
  state.refused(granted(J, 1, ANN, 2), 'stale-incarnation');
});

test('a peer that is draining, dead, no worker or no member is granted nothing', () => {
  const state = meshOf(ANN, BOB);
  state.submit(J);
  state.done(draining(ANN));
  state.refused(granted(J, 1, ANN), 'not-member');
  state.done(dead(BOB, 1));
  state.refused(granted(J, 1, BOB), 'not-member');
  state.done(ticketCreated('door', { roles: ['gateway'] }));
  state.done(joined('peer-door' as typeof ANN, 'door', { roles: ['gateway'] }));
  state.refused(granted(J, 1, 'peer-door' as typeof ANN, 0), 'not-member');
  state.refused(granted(J, 1, 'peer-nobody' as typeof ANN, 0), 'not-member');
});

test('a draining peer is granted work again once it no longer drains', () => {
  const state = meshOf(ANN);
  state.submit(J);
  state.done(draining(ANN));
  state.done(draining(ANN, false));
  state.done(granted(J, 1, ANN));
});

test('how many tasks of a job may be out at once is for placement to judge, not for apply', () => {
  const state = meshOf(ANN);
  state.submit(J, 2, { maxParallel: 1 });
  state.done(granted(J, 1, ANN));
  state.done(granted(J, 2, ANN));
});

test('a finish of the holder completes the task and frees its hold', () => {
  const state = running();
  const outputs: Result['outputs'] = { kind: 'inline', files: [{ kind: 'link', path: 'a', target: 'b' }] };
  assert.equal(state.done(finished(openOf(state, J, 1), resultOf(0, { outputs }))), { state: 'completed' });
  const task = state.task(J, 1);
  assert.is(task.state, 'completed');
  assert.is(task.open, null);
  assert.equal(task.attempts[0]?.outputs, outputs);
  assert.equal([task.attempts[0]?.startedAt, task.attempts[0]?.endedAt], [1_600, 1_700]);
  assert.equal(state.holds(ANN), []);
  assert.is(state.progress(J).state, 'completed');
  assert.is(state.progress(J).finishedAt, 1_800);
  checkJob(state, J);
  checkPeer(state, ANN);
});

test('a finish under another fence than the open one changes nothing', () => {
  const state = running();
  const named = openOf(state, J, 1);
  state.refused(finished({ ...named, fence: makeFence(state.epochId, 1) }), 'stale-fence');
  state.refused(finished({ ...named, fence: 'no fence' as typeof named.fence }), 'stale-fence');
  assert.is(state.task(J, 1).state, 'running');
});

test('a fence of another epoch is none of this one, even with the same index', () => {
  const state = running();
  const named = openOf(state, J, 1);
  const index = present(state.task(J, 1).open).index;
  state.refused(finished({ ...named, fence: makeFence('00'.repeat(16) as EpochId, index) }), 'stale-fence');
});

test('a finish of a task that the fence does not grant changes nothing', () => {
  const state = meshOf(ANN);
  state.submit(J, 2);
  state.grant(J, 1, ANN);
  state.grant(J, 2, ANN);
  state.refused(finished({ ...openOf(state, J, 1), task: 2 }), 'stale-fence');
});

test('a finish by another peer than the holder changes nothing', () => {
  const state = running();
  state.refused(finished({ ...openOf(state, J, 1), peerId: BOB }), 'not-holder');
});

test('a finish by an incarnation that is not in force changes nothing', () => {
  const state = running();
  const named = openOf(state, J, 1);
  state.refused(finished({ ...named, incarnation: 0 }), 'stale-incarnation');
  state.refused(finished({ ...named, incarnation: 2 }), 'stale-incarnation');
});

test('a doubled finish changes nothing', () => {
  const state = running();
  const named = openOf(state, J, 1);
  state.done(finished(named));
  state.refused(finished(named, resultOf(1)), 'stale-fence');
  assert.is(state.task(J, 1).state, 'completed');
});

test('a finish that comes after the death of its holder changes nothing', () => {
  const state = running();
  const named = openOf(state, J, 1);
  state.done(dead(ANN, 1, [named.fence]));
  state.refused(finished(named), 'stale-fence');
  state.grant(J, 1, BOB);
  state.refused(finished(named), 'stale-fence');
  assert.is(openOf(state, J, 1).peerId, BOB);
});

test('a draining worker still publishes what it was granted before', () => {
  const state = running();
  state.done(draining(ANN));
  state.done(finished(openOf(state, J, 1)));
  assert.is(state.taskState(J, 1), 'completed');
});

test('a script that fails is not tried again unless its job allows retries', () => {
  const state = running();
  state.done(finished(openOf(state, J, 1), resultOf(3)));
  assert.is(state.taskState(J, 1), 'failed');
  assert.is(state.progress(J).state, 'failed');
});

test('a script has as many tries after the first as its job allows retries', () => {
  const state = meshOf(ANN);
  state.submit(J, 1, { retries: 2 });
  for (const expected of ['queued', 'queued', 'failed']) {
    state.grant(J, 1, ANN);
    assert.equal(state.done(finished(openOf(state, J, 1), resultOf(1))), { state: expected });
    checkJob(state, J);
  }
  assert.is(state.task(J, 1).attempts.length, 3);
  assert.is(state.task(J, 1).failed, 3);
});

const retryable: readonly [string, Partial<Result>, 'queued' | 'failed'][] = [
  ['a listed exit code', { exit: { code: 75, signal: null } }, 'queued'],
  ['another exit code', { exit: { code: 1, signal: null } }, 'failed'],
  ['a signal', { exit: { code: null, signal: 'SIGSEGV' } }, 'failed'],
];
for (const [what, result, expected] of retryable) {
  test(`with retryOn, ${what} leaves the task ${expected}`, () => {
    const state = running({ retries: 1, retryOn: [75] });
    state.done(finished(openOf(state, J, 1), resultOf(0, result)));
    assert.is(state.taskState(J, 1), expected);
  });
}

test('exit code 0 is a failure where something else than the script ended it', () => {
  const state = running();
  state.done(finished(openOf(state, J, 1), resultOf(0, { reason: 'timeout' })));
  assert.is(state.taskState(J, 1), 'failed');
});

test('a task that fails goes back to the head of the queue while retries are left', () => {
  const state = meshOf(ANN);
  state.submit(J, 3, { retries: 1 });
  state.grant(J, 1, ANN);
  state.done(finished(openOf(state, J, 1), resultOf(1)));
  assert.equal(state.progress(J).returned, [[1, 1]]);
  assert.is(state.progress(J).next, 2);
});

test('a hand-back goes to the head of the queue and costs no budget', () => {
  for (const reason of ['unbegun', 'drained', 'lease-lapsed', 'worker-restarted'] as const) {
    const state = running();
    state.done(ended(openOf(state, J, 1), reason));
    const task = state.task(J, 1);
    assert.is(task.state, 'queued');
    assert.is(task.lost, 0);
    assert.is(task.attempts[0]?.state, 'handed-back');
    assert.is(task.attempts[0]?.reason, reason);
    assert.equal(state.holds(ANN), []);
    checkJob(state, J);
  }
});

test('an end is judged like a finish: open fence, holder, incarnation in force', () => {
  const state = running();
  const named = openOf(state, J, 1);
  state.refused(ended({ ...named, peerId: BOB }, 'drained'), 'not-holder');
  state.refused(ended({ ...named, incarnation: 2 }, 'drained'), 'stale-incarnation');
  state.done(ended(named, 'drained'));
  state.refused(ended(named, 'drained'), 'stale-fence');
});

test('a runner that died of itself counts against the lost budget', () => {
  const state = running({ maxLost: 1 });
  state.done(ended(openOf(state, J, 1), 'runner-died'));
  assert.is(state.taskState(J, 1), 'failed');
  assert.is(state.task(J, 1).attempts[0]?.state, 'lost');
});

test('a death blames exactly the attempts that were heard as begun', () => {
  const state = meshOf(ANN);
  state.submit(J, 2);
  const begun = state.grant(J, 1, ANN);
  state.grant(J, 2, ANN);
  state.done(dead(ANN, 1, [begun, makeFence(state.epochId, 1)]));
  assert.is(state.task(J, 1).lost, 1);
  assert.equal(pick(state, 1), ['lost', 'worker-dead', true]);
  assert.is(state.task(J, 2).lost, 0);
  assert.equal(pick(state, 2), ['handed-back', 'unbegun', false]);
  assert.equal(
    [1, 2].map((n) => state.task(J, n).attempts[0]?.startedAt),
    [STARTED, null],
  );
  checkJob(state, J);
  checkPeer(state, ANN);
});

test('a death of which nobody can tell what had begun loses all without blame', () => {
  const state = meshOf(ANN);
  state.submit(J, 1);
  state.grant(J, 1, ANN);
  state.done(dead(ANN, 1, null));
  assert.equal(pick(state, 1), ['lost', 'worker-dead', false]);
  assert.is(state.taskState(J, 1), 'queued');
  checkJob(state, J);
  checkPeer(state, ANN);
});

test('an attempt that its worker ended keeps when it began', () => {
  const state = running();
  state.done(ended(openOf(state, J, 1), 'drained'));
  assert.is(state.task(J, 1).attempts[0]?.startedAt, STARTED);
});

function pick(state: State, n: number): unknown[] {
  const attempt = present(state.task(J, n).attempts.at(-1));
  return [attempt.state, attempt.reason, attempt.blamed];
}

test('a task fails once three workers were lost under it, and its attempts name them all', () => {
  const state = meshOf(ANN);
  state.submit(J);
  for (let loss = 1; loss <= 3; loss++) {
    assert.is(state.taskState(J, 1), 'queued');
    loseOnAnn(state);
    checkJob(state, J);
  }
  const task = state.task(J, 1);
  assert.is(task.state, 'failed');
  assert.equal(
    task.attempts.map((attempt) => [attempt.peerName, attempt.blamed]),
    [
      ['ann', true],
      ['ann', true],
      ['ann', true],
    ],
  );
});

test('the lost budget is the job’s own where it says so, and at least one loss', () => {
  for (const [maxLost, losses] of [
    [0, 1],
    [1, 1],
    [5, 5],
  ] as const) {
    const state = meshOf(ANN);
    state.submit(J, 1, { maxLost });
    for (let loss = 1; loss <= losses; loss++) loseOnAnn(state);
    assert.is(state.taskState(J, 1), 'failed', `maxLost ${maxLost}`);
    assert.is(state.task(J, 1).attempts.length, losses);
  }
});

test('losses and failures are two budgets: neither uses up the other', () => {
  const state = meshOf(ANN);
  state.submit(J, 1, { retries: 1, maxLost: 2 });
  loseOnAnn(state);
  state.grant(J, 1, ANN);
  state.done(finished(openOf(state, J, 1), resultOf(1)));
  assert.is(state.taskState(J, 1), 'queued');
  assert.equal([state.task(J, 1).lost, state.task(J, 1).failed], [1, 1]);
});

test('a worker that was whole takes its blame back, once and only that', () => {
  const state = running();
  const named = openOf(state, J, 1);
  state.done(dead(ANN, 1, [named.fence]));
  const before = state.task(J, 1);
  const progress = state.progress(J);
  state.done(ended(named, 'intact'));
  assert.is(state.task(J, 1).lost, 0);
  assert.equal(state.task(J, 1), {
    ...before,
    lost: 0,
    attempts: before.attempts.map((attempt) => ({ ...attempt, blamed: false })),
  });
  assert.equal(state.progress(J), progress);
  state.done(ended(named, 'intact'));
  assert.is(state.task(J, 1).lost, 0);
});

test('blame that is taken back reopens nothing: a task that failed for its losses stays failed', () => {
  const state = running({ maxLost: 1 });
  const named = openOf(state, J, 1);
  state.done(dead(ANN, 1, [named.fence]));
  state.done(ended(named, 'intact'));
  assert.is(state.taskState(J, 1), 'failed');
  checkJob(state, J);
});

test('only the peer that was blamed takes its blame back', () => {
  const state = running();
  const named = openOf(state, J, 1);
  state.done(dead(ANN, 1, [named.fence]));
  state.refused(ended({ ...named, peerId: BOB }, 'intact'), 'stale-fence');
  state.refused(ended({ ...named, fence: makeFence(state.epochId, 1) }, 'intact'), 'stale-fence');
  assert.is(state.task(J, 1).lost, 1);
});

test('only a death is forgiven: a runner that died of itself is not made whole by saying so', () => {
  const state = running();
  const named = openOf(state, J, 1);
  state.done(ended(named, 'runner-died'));
  state.done(ended(named, 'intact'));
  assert.is(state.task(J, 1).lost, 1);
});

test('saying that an open grant is intact changes nothing', () => {
  const state = running();
  const before = state.task(J, 1);
  state.done(ended(openOf(state, J, 1), 'intact'));
  assert.equal(state.task(J, 1), before);
});

test('a task that is being cancelled closes as cancelled whatever closes it, and is never queued again', () => {
  const closings: readonly [string, (state: State) => void][] = [
    ['a finish', (state) => state.done(finished(openOf(state, J, 1)))],
    ['a failure with retries left', (state) => state.done(finished(openOf(state, J, 1), resultOf(1)))],
    ['an end', (state) => state.done(ended(openOf(state, J, 1), 'cancelled'))],
    ['a hand-back', (state) => state.done(ended(openOf(state, J, 1), 'unbegun'))],
    ['a death', (state) => state.done(dead(ANN, 1, [openOf(state, J, 1).fence]))],
    ['an adoption that does not list it', (state) => state.done(adopted(ANN, 2))],
  ];
  for (const [what, close] of closings) {
    for (const range of [null, [1, 1]] as const) {
      const state = running({ retries: 5 });
      state.done(cancelled(J, range));
      close(state);
      const task = state.task(J, 1);
      assert.is(task.state, 'cancelled', what);
      assert.is(task.attempts[0]?.state, 'cancelled', what);
      // What it saved when it was told to stop is its result; what gave no result saved none.
      assert.is(task.attempts[0]?.outputs !== null, /^a f/.test(what), what);
      assert.is(task.lost, 0, what);
      assert.equal(state.progress(J).returned, [], what);
      assert.is(state.progress(J).state, 'cancelled', what);
      checkJob(state, J);
      checkPeer(state, ANN);
    }
  }
});

test('a cancelled task is granted to nobody', () => {
  for (const range of [null, [1, 1]] as const) {
    const state = meshOf(ANN);
    state.submit(J, 2);
    state.done(cancelled(J, range));
    state.refused(granted(J, 1, ANN), 'state-conflict');
  }
});

test.run();
