// What the leader does of itself: rounds of grants, deaths by lease, and telling workers what to stop.
import { Readable } from 'node:stream';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MemoryBlobStore } from '../../../node/blob/memory.ts';
import { seededRandom } from '../../../node/clock.ts';
import { housekeeping } from '../../../node/leader/housekeeping.ts';
import { Leader } from '../../../node/leader/leader.ts';
import { silentLog } from '../../../node/log.ts';
import { DEFAULT_SETTINGS } from '../../../protocol/state/apply-member.ts';
import { cancelCodec, decodeGrants, recallCodec } from '../../../protocol/wire/work.ts';
import { heartbeatOf, leaderOf, turns } from '../../support/leader.ts';
import {
  ANN,
  adopted,
  BOB,
  cancelled,
  checkJob,
  draining,
  granted,
  job,
  meshOf,
  submitted,
} from '../../support/state.ts';

type Parts = Awaited<ReturnType<typeof leaderOf>>;
const J = job(1);

/** Judges once a second for so long; workers that are named beat before each pass. */
async function judgeFor({ reaper, clock, roster }: Parts, seconds: number, beating: readonly (typeof ANN)[] = []) {
  for (let second = 1; second <= seconds; second++) {
    await clock.advance(1_000);
    for (const peerId of beating) roster.heard(heartbeatOf(peerId, clock.uptime()));
    await reaper.judge(DEFAULT_SETTINGS);
  }
}

test('a round grants what there is room for and pushes it once it is committed', async () => {
  const { log, roster, granting, told } = await leaderOf(meshOf(ANN));
  log.commit(submitted(J, 5));
  roster.heard(heartbeatOf(ANN, 1, { slots: 2, prefetch: 1 }));
  granting.wake();
  await turns();
  assert.equal(log.state.progress(J).counts.running, 3);
  const pushed = told.filter(({ method }) => method === 'grants').flatMap(({ body }) => decodeGrants(body));
  assert.equal(
    pushed.map(({ fence, task }) => [fence, task]),
    log.state.fences(ANN).map((fence, at) => [fence, at + 1]),
  );
});

test('a list that has to come from another gateway delays no answer; its grants go with a later one', async () => {
  const list = Promise.withResolvers<Readable>();
  const { log, clock, granting } = await leaderOf(meshOf(ANN), () => list.promise);
  const manifest = { manifest: { sha256: 'aa'.repeat(32), count: 1 } };
  log.commit(submitted(J, 1, { items: manifest }));
  const fence = log.state.grant(J, 1, ANN);
  const answer = granting.undelivered(ANN, 1);
  await clock.advance(500);
  assert.equal(await answer, []);
  list.resolve(Readable.from([Buffer.from('[{"item": 7}]')]));
  await turns();
  const [grant] = await granting.undelivered(ANN, 1);
  assert.equal([grant?.fence, grant?.entry], [fence, { item: 7 }]);
});

test('what concerns the own disk is done whoever leads, the rest by the leader alone', async () => {
  const { log, clock, transport } = await leaderOf(meshOf(ANN));
  log.leading = false;
  const done: string[] = [];
  const parts = { log, transport, clock, out: silentLog, blobs: { read: () => Promise.reject(new Error('unused')) } };
  const leader = new Leader({ ...parts, announce: () => {} });
  const duty = (name: string, everywhere: boolean) => ({
    name,
    everyMs: 1_000,
    everywhere,
    pass: async () => void done.push(name),
  });
  leader.start([duty('own', true), duty('mesh', false)]);
  await clock.advance(2_000);
  assert.equal(done, ['own', 'own', 'own']);
  await leader.stop();
});

