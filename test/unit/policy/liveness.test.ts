import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { livenessOf, shouldReconnect } from '../../../node/policy/liveness.ts';

test('a peer is suspect after three missed heartbeats, whatever the interval', () => {
  for (const intervalMs of [1000, 30_000]) {
    assert.is(livenessOf(3 * intervalMs, intervalMs), 'alive');
    assert.is(livenessOf(3 * intervalMs + 1, intervalMs), 'suspect');
  }
});

test('a silent connection is given up after three intervals, one that never spoke after ten', () => {
  const silence = { silentMs: 3001, everHeard: true, tries: 0, sinceLastTryMs: 3001 };
  assert.ok(shouldReconnect(silence, 1000));
  assert.not(shouldReconnect({ ...silence, silentMs: 3000 }, 1000));
  assert.not(shouldReconnect({ ...silence, everHeard: false }, 1000));
  assert.ok(shouldReconnect({ ...silence, everHeard: false, silentMs: 10_001 }, 1000));
});

test('each try waits twice as long as the last, up to a minute', () => {
  const silence = { silentMs: 1e9, everHeard: true };
  const waits = [1, 2, 3, 4, 5, 30].map((tries) => {
    let waitMs = 0;
    while (!shouldReconnect({ ...silence, tries, sinceLastTryMs: waitMs }, 1000)) waitMs += 1000;
    return waitMs;
  });
  assert.equal(waits, [6000, 12_000, 24_000, 48_000, 60_000, 60_000]);
});

test.run();
