// The rules of figure 2 and section 5 of the Raft paper, one by one.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Message } from '../../../protocol/raft/message.ts';
import { Cluster, command, epochId, Replica } from './cluster.ts';

type Body = { kind: Message['kind']; term: number; [field: string]: unknown };

/** A message to voter 1. */
const from = (voter: number, body: Body): Message => ({ epochId, from: voter, to: 1, ...body }) as unknown as Message;

function answers(replica: Replica): Message[] {
  const messages = [...replica.collect()];
  while (replica.unsynced.length > 0) messages.push(...replica.syncOne(), ...replica.collect());
  return messages;
}

test('a sole voter elects itself at its first tick and leads once its vote is on disk', () => {
  const one = new Replica(1, [1], 'sole');
  one.raft.tick();
  one.collect();
  assert.is(one.raft.state, 'candidate');
  one.syncOne();
  assert.is(one.raft.state, 'leader');
  assert.is(one.raft.term, 1);
});

test('a sole voter commits an entry when it is on its own disk, not before', () => {
  const cluster = new Cluster([1]);
  const one = cluster.elect(1);
  assert.is(one.raft.propose(command(7)), 2);
  one.collect();
  assert.is(one.raft.commitIndex, 1);
  one.syncOne();
  one.collect();
  assert.is(one.raft.commitIndex, 2);
  assert.equal(one.applied.at(-1), { index: 2, term: 1, kind: 'command', data: command(7) });
});

test('a sole voter that restarts commits and applies all that it had written', () => {
  const cluster = new Cluster([1]);
  const one = cluster.elect(1);
  for (let n = 0; n < 10; n++) one.raft.propose(command(n));
  one.collect();
  one.syncOne();
  one.applied = [];
  one.crash();
  cluster.elect(1);
  assert.is(one.raft.term, 2);
  assert.equal(
    one.applied.map((entry) => entry.index),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
  );
});

test('a voter that is not in the configuration never campaigns', () => {
  const stranger = new Replica(9, [1, 2, 3], 'stranger');
  for (let n = 0; n < 100; n++) stranger.raft.tick();
  assert.is(stranger.raft.state, 'follower');
  assert.is(stranger.raft.term, 0);
});

test('three voters elect one leader and replicate', () => {
  const cluster = new Cluster([1, 2, 3]);
  const leader = cluster.elect(2);
  leader.raft.propose(command(1));
  cluster.settle();
  cluster.tick(2, 2);
  cluster.settle();
  for (const replica of cluster.replicas.values()) {
    assert.is(replica.applied.length, 2);
    assert.is(replica.raft.leader, 2);
  }
});

test('a voter votes once a term, also across a restart', () => {
  const one = new Replica(1, [1, 2, 3], 'votes');
  one.raft.step(from(2, { kind: 'vote', term: 5, lastIndex: 0, lastTerm: 0 }));
  assert.equal(
    answers(one).map((m) => m.kind === 'vote.answer' && m.granted),
    [true],
  );
  one.crash();
  one.raft.step(from(3, { kind: 'vote', term: 5, lastIndex: 9, lastTerm: 4 }));
  assert.equal(
    answers(one).map((m) => m.kind === 'vote.answer' && m.granted),
    [false],
  );
  one.raft.step(from(2, { kind: 'vote', term: 5, lastIndex: 0, lastTerm: 0 }));
  assert.equal(
    answers(one).map((m) => m.kind === 'vote.answer' && m.granted),
    [true],
    'the same candidate may ask again',
  );
});

test('a vote leaves only after it is on disk', () => {
  const one = new Replica(1, [1, 2, 3], 'owed');
  one.raft.step(from(2, { kind: 'vote', term: 5, lastIndex: 0, lastTerm: 0 }));
  assert.equal(one.collect(), []);
  assert.is(one.syncOne().length, 1);
  assert.equal(one.synced.hardState, { term: 5, vote: 2, commit: 0 });
});

test('a candidate whose log is behind gets no vote', () => {
  const cluster = new Cluster([1, 2, 3]);
  cluster.cut.add(3);
  const leader = cluster.elect(1);
  leader.raft.propose(command(1));
  cluster.settle();
  cluster.cut.delete(3);
  cluster.cut.add(1);
  cluster.tick(3, 40);
  cluster.settle();
  assert.is.not(cluster.at(3).raft.state, 'leader');
  cluster.elect(2);
});

test('a candidate asks for votes only once its own is on disk, and counts that only then', () => {
  const one = new Replica(1, [1, 2, 3], 'campaign');
  for (let n = 0; n < 20; n++) one.raft.tick();
  assert.equal(one.collect(), []);
  one.raft.step(from(2, { kind: 'vote.answer', term: 1, granted: true }));
  assert.is(one.raft.state, 'candidate');
  assert.equal(
    one.syncOne().map((m) => m.kind),
    ['vote', 'vote'],
  );
  assert.is(one.raft.state, 'leader');
});

