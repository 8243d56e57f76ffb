// Members: incarnations, deaths, adoption, names and tickets, and what becomes of the grants they hold.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { makeFence, type PeerId } from '../../../protocol/ids.ts';
import { headOf } from '../../../protocol/state/queue.ts';
import { keys } from '../../../protocol/state/rows.ts';
import {
  ANN,
  adopted,
  BOB,
  CAT,
  checkJob,
  checkPeer,
  dead,
  draining,
  finished,
  granted,
  job,
  joined,
  meshOf,
  openOf,
  type State,
  ticketCreated,
} from '../../support/state.ts';

const J = job(1);
const K = job(2);

/** The order in which the job's tasks go out next. */
const head = (state: State, jobId = J): number[] => headOf(state.progress(jobId), state.job(jobId).taskCount, 100);

test('a mesh is created once', () => {
  const state = meshOf(ANN);
  const mesh = state.view.get(keys.mesh);
  state.refused(
    { kind: 'mesh.created', meshId: 'ef'.repeat(16) as never, founder: BOB, name: 'b', epochId: state.epochId, at: 0 },
    'state-conflict',
  );
  assert.equal(state.view.get(keys.mesh), mesh);
});

test('settings keep what is not set anew', () => {
  const state = meshOf(ANN);
  state.done({ kind: 'settings.set', settings: { leaseMs: 60_000 }, at: 0 });
  state.done({ kind: 'settings.set', settings: { heartbeatMs: 15_000 }, at: 0 });
  assert.is(state.view.get(keys.settings)?.leaseMs, 60_000);
  assert.is(state.view.get(keys.settings)?.heartbeatMs, 15_000);
});

test('a death requeues all that the peer held at the head, in the order in which it was granted', () => {
  const state = meshOf(ANN, BOB);
  state.submit(J, 9);
  for (const n of [1, 2, 3, 4, 5]) state.grant(J, n, n === 2 ? BOB : ANN);
  state.done(dead(ANN, 1));
  assert.equal(head(state), [1, 3, 4, 5, 6, 7, 8, 9]);
  state.done(dead(BOB, 1));
  assert.equal(head(state), [2, 1, 3, 4, 5, 6, 7, 8, 9]);
  assert.is(state.taskState(J, 2), 'queued');
  checkJob(state, J);
  checkPeer(state, ANN);
});

test('tasks that go back after a restart keep the order in which they were granted', () => {
  const state = meshOf(ANN);
  state.submit(J, 6);
  const fences = [1, 2, 3, 4].map((n) => state.grant(J, n, ANN));
  state.done(adopted(ANN, 2, fences.slice(1, 2)));
  assert.equal(head(state), [1, 3, 4, 5, 6]);
  checkJob(state, J);
  checkPeer(state, ANN);
});

test('a death of several jobs’ tasks requeues each in its own job', () => {
  const state = meshOf(ANN);
  state.submit(J, 2);
  state.submit(K, 2);
  state.grant(J, 1, ANN);
  state.grant(K, 1, ANN);
  state.grant(J, 2, ANN);
  state.done(dead(ANN, 1));
  assert.equal(head(state), [1, 2]);
  assert.equal(head(state, K), [1, 2]);
  assert.equal(state.holds(ANN), []);
});

test('a death does nothing unless it names the incarnation in force', () => {
  const state = meshOf(ANN);
  state.submit(J);
  const fence = state.grant(J, 1, ANN);
  state.done(adopted(ANN, 5, [fence]));
  state.refused(dead(ANN, 1, [fence]), 'stale-incarnation');
  state.refused(dead(ANN, 6, [fence]), 'stale-incarnation');
  assert.is(state.taskState(J, 1), 'running');
  assert.is(state.member(ANN).state, 'alive');
});

test('a death that is recorded twice counts once', () => {
  const state = meshOf(ANN);
  state.submit(J);
  const fence = state.grant(J, 1, ANN);
  state.done(dead(ANN, 1, [fence]));
  state.refused(dead(ANN, 1, [fence]), 'stale-incarnation');
  assert.is(state.task(J, 1).lost, 1);
});

