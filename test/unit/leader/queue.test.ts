// The live jobs in order, and the roster of offers: what the leader keeps in memory beside the rows.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { JobId } from '../../../protocol/ids.ts';
import { DEFAULT_SETTINGS } from '../../../protocol/state/apply-member.ts';
import { heartbeatOf, leaderOf } from '../../support/leader.ts';
import {
  ANN,
  adopted,
  BOB,
  cancelled,
  dead,
  draining,
  ended,
  finished,
  granted,
  job,
  meshOf,
  openOf,
  submitted,
} from '../../support/state.ts';

type Leader = Awaited<ReturnType<typeof leaderOf>>;

const queue = ({ jobs }: Leader): JobId[] => [...jobs.queued()].map((live) => live.job.jobId);

test('jobs stand by priority, then by age, also after a start', async () => {
  const state = meshOf(ANN);
  state.submit(job(2));
  state.submit(job(1));
  state.submit(job(3), 1, { priority: -1 });
  const leader = await leaderOf(state);
  leader.log.commit(submitted(job(4)));
  leader.log.commit(submitted(job(5), 1, { priority: 9 }));
  assert.equal(queue(leader), [job(5), job(2), job(1), job(4), job(3)]);
});

test('a job whose tasks came back goes first, and takes its old place again afterwards', async () => {
  const leader = await leaderOf(meshOf(ANN));
  const { log } = leader;
  log.commit(submitted(job(1), 3));
  log.commit(submitted(job(2), 3));
  log.commit(submitted(job(3), 3));
  log.commit(granted(job(2), 1, ANN));
  log.commit(ended(openOf(log.state, job(2), 1), 'unbegun'));
  assert.equal(queue(leader), [job(2), job(1), job(3)]);
  log.commit(granted(job(2), 1, ANN));
  assert.equal(queue(leader), [job(1), job(2), job(3)]);
});

test('a job of which nothing is queued stands in no queue, and one that ended is forgotten', async () => {
  const leader = await leaderOf(meshOf(ANN));
  const { log, jobs } = leader;
  log.commit(submitted(job(1)));
  log.commit(granted(job(1), 1, ANN));
  assert.equal(queue(leader), []);
  assert.is(jobs.get(job(1))?.progress.counts.running, 1);
  log.commit(finished(openOf(log.state, job(1), 1)));
  assert.is(jobs.get(job(1)), undefined);
  log.commit(submitted(job(2)));
  log.commit(cancelled(job(2)));
  assert.equal([...jobs.all()], []);
});

test('a job waits since none of its tasks runs, and goes on waiting while others of it are cancelled', async () => {
  const { log, jobs } = await leaderOf(meshOf(ANN));
  log.commit(submitted(job(1), 3));
  assert.is(jobs.get(job(1))?.waitingSince, 1_000);
  log.commit(granted(job(1), 1, ANN));
  log.commit(ended(openOf(log.state, job(1), 1), 'unbegun'));
  assert.is(jobs.get(job(1))?.waitingSince, 1_800);
  log.commit(cancelled(job(1), [3, 3]));
  assert.is(jobs.get(job(1))?.waitingSince, 1_800);
});

test('the window holds no more tasks than asked for, and of each job no more than it allows at once', async () => {
  const leader = await leaderOf(meshOf(ANN));
  const { log, jobs } = leader;
  log.commit(submitted(job(1), 5, { maxParallel: 2 }));
  log.commit(submitted(job(2), 5));
  log.commit(granted(job(1), 1, ANN));
  assert.equal(
    jobs.window(4).map(({ jobId, allowance, head }) => [jobId, allowance, head]),
    [
      [job(1), 1, [2]],
      [job(2), Number.POSITIVE_INFINITY, [1, 2, 3]],
    ],
  );
  log.commit(granted(job(1), 2, ANN));
  assert.equal(
    jobs.window(1).map(({ jobId }) => jobId),
    [job(2)],
  );
});

test('an offer’s room is what its claim says less its open grants in the log', async () => {
  const { log, roster } = await leaderOf(meshOf(ANN));
  log.commit(submitted(job(1), 2, { needs: { cpu: 2 } }));
  assert.equal(roster.offers(), [], 'nobody was heard yet');
  roster.heard(heartbeatOf(ANN, 1, { slots: 4 }));
  log.commit(granted(job(1), 1, ANN));
  const fences = log.state.fences(ANN);
  const [offer] = roster.offers();
  assert.equal([offer?.slots, offer?.used, offer?.unbegun], [4, 2, fences]);
  roster.heard(heartbeatOf(ANN, 2, { slots: 4, begun: fences }));
  assert.equal(roster.offers()[0]?.unbegun, []);
  log.commit(finished(openOf(log.state, job(1), 1)));
  assert.is(roster.offers()[0]?.used, 0, 'a finish frees room without a new claim');
});