test('a candidate that a majority refuses goes back to following', () => {
  const one = new Replica(1, [1, 2, 3], 'refused');
  for (let n = 0; n < 20; n++) one.raft.tick();
  answers(one);
  one.raft.step(from(2, { kind: 'vote.answer', term: 1, granted: false }));
  assert.is(one.raft.state, 'candidate');
  one.raft.step(from(3, { kind: 'vote.answer', term: 1, granted: false }));
  assert.is(one.raft.state, 'follower');
});

test('a higher term deposes a leader; a lower one is told the present term', () => {
  const cluster = new Cluster([1, 2, 3]);
  const leader = cluster.elect(1);
  leader.raft.step(from(2, { kind: 'append', term: 0, prevIndex: 0, prevTerm: 0, entries: [], commit: 0 }));
  const [told] = answers(leader).filter((m) => m.kind === 'append.answer');
  assert.is(told?.term, 1);
  assert.is(leader.raft.state, 'leader');
  leader.raft.step(from(2, { kind: 'heartbeat', term: 4, commit: 0, round: 0 }));
  assert.is(leader.raft.state, 'follower');
  assert.is(leader.raft.term, 4);
});

test('entries that conflict with the leader are replaced, and only those', () => {
  const cluster = new Cluster([1, 2, 3]);
  const old = cluster.elect(1);
  cluster.cut.add(1);
  for (let n = 0; n < 5; n++) old.raft.propose(command(n));
  cluster.settle();
  const leader = cluster.elect(2);
  leader.raft.propose(command(99));
  cluster.settle();
  cluster.cut.delete(1);
  for (let n = 0; n < 3; n++) {
    cluster.tick(2, 2);
    cluster.settle();
  }
  assert.equal(cluster.at(1).synced.entries, leader.synced.entries);
  assert.is(cluster.at(1).applied.length, 3);
});

test('a late, shorter append does not drop what a later one brought', () => {
  const one = new Replica(1, [1, 2, 3], 'late');
  const entry = (index: number) => ({ index, term: 1, kind: 'noop' });
  const append = (entries: unknown[]) =>
    from(2, { kind: 'append', term: 1, prevIndex: 0, prevTerm: 0, entries, commit: 0 });
  one.raft.step(append([entry(1), entry(2), entry(3)]));
  one.raft.step(append([entry(1)]));
  answers(one);
  assert.is(one.synced.entries.length, 3);
});

test('an append that would leave a gap is refused with a hint', () => {
  const one = new Replica(1, [1, 2, 3], 'gap');
  one.raft.step(from(2, { kind: 'append', term: 3, prevIndex: 7, prevTerm: 2, entries: [], commit: 0 }));
  const [answer] = answers(one);
  assert.is(answer?.kind, 'append.answer');
  if (answer?.kind !== 'append.answer' || answer.ok) throw new Error('it was accepted');
  assert.is(answer.hintIndex, 0);
});

test('an acceptance leaves only after the entries are on disk', () => {
  const one = new Replica(1, [1, 2, 3], 'accept');
  const entries = [{ index: 1, term: 1, kind: 'noop' }];
  one.raft.step(from(2, { kind: 'append', term: 1, prevIndex: 0, prevTerm: 0, entries, commit: 1 }));
  assert.equal(one.collect(), []);
  assert.is(one.applied.length, 0, 'committed, but not on this disk');
  assert.is(one.syncOne().length, 1);
  one.collect();
  assert.is(one.applied.length, 1);
});

test('entries of earlier terms are not committed by counting (figure 8)', () => {
  const one = new Replica(1, [1, 2, 3], 'figure-8');
  const old = (index: number) => ({ index, term: 1, kind: 'noop' }) as const;
  one.synced = { hardState: { term: 1, vote: 1, commit: 0 }, entries: [old(1), old(2)] };
  one.crash();
  for (let n = 0; n < 20; n++) one.raft.tick();
  answers(one);
  one.raft.step(from(2, { kind: 'vote.answer', term: 2, granted: true }));
  answers(one);
  assert.is(one.raft.state, 'leader');
  one.raft.step(from(2, { kind: 'append.answer', term: 2, ok: true, matchIndex: 2 }));
  assert.is(one.raft.commitIndex, 0);
  one.raft.step(from(2, { kind: 'append.answer', term: 2, ok: true, matchIndex: 3 }));
  assert.is(one.raft.commitIndex, 3);
});