test('nobody that is no member dies', () => {
  meshOf(ANN).refused(dead(BOB, 0), 'not-member');
});

test('an adoption moves the listed grants to the new incarnation and no others', () => {
  const state = meshOf(ANN);
  state.submit(J, 3);
  const kept = state.grant(J, 1, ANN);
  const lost = state.grant(J, 2, ANN);
  state.grant(J, 3, ANN);
  state.done(adopted(ANN, 2, [kept], [kept, lost]));
  assert.is(state.task(J, 1).open?.incarnation, 2);
  assert.equal(state.fences(ANN), [kept]);
  assert.is(state.taskState(J, 2), 'queued');
  assert.is(state.task(J, 2).lost, 1);
  assert.equal(state.task(J, 2).attempts[0]?.reason, 'worker-restarted');
  assert.is(state.task(J, 3).lost, 0);
  assert.equal(state.task(J, 3).attempts[0]?.reason, 'unbegun');
  checkJob(state, J);
  checkPeer(state, ANN);
});

test('a moved grant is finished by the new incarnation under its old fence, and by no other', () => {
  const state = meshOf(ANN);
  state.submit(J);
  const fence = state.grant(J, 1, ANN);
  const old = openOf(state, J, 1);
  state.done(adopted(ANN, 2, [fence]));
  state.refused(finished(old), 'stale-incarnation');
  state.done(finished({ ...old, incarnation: 2 }));
  assert.is(state.taskState(J, 1), 'completed');
});

test('an adoption is applied only if its incarnation exceeds the one in force', () => {
  const state = meshOf(ANN);
  state.submit(J);
  const fence = state.grant(J, 1, ANN);
  state.refused(adopted(ANN, 1), 'stale-incarnation');
  state.refused(adopted(ANN, 0), 'stale-incarnation');
  assert.equal(state.fences(ANN), [fence]);
});

test('an adoption reopens nothing: what a death gave back stays given back', () => {
  const state = meshOf(ANN, BOB);
  state.submit(J, 2);
  const requeued = state.grant(J, 1, ANN);
  const elsewhere = state.grant(J, 2, ANN);
  state.done(dead(ANN, 1, [requeued]));
  state.grant(J, 2, BOB);
  state.done(adopted(ANN, 2, [requeued, elsewhere]));
  assert.is(state.taskState(J, 1), 'queued');
  assert.is(state.task(J, 2).open?.peerId, BOB);
  assert.equal(state.holds(ANN), []);
  checkPeer(state, ANN);
});

test('an adoption takes no grant of another peer', () => {
  const state = meshOf(ANN, BOB);
  state.submit(J);
  const fence = state.grant(J, 1, BOB);
  state.done(adopted(ANN, 2, [fence]));
  assert.equal(state.task(J, 1).open, { index: state.holds(BOB)[0]?.index, peerId: BOB, incarnation: 1 });
});

test('an adoption moves a grant that is being cancelled, and it still closes as cancelled', () => {
  const state = meshOf(ANN);
  state.submit(J);
  const fence = state.grant(J, 1, ANN);
  state.done({
    kind: 'job.cancelled',
    jobId: J,
    tasks: null,
    reason: null,
    idempotency: null,
    project: 'default',
    at: 0,
  });
  state.done(adopted(ANN, 2, [fence]));
  assert.is(state.taskState(J, 1), 'running');
  state.done(finished(openOf(state, J, 1)));
  assert.is(state.taskState(J, 1), 'cancelled');
});

test('an adoption brings the dead back, and a draining one still drains', () => {
  const state = meshOf(ANN, BOB);
  state.done(dead(ANN, 1));
  state.done(adopted(ANN, 2));
  assert.is(state.member(ANN).state, 'alive');
  state.done(draining(BOB));
  state.done(adopted(BOB, 2));
  assert.is(state.member(BOB).state, 'draining');
});

