// What a lease demands of an attempt, at each moment.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkEveryMs, freezeAt, killAt, type LeasePhase, leaseVerdict } from '../../../node/runtime/lease.ts';

const LEASE = { untilMs: 115_000, leaseMs: 15_000 };
const RUNNING: LeasePhase = { kind: 'running' };

test('an attempt runs until 0.8 of the lease and freezes from there on', () => {
  assert.is(freezeAt(LEASE), 112_000);
  assert.is(leaseVerdict(LEASE, RUNNING, 111_999), 'nothing');
  assert.is(leaseVerdict(LEASE, RUNNING, 112_000), 'freeze');
});

test('a freeze that is not confirmed by 0.9 ends in a kill', () => {
  const freezing: LeasePhase = { kind: 'freezing', sinceMs: 112_000 };
  assert.is(leaseVerdict(LEASE, freezing, 113_499), 'nothing');
  assert.is(leaseVerdict(LEASE, freezing, 113_500), 'kill');
});

test('a frozen attempt may stay so long past its lease', () => {
  assert.is(leaseVerdict(LEASE, { kind: 'frozen' }, 10_000_000), 'nothing');
});

test('who slept past the lease freezes on waking, with a moment to be confirmed', () => {
  const wokeAt = 5_000_000;
  assert.is(leaseVerdict(LEASE, RUNNING, wokeAt), 'freeze');
  const freezing: LeasePhase = { kind: 'freezing', sinceMs: wokeAt };
  assert.is(killAt(LEASE, wokeAt), wokeAt + 300);
  assert.is(leaseVerdict(LEASE, freezing, wokeAt + 299), 'nothing');
  assert.is(leaseVerdict(LEASE, freezing, wokeAt + 300), 'kill');
});

test('a freeze is confirmed or killed before the lease has lapsed, whenever a look that was not late began it', () => {
  for (const leaseMs of [500, 2000, 15_000, 120_000]) {
    const lease = { untilMs: 1_000_000, leaseMs };
    const latest = freezeAt(lease) + checkEveryMs(lease);
    assert.ok(killAt(lease, latest) <= lease.untilMs, `${leaseMs}`);
    assert.ok(latest < killAt(lease, latest));
  }
});

test.run();