test('a leader does not count entries that its own disk has not', () => {
  const cluster = new Cluster([1, 2, 3]);
  const leader = cluster.elect(1);
  cluster.cut.add(3);
  leader.raft.propose(command(1));
  const messages = leader.collect();
  assert.ok(
    messages.some((m) => m.kind === 'append'),
    'sent before the own write',
  );
  cluster.say(messages);
  for (const message of cluster.network.splice(0)) cluster.deliver(message);
  const two = cluster.at(2);
  cluster.say(two.collect());
  while (two.unsynced.length > 0) cluster.say(two.syncOne());
  for (const message of cluster.network.splice(0)) cluster.deliver(message);
  assert.is(leader.raft.commitIndex, 1);
  cluster.settle();
  assert.is(leader.raft.commitIndex, 2);
});

test('a read waits for a quorum round that began after it', () => {
  const cluster = new Cluster([1, 2, 3]);
  const leader = cluster.elect(1);
  cluster.cut.add(2).add(3);
  assert.ok(leader.raft.readIndex(77));
  cluster.settle();
  assert.equal(leader.reads, []);
  cluster.cut.delete(3);
  cluster.tick(1, 2);
  cluster.settle();
  assert.equal(leader.reads, [{ context: 77, index: 1 }]);
});

test('an answer to a heartbeat from before a read does not confirm it', () => {
  const cluster = new Cluster([1, 2, 3]);
  const { raft, reads } = cluster.elect(1);
  raft.readIndex(1);
  raft.step(from(2, { kind: 'heartbeat.answer', term: 1, round: 0 }));
  cluster.at(1).collect();
  assert.equal(reads, []);
  raft.step(from(2, { kind: 'heartbeat.answer', term: 1, round: 1 }));
  cluster.at(1).collect();
  assert.equal(reads, [{ context: 1, index: 1 }]);
});

test('a follower commits no further than it is known to agree with the leader', () => {
  const one = new Replica(1, [1, 2, 3], 'commit');
  const entries = [1, 2, 3].map((index) => ({ index, term: 1, kind: 'noop' }));
  one.raft.step(from(2, { kind: 'append', term: 1, prevIndex: 0, prevTerm: 0, entries, commit: 0 }));
  // Entries 2 and 3 may differ from this leader's.
  one.raft.step(
    from(3, { kind: 'append', term: 2, prevIndex: 0, prevTerm: 0, entries: entries.slice(0, 1), commit: 3 }),
  );
  assert.is(one.raft.commitIndex, 1);
});

test('a deposed leader answers no read', () => {
  const cluster = new Cluster([1, 2, 3]);
  const old = cluster.elect(1);
  cluster.cut.add(1);
  cluster.elect(2);
  old.raft.readIndex(1);
  cluster.cut.delete(1);
  cluster.tick(1, 2);
  cluster.settle();
  assert.is(old.raft.state, 'follower');
  assert.equal(old.reads, []);
  assert.not.ok(old.raft.readIndex(2));
});

test('a new leader answers a read only once an entry of its own term is committed', () => {
  const one = new Replica(1, [1], 'early');
  one.raft.tick();
  one.collect();
  one.syncOne();
  assert.ok(one.raft.readIndex(5));
  one.collect();
  assert.equal(one.reads, []);
  one.syncOne();
  one.collect();
  assert.equal(one.reads, [{ context: 5, index: 1 }]);
});

test('messages of another epoch, to another voter or in senseless order change nothing', () => {
  const one = new Replica(1, [1, 2, 3], 'foreign');
  const vote = from(2, { kind: 'vote', term: 9, lastIndex: 0, lastTerm: 0 });
  one.raft.step({ ...vote, epochId: 'f'.repeat(32) as typeof epochId });
  one.raft.step({ ...vote, to: 3 });
  one.raft.step({ ...vote, from: 1 });
  assert.is(one.raft.term, 0);
  const entries = [{ index: 5, term: 1, kind: 'noop' }];
  one.raft.step(from(2, { kind: 'append', term: 1, prevIndex: 0, prevTerm: 0, entries, commit: 0 }));
  assert.is(one.raft.lastIndex, 0);
});

test('a follower far behind catches up in batches', () => {
  const cluster = new Cluster([1, 2, 3]);
  const leader = cluster.elect(1);
  cluster.cut.add(3);
  for (let n = 0; n < 3_000; n++) leader.raft.propose(command(n));
  cluster.settle();
  cluster.cut.delete(3);
  cluster.tick(1, 2);
  cluster.settle();
  cluster.tick(1, 2);
  cluster.settle();
  assert.is(cluster.at(3).applied.length, 3_001);
});

test.run();
