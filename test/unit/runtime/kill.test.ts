// How long a kill is waited for.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { killUntilGone } from '../../../node/runtime/kill.ts';
import { ManualClock } from '../../support/manual-clock.ts';

test('what was killed is waited for until it is gone', async () => {
  const clock = new ManualClock();
  const looks = [[7, 8], [8], []];
  const gone = killUntilGone(clock, () => looks.shift() ?? []);
  await clock.advance(100);
  assert.equal(await gone, []);
  assert.equal(looks, []);
});

test('what hangs in the kernel is not waited for beyond a limit, and is named', async () => {
  const clock = new ManualClock();
  let left: readonly number[] | undefined;
  void killUntilGone(clock, () => [7]).then((pids) => {
    left = pids;
  });
  await clock.advance(9_000);
  assert.is(left, undefined);
  await clock.advance(2_000);
  assert.equal(left, [7]);
});

test.run();