test("the sweep and the copies are each gateway's, and the sweep waits for rows that are not behind", async () => {
  const { log, clock } = await leaderOf(meshOf(ANN));
  const blobs = new MemoryBlobStore({ clock });
  const order: string[] = [];
  log.barrier = async () => void order.push('barrier');
  const list = blobs.list.bind(blobs);
  blobs.list = () => {
    order.push('list');
    return list();
  };
  const restorer = { pass: async () => {} };
  const settings = () => DEFAULT_SETTINGS;
  const parts = { log, blobs, lists: blobs, restorer, clock, random: seededRandom('duties'), out: silentLog, settings };
  const duties = housekeeping(parts);
  assert.equal(
    duties.map(({ name, everywhere }) => [name, everywhere === true]),
    [
      ['retention', false],
      ['sweep', true],
      ['copies', true],
    ],
  );
  await duties.find(({ name }) => name === 'sweep')?.pass(new AbortController().signal);
  assert.equal(order, ['barrier', 'list']);
});

test('a grant that was pushed is not sent again with an answer; one whose push was lost is', async () => {
  const { log, roster, granting, deaf } = await leaderOf(meshOf(ANN, BOB));
  log.commit(submitted(J, 2));
  deaf.add(BOB);
  roster.heard(heartbeatOf(ANN, 1, { slots: 1 }));
  roster.heard(heartbeatOf(BOB, 1, { slots: 1 }));
  granting.wake();
  await turns();
  assert.equal(await granting.undelivered(ANN, 1), []);
  const again = await granting.undelivered(BOB, 1);
  assert.equal(
    again.map(({ fence }) => fence),
    log.state.fences(BOB),
  );
  roster.heard(heartbeatOf(BOB, 2, { slots: 1, begun: log.state.fences(BOB) }));
  assert.equal(await granting.undelivered(BOB, 1), [], 'what was begun arrived');
});

test('what an earlier incarnation was sent counts for nothing with the next', async () => {
  const { log, roster, granting } = await leaderOf(meshOf(ANN));
  log.commit(submitted(J));
  roster.heard(heartbeatOf(ANN, 1));
  granting.wake();
  await turns();
  const fences = log.state.fences(ANN);
  log.commit(adopted(ANN, 2, fences));
  assert.equal(
    (await granting.undelivered(ANN, 2)).map((grant) => [grant.fence, grant.incarnation]),
    [[fences[0], 2]],
  );
});

test('a round that fails is tried again', async () => {
  const { log, roster, granting, clock } = await leaderOf(meshOf(ANN));
  log.commit(submitted(J));
  roster.heard(heartbeatOf(ANN, 1));
  log.failing = 'outcome-unknown';
  granting.wake();
  await turns();
  log.failing = undefined;
  await clock.advance(600);
  assert.is(log.state.taskState(J, 1), 'running');
});

test('a node that does not lead grants nothing', async () => {
  const { log, roster, granting } = await leaderOf(meshOf(ANN));
  log.commit(submitted(J));
  roster.heard(heartbeatOf(ANN, 1));
  log.leading = false;
  granting.wake();
  await turns();
  assert.is(log.state.taskState(J, 1), 'queued');
});

test('work held ahead is called back when another worker idles, the last granted first', async () => {
  const { log, roster, granting, told } = await leaderOf(meshOf(ANN, BOB));
  log.commit(submitted(J, 3));
  for (const n of [1, 2, 3]) log.commit(granted(J, n, ANN));
  const fences = log.state.fences(ANN);
  roster.heard(heartbeatOf(ANN, 1, { slots: 1, prefetch: 2, begun: fences.slice(0, 1) }));
  roster.heard(heartbeatOf(BOB, 1, { slots: 1 }));
  granting.wake();
  await turns();
  const recalled = told.filter(({ method }) => method === 'recall');
  assert.equal(
    recalled.map(({ peerId, body }) => [peerId, recallCodec.decode(body).fences]),
    [[ANN, fences.slice(2)]],
  );
});

test('a worker that is silent for a lease is declared dead, one that beats is not', async () => {
  const leader = await leaderOf(meshOf(ANN, BOB));
  leader.log.commit(submitted(J));
  leader.log.commit(granted(J, 1, ANN));
  const begun = leader.log.state.fences(ANN);
  leader.roster.heard(heartbeatOf(ANN, 1, { begun }));
  await judgeFor(leader, 15, [BOB]);
  assert.is(leader.log.state.member(ANN).state, 'alive');
  await judgeFor(leader, 2, [BOB]);
  assert.is(leader.log.state.member(ANN).state, 'dead');
  assert.is(leader.log.state.member(BOB).state, 'alive');
  assert.is(leader.log.state.task(J, 1).lost, 1, 'what it was heard to have begun is blamed');
  checkJob(leader.log.state, J);
});

