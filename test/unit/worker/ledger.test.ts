// The worker's rules: what may begin, what must be killed, what must be reported (DESIGN.md, sections 3 and 4).
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Ledger } from '../../../node/worker/ledger.ts';
import type { EpochId } from '../../../protocol/ids.ts';
import { answered, pushed } from '../../support/grants.ts';
import { begunAt, EPOCH } from '../../support/state.ts';

const NOW = 1_000;
/** Wall time. */
const AT = 1_790_000_000_000;

/** A worker of incarnation 1 whose lease holds from NOW on for 15 s. */
function leased({ slots = 2 }: { slots?: number } = {}): Ledger {
  const ledger = new Ledger({ incarnation: 1, epochId: EPOCH, slots });
  ledger.onAnswer(answered(1), NOW);
  return ledger;
}

const fencesOf = (grants: readonly { fence: string }[]): string[] => grants.map(({ fence }) => fence);
const fence = (index: number) => pushed(index).fence;

test('nothing begins before a first lease', () => {
  const ledger = new Ledger({ incarnation: 1, epochId: EPOCH, slots: 2 });
  ledger.onGrants([pushed(5)]);
  assert.equal(ledger.begin(NOW, AT), []);
  ledger.onAnswer(answered(1), NOW);
  assert.equal(fencesOf(ledger.begin(NOW, AT)), [fence(5)]);
});

test('nothing begins once the lease has lapsed, counted from when the heartbeat was sent', () => {
  const ledger = leased();
  ledger.onGrants([pushed(5)]);
  assert.equal(ledger.begin(NOW + 15_000, AT), []);
  ledger.onAnswer(answered(2), NOW + 14_000);
  assert.is(ledger.lease?.untilMs, NOW + 29_000);
  assert.equal(fencesOf(ledger.begin(NOW + 28_999, AT)), [fence(5)]);
});

test('what was begun and given back before it ran is no longer told as begun, and never begins again', () => {
  const ledger = leased();
  ledger.onGrants([pushed(5), pushed(6)]);
  ledger.begin(NOW, AT);
  ledger.returned([fence(5)]);
  assert.equal(ledger.begun(), begunAt(AT, [fence(6)]));
  assert.is(ledger.busySlots, 1);
  ledger.ended(fence(5));
  assert.equal(ledger.begun(), begunAt(AT, [fence(6)]));
  ledger.onGrants([pushed(5)]);
  assert.equal(ledger.begin(NOW, AT), []);
});

test('a fence begins at most once, however often its grant is pushed', () => {
  const ledger = leased();
  ledger.onGrants([pushed(5), pushed(5)]);
  assert.equal(fencesOf(ledger.begin(NOW, AT)), [fence(5)]);
  ledger.onGrants([pushed(5)]);
  assert.equal(ledger.begin(NOW, AT), []);
  ledger.ended(fence(5));
  ledger.onGrants([pushed(5)]);
  ledger.onAnswer(answered(2, { appliedIndex: 5, fences: [fence(5)], grants: [pushed(5)] }), NOW);
  assert.equal(ledger.begin(NOW, AT), []);
  ledger.settled(fence(5));
  ledger.onGrants([pushed(5)]);
  assert.equal(ledger.begin(NOW, AT), []);
});

test('a grant that is pushed late, long after its attempt was settled, does not begin again', () => {
  const ledger = leased();
  ledger.onGrants([pushed(5)]);
  ledger.begin(NOW, AT);
  ledger.ended(fence(5));
  ledger.settled(fence(5));
  for (const sequence of [2, 3, 4]) ledger.onAnswer(answered(sequence, { appliedIndex: 10 * sequence }), NOW);
  assert.equal(ledger.onGrants([pushed(5)]), []);
  assert.equal(ledger.begin(NOW, AT), []);
});

test('a grant of another incarnation or another epoch does not begin', () => {
  const ledger = leased();
  const epochId = '00'.repeat(16) as EpochId;
  ledger.onGrants([pushed(5, { incarnation: 2 }), pushed(6, { incarnation: 0 }), pushed(7, { epochId })]);
  assert.equal(ledger.begin(NOW, AT), []);
});

test('grants begin in the order in which they came, as far as slots are free', () => {
  const ledger = leased({ slots: 2 });
  ledger.onGrants([pushed(5), pushed(6), pushed(7)]);
  assert.equal(fencesOf(ledger.begin(NOW, AT)), [fence(5), fence(6)]);
  assert.equal(ledger.begin(NOW, AT), []);
  assert.equal(ledger.unbegun(), [fence(7)]);
  ledger.ended(fence(6));
  assert.equal(fencesOf(ledger.begin(NOW, AT)), [fence(7)]);
});

test('a grant that needs several slots waits for them, and nothing overtakes it', () => {
  const ledger = leased({ slots: 3 });
  ledger.onGrants([pushed(5), pushed(6, { needs: { cpu: 3 } }), pushed(7)]);
  assert.equal(fencesOf(ledger.begin(NOW, AT)), [fence(5)]);
  assert.is(ledger.busySlots, 1);
  ledger.ended(fence(5));
  assert.equal(fencesOf(ledger.begin(NOW, AT)), [fence(6)]);
  assert.is(ledger.busySlots, 3);
  ledger.ended(fence(6));
  assert.equal(fencesOf(ledger.begin(NOW, AT)), [fence(7)]);
});

