// Several replicas of one log: growing, losing the leader, forwarding, snapshots, and what those who ask are told.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { SkeinError } from '../../../protocol/errors.ts';
import { replicasOf } from '../../../protocol/state/apply-replica.ts';
import type { Command } from '../../../protocol/state/command.ts';
import { limits, type ReplicaNode, Replicas } from '../../support/replicas.ts';

const ticket = (name: string): Command => ({
  kind: 'ticket.created',
  secretHash: name,
  roles: ['worker'],
  uses: 1,
  expiresAt: 1e15,
  by: 'test',
  project: 'default',
  idempotency: null,
  at: 1,
});
const has = ({ log }: ReplicaNode, name: string): boolean => log.view.get(`ticket/${name}`) !== undefined;

async function three(options = {}): Promise<{ mesh: Replicas; a: ReplicaNode; b: ReplicaNode; c: ReplicaNode }> {
  const mesh = await Replicas.found(options);
  const a = mesh.leader();
  const b = await mesh.join('p2');
  const c = await mesh.join('p3');
  await mesh.until(
    'both learners follow',
    () => a.log.replicas().filter(({ state }) => state === 'replicate').length === 2,
  );
  const voterIds = [b, c].map(({ log }) => log.status().voterId);
  const sentence = 'three from now on';
  await mesh.settled(
    a.log.changeReplicas({ kind: 'promote', voterIds }, { kind: 'replica.changed', sentence, at: 1 }, limits),
  );
  await mesh.until('all know of three', () => [a, b, c].every(({ log }) => log.status().voters === 3));
  return { mesh, a, b, c };
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'none';
  } catch (error) {
    if (error instanceof SkeinError) return error.code;
    throw error;
  }
}

test('one voter becomes three, and all hold the same rows', async () => {
  const { mesh, a, b, c } = await three();
  await mesh.settled(a.log.propose(ticket('x'), limits));
  await mesh.until('all have it', () => [a, b, c].every((node) => has(node, 'x')));
  const { configuration, peers } = replicasOf(b.log.view);
  assert.is(configuration.voters.length, 3);
  assert.equal(new Map(peers).get(1), 'p1');
  const hashes = await Promise.all([a, b, c].map(async ({ log }) => (await mesh.settled(log.snapshot())).stateHash));
  assert.is(new Set(hashes).size, 1);
  await mesh.end();
});

test('a follower hands a command to the leader and answers once it has applied it itself', async () => {
  const { mesh, b, c } = await three();
  const { outcome } = await mesh.settled(b.log.propose(ticket('y'), limits));
  assert.is(outcome.kind, 'done');
  assert.ok(has(b, 'y'));
  await mesh.settled(c.log.readBarrier(limits));
  assert.ok(has(c, 'y'), 'a read on another follower that began afterwards sees it');
  await mesh.end();
});

test('when the leader is gone the others go on, and it follows when it comes back', async () => {
  const { mesh, a, b, c } = await three();
  await mesh.stop(a);
  await mesh.until('another leads', () => [b, c].some(({ log }) => log.status().leading));
  await mesh.settled(mesh.leader().log.propose(ticket('z'), limits));
  const back = await mesh.start(a);
  await mesh.until('it catches up', () => has(back, 'z'));
  assert.is(back.log.status().state, 'follower');
  await mesh.end();
});

test('who has no quorum says so at once, whether it led or not', async () => {
  const { mesh, a, b, c } = await three();
  mesh.isolate(a);
  await mesh.until('it has stepped down', () => a.log.status().leader === null);
  assert.is(await codeOf(mesh.settled(a.log.propose(ticket('lost'), limits))), 'no-quorum');
  assert.is(await codeOf(mesh.settled(a.log.readBarrier(limits))), 'no-quorum');
  mesh.heal();
  await mesh.until('it is led again', () => a.log.status().leader !== null);
  await mesh.settled(a.log.propose(ticket('found'), limits));
  await mesh.until('all have it', () => [a, b, c].every((node) => has(node, 'found')));
  assert.not.ok(has(b, 'lost'));
  await mesh.end();
});

test('what was proposed and then cut off is not known, and is there once at most', async () => {
  const { mesh, a, b, c } = await three();
  mesh.cut(b, a);
  mesh.cut(c, a);
  const asked = codeOf(mesh.settled(a.log.propose(ticket('u'), { timeoutMs: 3_000 })));
  assert.is(await asked, 'outcome-unknown');
  mesh.heal();
  await mesh.until('one leads', () => [a, b, c].some(({ log }) => log.status().leading));
  await mesh.settled(b.log.propose(ticket('u'), limits));
  await mesh.settled(b.log.readBarrier(limits));
  assert.ok(has(b, 'u'));
  await mesh.end();
});

test('reads that wait for a leader who is away leave the clock its turns', async () => {
  const { mesh, a, b } = await three();
  await mesh.stop(a);
  // In vain, until this one has noticed; and then it is told.
  assert.is(await codeOf(mesh.settled(b.log.readBarrier(limits))), 'no-quorum');
  await mesh.until('another leads', () => b.log.status().leader !== null && b.log.status().leader !== a.peerId);
  await mesh.settled(b.log.readBarrier(limits));
  await mesh.end();
});

test('a follower whose command got no answer is told that nobody knows', async () => {
  const { mesh, a, b } = await three();
  mesh.cut(a, b);
  assert.is(await codeOf(mesh.settled(b.log.propose(ticket('v'), limits))), 'outcome-unknown');
  await mesh.end();
});

test('one that fell behind what is kept gets a snapshot, in pieces, and what was derived from rows is read anew', async () => {
  const { mesh, a, b, c } = await three({ keepEntries: 16 });
  await mesh.stop(c);
  for (let n = 0; n < 1_600; n += 200) {
    const batch = Array.from({ length: 200 }, (_, k) => a.log.propose(ticket(`n${n + k}`), limits));
    await mesh.settled(Promise.all(batch));
  }
  await mesh.until('the log was cut', () => a.storage.term(1_000) === undefined);
  const back = await mesh.start(c);
  let replaced = 0;
  back.log.onReplaced(async () => {
    replaced++;
  });
  await mesh.until('it has all', () => has(back, 'n1599'));
  assert.is(replaced, 1);
  await mesh.settled(b.log.propose(ticket('after'), limits));
  await mesh.until('it follows on', () => has(back, 'after'));
  const hashes = await Promise.all([a, b, back].map(async ({ log }) => (await mesh.settled(log.snapshot())).stateHash));
  assert.is(new Set(hashes).size, 1);
  await mesh.end();
});

test('a replica that forgot its log comes back under another name', async () => {
  const { mesh, a, c } = await three();
  const before = c.log.status().voterId;
  await mesh.stop(c);
  const voterId = await mesh.enlist(c.peerId);
  assert.ok(voterId > before);
  const { configuration, peers } = replicasOf(a.log.view);
  assert.not.ok(configuration.voters.includes(before));
  assert.equal(configuration.learners, [voterId]);
  assert.not.ok(peers.some(([id]) => id === before));
  await mesh.end();
});

test('one that was removed hears of it', async () => {
  const { mesh, a, c } = await three();
  const voterId = c.log.status().voterId;
  await mesh.settled(
    a.log.changeReplicas({ kind: 'remove', voterId }, { kind: 'replica.changed', sentence: 'out', at: 1 }, limits),
  );
  await mesh.until('it knows', () => c.log.status().removed);
  await mesh.end();
});

test.run();