test('a worker that said that it starts again is waited for, also when an older heartbeat comes late', async () => {
  const leader = await leaderOf(meshOf(ANN, BOB));
  const { log, roster } = leader;
  roster.heard(heartbeatOf(ANN, 2, { restarting: true }));
  roster.heard(heartbeatOf(ANN, 1));
  await judgeFor(leader, 60);
  assert.equal([log.state.member(ANN).state, log.state.member(BOB).state], ['alive', 'dead']);
  log.commit(adopted(ANN, 2));
  await judgeFor(leader, 16);
  assert.is(log.state.member(ANN).state, 'dead', 'its next incarnation has a lease as any other');
});

test('a death that could not be recorded is proposed again, and its worker is answered no more', async () => {
  const leader = await leaderOf(meshOf(ANN));
  leader.log.failing = 'no-quorum';
  await judgeFor(leader, 17);
  assert.is(leader.log.state.member(ANN).state, 'alive');
  assert.is((await leader.answers.answer(heartbeatOf(ANN, 1))).leaseMs, 0);
  leader.log.failing = undefined;
  await judgeFor(leader, 1);
  assert.is(leader.log.state.member(ANN).state, 'dead');
});

test('a leader that was stopped itself declares nobody dead for that time', async () => {
  const leader = await leaderOf(meshOf(ANN));
  await judgeFor(leader, 1);
  leader.clock.jump(60_000);
  await judgeFor(leader, 15);
  assert.is(leader.log.state.member(ANN).state, 'alive');
  await judgeFor(leader, 2);
  assert.is(leader.log.state.member(ANN).state, 'dead');
});

test('a leader that was stopped itself answers none whose death it had proposed', async () => {
  const leader = await leaderOf(meshOf(ANN));
  leader.log.failing = 'outcome-unknown';
  await judgeFor(leader, 17);
  leader.clock.jump(60_000);
  await judgeFor(leader, 1);
  assert.is((await leader.answers.answer(heartbeatOf(ANN, 1))).leaseMs, 0);
});

test('each pass tells workers which attempts to stop, by fence, until those have closed', async () => {
  const { log, reaper, told } = await leaderOf(meshOf(ANN));
  log.commit(submitted(J, 3));
  for (const n of [1, 2]) log.commit(granted(J, n, ANN));
  const fences = log.state.fences(ANN);
  reaper.stopWhatShould();
  assert.equal(told, []);
  log.commit(cancelled(J, [2, 2]));
  reaper.stopWhatShould();
  reaper.stopWhatShould();
  await turns(1);
  assert.equal(
    told.map(({ method, body }) => [method, cancelCodec.decode(body).fences]),
    [
      ['cancel', fences.slice(1)],
      ['cancel', fences.slice(1)],
    ],
  );
  log.commit(cancelled(J));
  told.length = 0;
  reaper.stopWhatShould();
  await turns(1);
  assert.equal(cancelCodec.decode(told[0]?.body ?? new Uint8Array()).fences, fences);
});

test('a draining worker is asked for what it has not begun, and keeps what it has', async () => {
  const { log, reaper, roster, told } = await leaderOf(meshOf(ANN));
  log.commit(submitted(J, 2));
  for (const n of [1, 2]) log.commit(granted(J, n, ANN));
  const fences = log.state.fences(ANN);
  roster.heard(heartbeatOf(ANN, 1, { begun: fences.slice(0, 1) }));
  log.commit(draining(ANN));
  reaper.stopWhatShould();
  await turns(1);
  assert.equal(
    told.map(({ method, body }) => [method, recallCodec.decode(body).fences]),
    [['recall', fences.slice(1)]],
  );
});

test.run();