test('a draining peer that dies comes back draining, until it is told otherwise', () => {
  const state = meshOf(ANN);
  state.done(draining(ANN));
  state.done(dead(ANN, 1));
  state.done(adopted(ANN, 2));
  assert.is(state.member(ANN).state, 'draining');
  state.done(draining(ANN, false));
  state.done(dead(ANN, 2));
  state.done(adopted(ANN, 3));
  assert.is(state.member(ANN).state, 'alive');
});

test('strangers and those that left adopt nothing', () => {
  const state = meshOf(ANN, BOB);
  state.refused(adopted(CAT, 1), 'not-member');
  state.done({ kind: 'member.left', peerId: BOB, at: 0 });
  state.refused(adopted(BOB, 2), 'not-member');
});

test('the dead do not drain', () => {
  const state = meshOf(ANN);
  state.done(dead(ANN, 1));
  state.refused(draining(ANN), 'state-conflict');
  state.refused(draining(BOB), 'not-found');
});

test('a peer leaves only once it holds nothing: a grant closes by its holder, by its death or by adoption alone', () => {
  const state = meshOf(ANN);
  state.submit(J);
  state.grant(J, 1, ANN);
  state.refused({ kind: 'member.left', peerId: ANN, at: 0 }, 'state-conflict');
  assert.is(state.taskState(J, 1), 'running');
  state.done(finished(openOf(state, J, 1)));
  state.done({ kind: 'member.left', peerId: ANN, at: 0 });
  assert.is(state.member(ANN).state, 'left');
  state.refused(granted(J, 1, ANN), 'not-member');
});

test('a name is free again once its peer left', () => {
  const state = meshOf(ANN, BOB);
  state.done({ kind: 'member.left', peerId: BOB, at: 0 });
  state.done(ticketCreated('t'));
  assert.is(state.done(joined(CAT, 't', { name: 'bob' })).name, 'bob');
});

test('names are unique: a second one of the same name gets another', () => {
  const state = meshOf(ANN, BOB);
  state.done(ticketCreated('t', { uses: 9 }));
  const { name } = state.done(joined(CAT, 't', { name: 'bob' }));
  assert.is(name, 'bob-er-cat');
  assert.is(state.view.get(keys.name('bob-er-cat'))?.peerId, CAT);
  assert.is(state.view.get(keys.name('bob'))?.peerId, BOB);
});

test('names stay unique where the next best name is taken too', () => {
  const state = meshOf(ANN, BOB);
  state.done(ticketCreated('t', { uses: 9 }));
  const eve = 'peer-eve' as PeerId;
  state.done(joined(eve, 't', { name: 'bob-er-cat' }));
  const { name } = state.done(joined(CAT, 't', { name: 'bob' }));
  assert.is(state.view.get(keys.name('bob-er-cat'))?.peerId, eve);
  assert.is(state.view.get(keys.name(name as string))?.peerId, CAT);
});

test('only the founder joins without a ticket', () => {
  const state = meshOf(ANN);
  state.refused(joined(BOB, null), 'ticket-refused');
  state.done(joined(ANN, null));
});

test('a ticket nobody made admits nobody', () => {
  meshOf(ANN).refused(joined(BOB, 'made-up'), 'ticket-refused');
});

test('a ticket is for one peer unless made for more', () => {
  const state = meshOf(ANN);
  state.done(ticketCreated('once'));
  state.done(joined(BOB, 'once'));
  state.refused(joined(CAT, 'once'), 'ticket-refused');
  state.done(ticketCreated('twice', { uses: 2 }));
  state.done(joined(CAT, 'twice'));
  state.done(joined('peer-dan' as PeerId, 'twice'));
  state.refused(joined('peer-eve' as PeerId, 'twice'), 'ticket-refused');
});

test('redeeming again by the same peer gives the same answer and uses nothing up', () => {
  const state = meshOf(ANN);
  state.done(ticketCreated('t', { uses: 2 }));
  const first = state.done(joined(BOB, 't'));
  assert.equal(state.done(joined(BOB, 't')), first);
  assert.is(state.view.get(keys.ticket('t'))?.usesLeft, 1);
  assert.equal(state.done(joined(BOB, 't', { at: 2_000_000 })), first, 'also after the ticket expired');
});