test('whoever drains, is dead, condemned or not heard in this incarnation offers nothing', async () => {
  for (const spoil of [
    ({ log }: Leader) => log.commit(draining(ANN)),
    ({ log }: Leader) => log.commit(dead(ANN, 1)),
    ({ log }: Leader) => log.commit(adopted(ANN, 2)),
    ({ roster }: Leader) => roster.leases.condemn(ANN),
    ({ roster }: Leader) => roster.heard(heartbeatOf(ANN, 2, { draining: true })),
  ]) {
    const leader = await leaderOf(meshOf(ANN));
    leader.roster.heard(heartbeatOf(ANN, 1));
    assert.is(leader.roster.offers().length, 1);
    spoil(leader);
    assert.equal(leader.roster.offers(), []);
  }
});

test('an older heartbeat changes neither the claim nor what was begun', async () => {
  const { log, roster } = await leaderOf(meshOf(ANN));
  log.commit(submitted(job(1)));
  log.commit(granted(job(1), 1, ANN));
  const begun = log.state.fences(ANN);
  roster.heard(heartbeatOf(ANN, 5, { slots: 4, begun }));
  roster.heard(heartbeatOf(ANN, 4, { slots: 1 }));
  assert.is(roster.offers()[0]?.slots, 4);
  assert.equal([...(roster.leases.get(ANN)?.begun?.keys() ?? [])], begun);
});

test('a heartbeat of another incarnation than the committed one is not heard', async () => {
  const { log, roster } = await leaderOf(meshOf(ANN));
  assert.is(roster.heard(heartbeatOf(ANN, 1, { incarnation: 2 })), false);
  log.commit(adopted(ANN, 2));
  assert.is(roster.heard(heartbeatOf(ANN, 2, { incarnation: 1 })), false);
  assert.is(roster.heard(heartbeatOf(ANN, 3, { incarnation: 2 })), true);
  assert.is(roster.heard(heartbeatOf(BOB, 1)), false);
});

test('a new incarnation starts with a full lease', async () => {
  const { log, roster, clock } = await leaderOf(meshOf(ANN));
  await clock.advance(9_000);
  log.commit(adopted(ANN, 2));
  const { incarnation, heardAtMs, condemned } = roster.leases.get(ANN) ?? {};
  assert.equal([incarnation, heardAtMs, condemned], [2, clock.uptime(), false]);
});

test('what a worker took along into its new incarnation counts as begun before its first heartbeat', async () => {
  const { log, roster } = await leaderOf(meshOf(ANN));
  log.commit(submitted(job(1)));
  log.commit(granted(job(1), 1, ANN));
  const [fence] = log.state.fences(ANN);
  assert.ok(fence);
  roster.heard(heartbeatOf(ANN, 1, { begun: [fence] }));
  log.commit(adopted(ANN, 2, [fence]));
  assert.ok(roster.hasBegun(ANN, fence));
});

test('a leader that has heard nothing of a worker since it leads does not say what that had begun', async () => {
  const { log, roster, clock, reaper } = await leaderOf(meshOf(ANN));
  log.commit(submitted(job(1)));
  log.commit(granted(job(1), 1, ANN));
  for (let second = 1; second <= 17; second++) {
    await clock.advance(1_000);
    await reaper.judge(DEFAULT_SETTINGS);
  }
  assert.is(roster.member(ANN)?.state, 'dead');
  const { state, reason, blamed } = log.state.task(job(1), 1).attempts[0] ?? {};
  assert.equal([state, reason, blamed], ['lost', 'worker-dead', false]);
});

test('members and settings move the index of the member list, jobs do not', async () => {
  const { log, roster } = await leaderOf(meshOf(ANN));
  const before = roster.membersIndex;
  log.commit(submitted(job(1)));
  assert.is(roster.membersIndex, before);
  log.commit(draining(ANN));
  assert.is(roster.membersIndex, log.state.index);
  log.commit({ kind: 'settings.set', settings: { heartbeatMs: 2_000 }, at: 0 });
  assert.is(roster.membersIndex, log.state.index);
});

test.run();
