import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { withoutEcho } from '../../node/signals.ts';
import { ManualClock } from '../support/manual-clock.ts';

test('a signal and its echo count once, a second one later counts again', async () => {
  const clock = new ManualClock();
  let counted = 0;
  const onSignal = withoutEcho(clock, () => {
    counted++;
  });
  onSignal();
  await clock.advance(199);
  onSignal();
  assert.is(counted, 1);
  await clock.advance(1);
  onSignal();
  assert.is(counted, 2);
});

test.run();