test('redeeming again neither revives a dead incarnation nor ends a drain', () => {
  const state = meshOf(ANN, BOB, CAT);
  state.submit(J);
  state.done(dead(BOB, 1));
  state.done(joined(BOB, `ticket-of-${BOB}`));
  assert.is(state.member(BOB).state, 'dead');
  state.refused(granted(J, 1, BOB), 'not-member');
  state.done(draining(CAT));
  state.done(joined(CAT, `ticket-of-${CAT}`));
  assert.is(state.member(CAT).state, 'draining');
});

test('redeeming again keeps the name that was given, even if the one asked for is free by now', () => {
  const state = meshOf(ANN, BOB);
  state.done(ticketCreated('t'));
  const { name } = state.done(joined(CAT, 't', { name: 'bob' }));
  state.done({ kind: 'member.left', peerId: BOB, at: 0 });
  assert.is(state.done(joined(CAT, 't', { name: 'bob' })).name, name);
});

test('a peer that left needs a new ticket to come back, and its incarnation goes on', () => {
  const state = meshOf(ANN, BOB);
  state.done({ kind: 'member.left', peerId: BOB, at: 0 });
  state.refused(joined(BOB, `ticket-of-${BOB}`), 'ticket-refused');
  state.done(ticketCreated('again'));
  assert.is(state.done(joined(BOB, 'again')).incarnation, 1);
  state.refused(adopted(BOB, 1), 'stale-incarnation');
  state.done(adopted(BOB, 2));
});

test('a ticket expires', () => {
  const state = meshOf(ANN);
  state.done(ticketCreated('t', { expiresAt: 500 }));
  state.refused(joined(BOB, 't', { at: 500 }), 'ticket-refused');
  state.done(joined(BOB, 't', { at: 499 }));
});

test('roles are fixed by the ticket', () => {
  const state = meshOf(ANN);
  state.done(ticketCreated('t', { roles: ['worker', 'gateway'], uses: 5 }));
  state.refused(joined(BOB, 't', { roles: ['worker', 'voter'] }), 'ticket-refused');
  assert.equal(state.done(joined(BOB, 't', { roles: ['gateway'] })).roles, ['gateway']);
  assert.equal(state.done(joined(CAT, 't', { roles: [] })).roles, ['worker', 'gateway']);
});

test('a ticket that is made twice is one ticket', () => {
  const state = meshOf(ANN);
  state.done(ticketCreated('t', { uses: 1 }));
  state.done(joined(BOB, 't'));
  state.done(ticketCreated('t', { uses: 1 }));
  state.refused(joined(CAT, 't'), 'ticket-refused');
});

const key = (keyHash: string, replaces: string | null = null, at = 10) =>
  ({
    kind: 'key.created',
    keyHash,
    name: keyHash,
    scope: 'submit',
    project: 'default',
    at,
    replaces,
    idempotency: null,
  }) as const;

test('a key that replaces another revokes it in the same step', () => {
  const state = meshOf(ANN);
  state.done(key('old'));
  state.done(key('new', 'old', 20));
  assert.is(state.view.get(keys.key('old'))?.revokedAt, 20);
  assert.is(state.view.get(keys.key('new'))?.revokedAt, null);
});

test('a key replaces only one that is in force', () => {
  const state = meshOf(ANN);
  state.refused(key('new', 'none'), 'not-found');
  state.done(key('old'));
  state.done({ kind: 'key.revoked', keyHash: 'old', at: 15 });
  state.refused(key('new', 'old'), 'not-found');
  assert.is(state.view.get(keys.key('new')), undefined);
});

test('a key that is created twice is one key, also where it replaced another', () => {
  const state = meshOf(ANN);
  state.done(key('old'));
  state.done(key('new', 'old'));
  state.done(key('new', 'old'));
  state.done({ kind: 'key.revoked', keyHash: 'new', at: 30 });
  state.done(key('new', 'old'));
  assert.is(state.view.get(keys.key('new'))?.revokedAt, 30);
});