test('a grant for all cpus takes every slot, a fraction of a cpu takes one', () => {
  const ledger = leased({ slots: 4 });
  ledger.onGrants([pushed(5, { needs: { cpu: 'all' } }), pushed(6, { needs: { cpu: 0.5 } })]);
  assert.equal(fencesOf(ledger.begin(NOW, AT)), [fence(5)]);
  assert.is(ledger.busySlots, 4);
  ledger.ended(fence(5));
  ledger.begin(NOW, AT);
  assert.is(ledger.busySlots, 1);
});

test('an attempt that the log no longer grants is killed only if its fence was known at that index', () => {
  const ledger = leased();
  ledger.onGrants([pushed(5), pushed(9)]);
  ledger.begin(NOW, AT);
  const earlier = ledger.onAnswer(answered(2, { appliedIndex: 4 }), NOW);
  assert.equal(earlier.kind === 'renewed' && earlier.kill, []);
  const at = ledger.onAnswer(answered(3, { appliedIndex: 8 }), NOW);
  assert.equal(at.kind === 'renewed' && at.kill, [fence(5)]);
  const listed = ledger.onAnswer(answered(4, { appliedIndex: 20, fences: [fence(9)] }), NOW);
  assert.equal(listed.kind === 'renewed' && listed.kill, [fence(5)], 'until it has ended it is named again');
});

test('an unbegun grant that the log closed is dropped, and begins never', () => {
  const ledger = leased({ slots: 1 });
  ledger.onGrants([pushed(5), pushed(6)]);
  ledger.begin(NOW, AT);
  ledger.onAnswer(answered(2, { appliedIndex: 6, fences: [fence(5)] }), NOW);
  ledger.ended(fence(5));
  assert.equal(ledger.begin(NOW, AT), []);
  ledger.onGrants([pushed(6)]);
  assert.equal(ledger.begin(NOW, AT), []);
});

test('an ended attempt that the log no longer grants is not killed: its report is still judged', () => {
  const ledger = leased();
  ledger.onGrants([pushed(5)]);
  ledger.begin(NOW, AT);
  ledger.ended(fence(5));
  const effect = ledger.onAnswer(answered(2, { appliedIndex: 6 }), NOW);
  assert.equal(effect.kind === 'renewed' && effect.kill, []);
});

test('an answer that is older than the last, or of another incarnation, is ignored', () => {
  const ledger = leased();
  ledger.onGrants([pushed(5)]);
  ledger.begin(NOW, AT);
  ledger.onAnswer(answered(3, { appliedIndex: 5, fences: [fence(5)] }), NOW + 3);
  for (const stale of [answered(2, { appliedIndex: 9 }), answered(3, { appliedIndex: 9 })]) {
    assert.equal(ledger.onAnswer(stale, NOW + 9_000), { kind: 'ignored' });
  }
  assert.equal(ledger.onAnswer(answered(4, { incarnation: 2 }), NOW + 9_000), { kind: 'ignored' });
  assert.is(ledger.lease?.untilMs, NOW + 15_003);
});

test('an answer that gives no lease renews none', () => {
  const ledger = leased();
  assert.equal(ledger.onAnswer(answered(2, { leaseMs: 0 }), NOW + 9_000), { kind: 'ignored' });
  assert.is(ledger.lease?.untilMs, NOW + 15_000);
});

test('an answer from a gateway that had applied less renews the lease and loses no grant', () => {
  const ledger = leased();
  ledger.onAnswer(answered(2, { appliedIndex: 20 }), NOW);
  const effect = ledger.onAnswer(answered(3, { appliedIndex: 15 }), NOW + 100);
  assert.is(effect.kind === 'renewed' && effect.lease.untilMs, NOW + 15_100);
  ledger.onGrants([pushed(21)]);
  assert.equal(fencesOf(ledger.begin(NOW, AT)), [fence(21)]);
});

test('a grant between an older and a newer applied index is taken where the newer one lists it', () => {
  const ledger = leased();
  ledger.onAnswer(answered(2, { appliedIndex: 20, fences: [fence(18)] }), NOW);
  ledger.onAnswer(answered(3, { appliedIndex: 15 }), NOW);
  ledger.onGrants([pushed(18), pushed(19)]);
  assert.equal(fencesOf(ledger.begin(NOW, AT)), [fence(18)], '19 had been closed by then');
});

test('the lease lists the fences that may thaw: those of the answer', () => {
  const ledger = leased();
  ledger.onAnswer(answered(2, { appliedIndex: 7, fences: [fence(5), fence(6)] }), NOW);
  assert.equal(ledger.lease, { untilMs: NOW + 15_000, leaseMs: 15_000, fences: [fence(5), fence(6)] });
});

