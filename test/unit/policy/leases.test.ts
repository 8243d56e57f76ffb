// The leader's memory of who holds a lease: what renews one, what ends one, and what the leader may not conclude.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Lease, Leases } from '../../../node/policy/leases.ts';
import type { Fence } from '../../../protocol/ids.ts';
import { ANN, BOB } from '../../support/state.ts';

const LEASE = 15_000;
const begun = new Map([
  ['f1' as Fence, 1],
  ['f2' as Fence, 2],
]);

function armed(): Leases {
  const leases = new Leases();
  leases.rearm([{ peerId: ANN, incarnation: 1 }], 0);
  return leases;
}

const said = (incarnation: number, begun: Lease['begun'] = new Map()) => ({ incarnation, begun, restarting: false });

/** Passes often enough that the leader does not take itself for stopped. */
function judgeUntil(leases: Leases, fromMs: number, toMs: number): string[] {
  const found = new Set<string>();
  for (let now = fromMs; now <= toMs; now += 1_000) {
    for (const { peerId } of leases.expired(LEASE, now) ?? []) found.add(peerId);
  }
  return [...found];
}

test('a lease holds in full after an election, and expires a moment after its end', () => {
  assert.equal(judgeUntil(armed(), 1_000, LEASE), []);
  assert.equal(judgeUntil(armed(), 1_000, LEASE + 1_000), [ANN]);
});

test('a heartbeat renews the lease from when it was heard', () => {
  const leases = armed();
  assert.ok(leases.heard(ANN, said(1, begun), 10_000));
  assert.is(leases.leftMs(ANN, LEASE, 12_000), 13_000);
  assert.is(leases.leftMs(ANN, LEASE, 99_000), 0);
  assert.is(leases.leftMs(BOB, LEASE, 0), null);
  assert.equal(judgeUntil(leases, 1_000, 25_000), []);
});

test('a heartbeat of an earlier incarnation renews nothing', () => {
  const leases = armed();
  leases.heard(ANN, said(2), 5_000);
  assert.not.ok(leases.heard(ANN, said(1, begun), 9_000));
  assert.equal(leases.get(ANN), {
    incarnation: 2,
    heardAtMs: 5_000,
    begun: new Map(),
    restarting: false,
    condemned: false,
  });
});

test('from proposing its death on, an incarnation is heard and judged no more, the next one is', () => {
  const leases = armed();
  leases.condemn(ANN);
  assert.not.ok(leases.heard(ANN, said(1), 5_000));
  assert.equal(judgeUntil(leases, 1_000, 40_000), []);
  assert.ok(leases.heard(ANN, said(2), 41_000));
  assert.is(leases.get(ANN)?.condemned, false);
});

test('a leader that was stopped judges nobody until it has armed every lease anew', () => {
  const leases = armed();
  assert.is(leases.expired(LEASE, LEASE / 4 + 1), undefined);
  const later = armed();
  assert.is(later.expired(LEASE, 60_000), undefined);
  later.resume(60_000);
  assert.equal(judgeUntil(later, 61_000, 75_000), []);
  assert.equal(judgeUntil(later, 76_000, 76_000), [ANN]);
});

test('a leader that was stopped stands by the deaths that it proposed before: they may still commit', () => {
  const leases = armed();
  leases.condemn(ANN);
  leases.resume(60_000);
  assert.is(leases.get(ANN)?.condemned, true);
  assert.not.ok(leases.heard(ANN, said(1), 61_000));
});

test('a worker that said that it starts again is waited for beyond its lease, and not for ever', () => {
  const leases = armed();
  leases.heard(ANN, { ...said(1, begun), restarting: true }, 5_000);
  assert.equal(judgeUntil(leases, 6_000, 100_000), []);
  assert.equal(judgeUntil(leases, 101_000, 141_000), [ANN]);
  leases.heard(ANN, said(2), 142_000);
  assert.equal(judgeUntil(leases, 142_000, 158_000), [ANN], 'back again it has a lease as any other');
});

test('an election frees the condemned: only what the log says counts now', () => {
  const leases = armed();
  leases.condemn(ANN);
  leases.rearm([{ peerId: ANN, incarnation: 1 }], 60_000);
  assert.ok(leases.heard(ANN, said(1), 61_000));
});

test('an election keeps what an incarnation was heard to have begun, and nothing of another’s', () => {
  const leases = armed();
  leases.heard(ANN, said(1, begun), 1_000);
  leases.rearm([{ peerId: ANN, incarnation: 1 }], 2_000);
  assert.equal(leases.get(ANN)?.begun, begun);
  leases.rearm([{ peerId: ANN, incarnation: 2 }], 3_000);
  assert.is(leases.get(ANN)?.begun, null);
});

test('an election forgets whoever is not among the living', () => {
  const leases = armed();
  leases.rearm([{ peerId: BOB, incarnation: 1 }], 1_000);
  assert.is(leases.get(ANN), undefined);
  leases.forget(BOB);
  assert.is(leases.get(BOB), undefined);
  leases.condemn(BOB);
  assert.is(leases.get(BOB), undefined);
});

test.run();
