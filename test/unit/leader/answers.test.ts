// Which heartbeats are answered, and with what.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { SkeinError } from '../../../protocol/errors.ts';
import { heartbeatOf, leaderOf } from '../../support/leader.ts';
import { ANN, adopted, BOB, dead, job, meshOf } from '../../support/state.ts';

async function codeOf(failing: Promise<unknown>): Promise<string> {
  return failing.then(
    () => 'no failure',
    (error: unknown) => (error instanceof SkeinError ? error.code : 'another error'),
  );
}

test('an answer gives the lease, what the log grants that incarnation, and grants not heard as begun', async () => {
  const { answers, log, clock } = await leaderOf(meshOf(ANN));
  log.state.submit(job(1), 2);
  const begun = log.state.grant(job(1), 1, ANN);
  const unbegun = log.state.grant(job(1), 2, ANN);
  const answer = await answers.answer(heartbeatOf(ANN, 7, { begun: [begun] }));
  assert.equal([answer.incarnation, answer.sequence, answer.leaseMs, answer.dead], [1, 7, 15_000, null]);
  assert.is(answer.appliedIndex, log.state.index);
  assert.equal(answer.fences, [begun, unbegun]);
  assert.equal(
    answer.grants.map((grant) => [grant.fence, grant.task, grant.incarnation]),
    [[unbegun, 2, 1]],
  );
  assert.ok(clock.uptime() > 0);
});

test('a node that does not lead answers nothing', async () => {
  const { answers, log } = await leaderOf(meshOf(ANN));
  log.leading = false;
  assert.is(await codeOf(answers.answer(heartbeatOf(ANN, 1))), 'no-leader');
});

test('who is no member, or has left, is forbidden', async () => {
  const { answers, log } = await leaderOf(meshOf(ANN, BOB));
  log.commit({ kind: 'member.left', peerId: BOB, at: 0 });
  assert.is(await codeOf(answers.answer(heartbeatOf(BOB, 1))), 'forbidden');
  assert.is(await codeOf(answers.answer(heartbeatOf('peer-eve' as typeof ANN, 1))), 'forbidden');
});

test('an incarnation that was declared dead, or superseded, is told so and gets no lease', async () => {
  const { answers, log } = await leaderOf(meshOf(ANN));
  log.commit(dead(ANN, 1));
  const buried = await answers.answer(heartbeatOf(ANN, 1));
  assert.equal([buried.dead, buried.leaseMs], [1, 0]);
  log.commit(adopted(ANN, 4));
  const superseded = await answers.answer(heartbeatOf(ANN, 2));
  assert.equal([superseded.dead, superseded.leaseMs], [3, 0]);
  assert.is((await answers.answer(heartbeatOf(ANN, 3, { incarnation: 4 }))).leaseMs, 15_000);
});

test('an incarnation that is not committed yet gets no lease and no verdict', async () => {
  const { answers } = await leaderOf(meshOf(ANN));
  const answer = await answers.answer(heartbeatOf(ANN, 1, { incarnation: 2 }));
  assert.equal([answer.dead, answer.leaseMs], [null, 0]);
});

test('from proposing its death on, an incarnation gets no lease', async () => {
  const { answers, roster } = await leaderOf(meshOf(ANN));
  roster.leases.condemn(ANN);
  const answer = await answers.answer(heartbeatOf(ANN, 1));
  assert.equal([answer.dead, answer.leaseMs], [null, 0]);
});

test('what happens during the quorum round counts: a death, a condemnation, the loss of leadership', async () => {
  const died = await leaderOf(meshOf(ANN));
  died.log.barrier = async () => void died.log.commit(dead(ANN, 1));
  assert.equal((await died.answers.answer(heartbeatOf(ANN, 1))).dead, 1);

  const condemned = await leaderOf(meshOf(ANN));
  condemned.log.barrier = async () => condemned.roster.leases.condemn(ANN);
  assert.is((await condemned.answers.answer(heartbeatOf(ANN, 1))).leaseMs, 0);

  const deposed = await leaderOf(meshOf(ANN));
  deposed.log.barrier = async () => {
    deposed.log.leading = false;
  };
  assert.is((await deposed.answers.answer(heartbeatOf(ANN, 1))).leaseMs, 0);
});

test('without a quorum there is no answer', async () => {
  const { answers, log } = await leaderOf(meshOf(ANN));
  log.barrier = async () => {
    throw new SkeinError('no-quorum', 'too few voters');
  };
  assert.is(await codeOf(answers.answer(heartbeatOf(ANN, 1))), 'no-quorum');
});

test('the index of an answer is not below what was applied when its quorum round ended', async () => {
  const { answers, log } = await leaderOf(meshOf(ANN));
  log.barrier = async () => void log.commit({ kind: 'settings.set', settings: { keepMs: 1 }, at: 0 });
  const before = log.state.index;
  assert.is((await answers.answer(heartbeatOf(ANN, 1))).appliedIndex, before + 1);
});

test('the window shows the head of the queue, foremost first, and is bounded', async () => {
  const state = meshOf(ANN);
  for (let n = 1; n <= 20; n++) state.submit(job(n), n, n === 20 ? { priority: 5 } : {});
  const { answers } = await leaderOf(state);
  const window = answers.window();
  assert.is(window.length, 16);
  assert.equal([window[0]?.jobId, window[0]?.open, window[0]?.priority], [job(20), 20, 5]);
  assert.is(window[1]?.jobId, job(1));
});

test.run();
