// Majorities, and how a log in runs of terms answers.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { majorityReached, tally } from '../../../protocol/raft/quorum.ts';

test('a majority has reached the middle value, the lower one of two', () => {
  assert.is(majorityReached([7]), 7);
  assert.is(majorityReached([7, 3]), 3);
  assert.is(majorityReached([9, 1, 5]), 5);
  assert.is(majorityReached([9, 8, 2, 1]), 2);
  assert.is(majorityReached([1, 2, 3, 4, 5]), 3);
});

test('an election is won by a majority and lost when none can be reached any more', () => {
  const votes = (...pairs: [number, boolean][]) => tally([1, 2, 3], new Map(pairs));
  assert.is(votes(), 'open');
  assert.is(votes([1, true]), 'open');
  assert.is(votes([1, true], [2, false]), 'open');
  assert.is(votes([1, true], [3, true]), 'won');
  assert.is(votes([1, false], [3, false]), 'lost');
});

test('only voters of the configuration are counted', () => {
  assert.is(
    tally(
      [1, 2, 3],
      new Map([
        [1, true],
        [8, true],
        [9, true],
      ]),
    ),
    'open',
  );
});

test.run();
