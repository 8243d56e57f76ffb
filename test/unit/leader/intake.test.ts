// What workers say to a gateway: who said it is the transport's word, what it does is judged by `apply`.
import { createHash } from 'node:crypto';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Intake } from '../../../node/leader/intake.ts';
import { blobsOf } from '../../../node/leader/result-blobs.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import type { MeshId, PeerId, Sha256 } from '../../../protocol/ids.ts';
import { answerCodec } from '../../../protocol/wire/heartbeat.ts';
import { joinMethods, memberListCodec, redeemCodec } from '../../../protocol/wire/members.ts';
import {
  adoptCodec,
  endedCodec,
  finishedCodec,
  type Settled,
  settledCodec,
  workMethods,
} from '../../../protocol/wire/work.ts';
import { heartbeatOf, leaderOf } from '../../support/leader.ts';
import { ANN, BOB, begunAt, job, meshOf, openOf, resultOf, STARTED, ticketCreated } from '../../support/state.ts';

const J = job(1);
const here = 'aa'.repeat(32) as Sha256;
const away = 'bb'.repeat(32) as Sha256;

async function setUp() {
  const leader = await leaderOf(meshOf(ANN, BOB));
  let heard = heartbeatOf(ANN, 1);
  const intake = new Intake({
    ...leader,
    results: { secure: async (result) => [...blobsOf(result)].find((sha256) => sha256 !== here) },
    gateways: () => [],
    receive: () => heard,
  });
  intake.open();
  leader.log.state.submit(J, 3);
  const ask = (method: string, from: PeerId, body: Uint8Array) => {
    const handler = leader.handlers.get(method);
    if (handler === undefined) throw new Error(`nobody handles ${method}`);
    return handler(from, body);
  };
  const settle = async (method: string, from: PeerId, body: Uint8Array): Promise<readonly Settled[]> =>
    settledCodec.decode(await ask(method, from, body));
  const hears = (heartbeat: typeof heard): void => {
    heard = heartbeat;
  };
  return { ...leader, intake, ask, settle, hears };
}

type SetUp = Awaited<ReturnType<typeof setUp>>;

/** The finish of an open grant as its holder sends it: the sender is not in it. */
function finishOf({ log }: SetUp, n: number, stdout: Sha256 | null = null) {
  const { fence, jobId, task, incarnation } = openOf(log.state, J, n);
  const span = stdout === null ? null : { blob: stdout, offset: 0, sizeBytes: 1 };
  return { fence, jobId, task, incarnation, result: resultOf(0, { stdout: span }) };
}

async function codeOf(failing: Promise<unknown>): Promise<string> {
  return failing.then(
    () => 'no failure',
    (error: unknown) => (error instanceof SkeinError ? error.code : 'another error'),
  );
}

test('finishes are committed under the name that the transport proved, each answered in its place', async () => {
  const set = await setUp();
  set.log.state.grant(J, 1, ANN);
  set.log.state.grant(J, 2, BOB);
  const body = finishedCodec.encode([finishOf(set, 1), finishOf(set, 2)]);
  const settled = await set.settle(workMethods.finished, ANN, body);
  assert.equal(
    settled.map((each) => (each.kind === 'refused' ? each.code : each.kind)),
    ['committed', 'not-holder'],
  );
  assert.is(set.log.state.taskState(J, 1), 'completed');
  assert.is(set.log.state.taskState(J, 2), 'running');
});

test('a result is not proposed before its blobs are here', async () => {
  const set = await setUp();
  set.log.state.grant(J, 1, ANN);
  const [missing] = await set.settle(workMethods.finished, ANN, finishedCodec.encode([finishOf(set, 1, away)]));
  assert.is(missing?.kind === 'unsettled' && missing.code, 'blobs-missing');
  assert.is(set.log.state.taskState(J, 1), 'running');
  const [there] = await set.settle(workMethods.finished, ANN, finishedCodec.encode([finishOf(set, 1, here)]));
  assert.is(there?.kind, 'committed');
});

test('a report of which nobody knows whether it committed is unsettled, so that it is sent again', async () => {
  const set = await setUp();
  set.log.state.grant(J, 1, ANN);
  set.log.failing = 'outcome-unknown';
  const [settled] = await set.settle(workMethods.finished, ANN, finishedCodec.encode([finishOf(set, 1)]));
  assert.is(settled?.kind === 'unsettled' && settled.code, 'outcome-unknown');
});