test('a key is revoked once: the first time counts', () => {
  const state = meshOf(ANN);
  state.done(key('k'));
  state.done({ kind: 'key.revoked', keyHash: 'k', at: 15 });
  state.done({ kind: 'key.revoked', keyHash: 'k', at: 25 });
  assert.is(state.view.get(keys.key('k'))?.revokedAt, 15);
  state.refused({ kind: 'key.revoked', keyHash: 'none', at: 15 }, 'not-found');
});

const admin = (keyHash: string, replaces: string | null = null) =>
  ({ ...key(keyHash, replaces), scope: 'admin' }) as const;
const revoked = (keyHash: string) => ({ kind: 'key.revoked', keyHash, at: 20 }) as const;

test('of two revocations that would leave no admin key the second is refused', () => {
  const state = meshOf(ANN);
  state.done(admin('a'));
  state.done(admin('b'));
  state.done(key('c'));
  state.done(revoked('a'));
  state.done(revoked('a'));
  state.refused(revoked('b'), 'state-conflict');
  assert.is(state.view.get(keys.key('b'))?.revokedAt, null);
  state.done(revoked('c'));
  state.done(admin('d'));
  state.done(revoked('b'));
});

test('the last admin key may be replaced by another, and by no lesser one', () => {
  const state = meshOf(ANN);
  state.done(admin('a'));
  state.refused(key('lesser', 'a'), 'state-conflict');
  state.done(admin('b', 'a'));
  state.refused(revoked('b'), 'state-conflict');
});

test('a key that is there is nobody else’s', () => {
  const state = meshOf(ANN);
  state.done(key('k'));
  state.refused({ ...key('k'), name: 'other' }, 'state-conflict');
  state.refused(admin('k'), 'state-conflict');
});

const idempotency = { key: 'once', bodyHash: 'x' } as const;

test('tickets, keys and drains act once under one idempotency key, and their answers hold no secret', () => {
  const state = meshOf(ANN, BOB);
  for (const [command, answer] of [
    [ticketCreated('t', { uses: 2 }), { roles: ['worker'], uses: 2, expiresAt: 1_000_000 }],
    [key('k'), { keyHash: 'k' }],
    [draining(BOB), { state: 'draining' }],
  ] as const) {
    const asked = { ...command, idempotency: { ...idempotency, key: command.kind } };
    assert.equal(state.done(asked), answer);
    if (command.kind === 'ticket.created') state.done(joined(CAT, 't'));
    if (command.kind === 'member.draining') state.done(draining(BOB, false));
    assert.equal(state.apply(asked).outcome, { kind: 'done', answer, replayed: true });
    const other = { ...asked, idempotency: { key: command.kind, bodyHash: 'y' } };
    state.refused(other, 'idempotency-mismatch');
  }
  assert.is(state.member(BOB).state, 'alive', 'an old request repeated does not drain again');
});

test('a ticket that has expired is dropped, one that has not stays, and who came by it is still known', () => {
  const state = meshOf(ANN);
  state.done(ticketCreated('t', { expiresAt: 500 }));
  const first = state.done(joined(BOB, 't'));
  state.done({ kind: 'tickets.dropped', secretHashes: ['t', 'none'], at: 499 });
  assert.is(state.view.get(keys.ticket('t'))?.usesLeft, 0);
  state.done({ kind: 'tickets.dropped', secretHashes: ['t'], at: 500 });
  assert.is(state.view.get(keys.ticket('t')), undefined);
  assert.equal(state.done(joined(BOB, 't')), first);
  state.refused(joined(CAT, 't'), 'ticket-refused');
});

test('a fence is made of the epoch and the index', () => {
  const state = meshOf(ANN);
  state.submit(J);
  assert.is(state.grant(J, 1, ANN), makeFence(state.epochId, state.index));
});

test.run();