test('grants that an answer carries are taken in like pushed ones', () => {
  const ledger = leased();
  ledger.onAnswer(answered(2, { appliedIndex: 7, fences: [fence(7)], grants: [pushed(7)] }), NOW);
  assert.equal(fencesOf(ledger.begin(NOW, AT)), [fence(7)]);
});

test('a grant that was cancelled before it came never begins, and is answered with an end', () => {
  const ledger = leased();
  assert.is(ledger.cancel(fence(5)), 'unknown');
  assert.equal(fencesOf(ledger.onGrants([pushed(5)])), [fence(5)]);
  assert.equal(ledger.begin(NOW, AT), []);
  const effect = ledger.onAnswer(answered(2, { appliedIndex: 5, fences: [fence(5)], grants: [pushed(5)] }), NOW);
  assert.equal(effect.kind === 'renewed' && fencesOf(effect.disown), [fence(5)]);
  ledger.settled(fence(5));
  assert.equal(ledger.onGrants([pushed(5)]), [], 'once it is settled it is answered no more');
  assert.equal(ledger.begin(NOW, AT), []);
});

test('a cancel ends an unbegun grant at once and leaves a begun one to be stopped', () => {
  const ledger = leased({ slots: 1 });
  ledger.onGrants([pushed(5), pushed(6)]);
  ledger.begin(NOW, AT);
  assert.is(ledger.cancel(fence(5)), 'begun');
  assert.is(ledger.busySlots, 1, 'it takes its slot until its tree is gone');
  assert.is(ledger.cancel(fence(6)), 'unbegun');
  ledger.ended(fence(5));
  assert.equal(ledger.begin(NOW, AT), []);
});

test('what was never begun is not among the begun when it is given back, so nobody is blamed for it', () => {
  const ledger = leased({ slots: 1 });
  ledger.onGrants([pushed(5), pushed(6), pushed(7)]);
  ledger.begin(NOW, AT);
  ledger.cancel(fence(6));
  ledger.giveBack([fence(7)]);
  assert.equal(ledger.begun(), begunAt(AT, [fence(5)]));
  assert.equal(ledger.unbegun(), []);
});

test('only unbegun grants are given back', () => {
  const ledger = leased({ slots: 1 });
  ledger.onGrants([pushed(5), pushed(6)]);
  ledger.begin(NOW, AT);
  assert.equal(fencesOf(ledger.giveBack([fence(5), fence(6), fence(9)])), [fence(6)]);
  assert.equal(ledger.giveBack([fence(6)]), [], 'once');
  ledger.ended(fence(5));
  assert.equal(ledger.begin(NOW, AT), []);
});

test('the begun are those whose result is not settled yet', () => {
  const ledger = leased();
  ledger.onGrants([pushed(5), pushed(6), pushed(7)]);
  ledger.begin(NOW, AT);
  ledger.ended(fence(5));
  assert.equal(ledger.begun(), begunAt(AT, [fence(5), fence(6)]));
  ledger.settled(fence(5));
  assert.equal(ledger.begun(), begunAt(AT, [fence(6)]));
});

test('a death of this incarnation or a later one ends the lease for good', () => {
  const ledger = leased();
  ledger.onGrants([pushed(5)]);
  assert.equal(ledger.onAnswer(answered(2, { dead: 1, leaseMs: 0 }), NOW), { kind: 'dead', incarnation: 1 });
  assert.equal(ledger.begin(NOW, AT), []);
  assert.equal(ledger.onAnswer(answered(3), NOW), { kind: 'ignored' }, 'an answer from before the death');
  assert.equal(ledger.begin(NOW, AT), []);
  assert.is(ledger.onAnswer(answered(4, { dead: 3, leaseMs: 0 }), NOW).kind, 'dead', 'it is told again');
});

test('the death of an earlier incarnation is not this one’s', () => {
  const ledger = new Ledger({ incarnation: 2, epochId: EPOCH, slots: 1 });
  assert.is(ledger.onAnswer(answered(1, { incarnation: 2, dead: 1, leaseMs: 0 }), NOW).kind, 'ignored');
});

test('adopted attempts take their slots, count as begun and are killed like any other', () => {
  const ledger = new Ledger({ incarnation: 2, epochId: EPOCH, slots: 2 });
  ledger.adopt(pushed(5, { incarnation: 2, needs: { cpu: 2 } }), AT);
  ledger.adopt(pushed(6, { incarnation: 2 }), AT);
  ledger.ended(fence(6));
  assert.is(ledger.busySlots, 2);
  assert.equal(ledger.begun(), begunAt(AT, [fence(5), fence(6)]));
  ledger.onGrants([pushed(5, { incarnation: 2 }), pushed(9, { incarnation: 2 })]);
  const effect = ledger.onAnswer(answered(1, { incarnation: 2, appliedIndex: 8 }), NOW);
  assert.equal(effect.kind === 'renewed' && effect.kill, [fence(5)]);
  assert.equal(ledger.begin(NOW, AT), [], 'a fence that lives on does not begin again, and its slots are taken');
  ledger.ended(fence(5));
  assert.equal(fencesOf(ledger.begin(NOW, AT)), [fence(9)]);
});

test.run();