test('an end is committed under the name that the transport proved', async () => {
  const set = await setUp();
  set.log.state.grant(J, 1, ANN);
  const { result: _, ...attempt } = finishOf(set, 1);
  const body = endedCodec.encode([{ ...attempt, startedAt: null, reason: 'unbegun' }]);
  assert.is((await set.settle(workMethods.ended, BOB, body))[0]?.kind, 'refused');
  assert.is((await set.settle(workMethods.ended, ANN, body))[0]?.kind, 'committed');
  assert.is(set.log.state.taskState(J, 1), 'queued');
});

test('an adoption blames exactly what the leader heard or the worker found as begun, each with its start', async () => {
  const set = await setUp();
  const { state } = set.log;
  const begun = [1, 2, 3].map((n) => state.grant(J, n, ANN));
  set.roster.heard(heartbeatOf(ANN, 1, { begun: begun.slice(0, 1) }));
  const body = adoptCodec.encode({ incarnation: 2, fences: [], begun: begunAt(2_500, begun.slice(1, 2)) });
  assert.is((await set.settle(workMethods.adopt, ANN, body))[0]?.kind, 'committed');
  const closed = [1, 2, 3].map((n) => state.task(J, n).attempts[0]);
  assert.equal(
    closed.map((attempt) => [attempt?.state, attempt?.reason, attempt?.blamed, attempt?.startedAt]),
    [
      ['lost', 'worker-restarted', true, STARTED],
      ['lost', 'worker-restarted', true, 2_500],
      ['handed-back', 'unbegun', false, null],
    ],
  );
  const [stale] = await set.settle(workMethods.adopt, ANN, body);
  assert.is(stale?.kind === 'refused' && stale.code, 'stale-incarnation');
});

test('a heartbeat is answered only to whom it names', async () => {
  const set = await setUp();
  set.hears(heartbeatOf(ANN, 3));
  assert.is(answerCodec.decode(await set.ask(workMethods.heartbeat, ANN, new Uint8Array())).sequence, 3);
  assert.is(await codeOf(set.ask(workMethods.heartbeat, BOB, new Uint8Array())), 'invalid-request');
});

const secret = Buffer.alloc(32, 7).toString('base64url');

function redemption(peerId: string, mesh = 'cd'.repeat(16)): Uint8Array {
  return redeemCodec.encode({
    meshId: mesh as MeshId,
    secret,
    peerId: peerId as PeerId,
    name: 'dan',
    roles: null,
    boxKey: 'box',
    observer: null,
  });
}

test('a ticket is redeemed by the peer that joins, in the mesh that made it; the log sees only its hash', async () => {
  const set = await setUp();
  const hash = createHash('sha256').update(Buffer.from(secret, 'base64url')).digest('hex');
  const redeem = (from: string, body: Uint8Array) => set.ask(joinMethods.redeem, from as PeerId, body);
  const { appliedIndex } = set.log.status();
  assert.is(await codeOf(redeem('dan', redemption('dan'))), 'ticket-refused');
  assert.is(set.log.status().appliedIndex, appliedIndex, 'a stranger without a ticket does not fill the log');
  set.log.commit(ticketCreated(hash, { expiresAt: Number.MAX_SAFE_INTEGER }));
  assert.is(await codeOf(redeem('eve', redemption('dan'))), 'forbidden');
  assert.is(await codeOf(redeem('dan', redemption('dan', 'ff'.repeat(16)))), 'ticket-refused');
  await redeem('dan', redemption('dan'));
  await redeem('dan', redemption('dan'));
  assert.is(set.log.state.member('dan' as PeerId).name, 'dan');
  assert.is(await codeOf(redeem('eve', redemption('eve'))), 'ticket-refused');
  assert.not.ok(JSON.stringify(set.log.proposed).includes(secret));
});

test('the member list is of the index of its last change', async () => {
  const set = await setUp();
  const list = set.intake.memberList();
  assert.equal(
    list.members.map(({ name }) => name),
    ['ann', 'bob'],
  );
  assert.is(list.index, set.roster.membersIndex);
  assert.ok(memberListCodec.encode(list).length > 0);
});

test.run();
