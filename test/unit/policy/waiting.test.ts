// Why a job waits: every waiting job has a sentence.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Question, unmetSentence, verdictOf } from '../../../node/policy/waiting.ts';
import { ANN, BOB } from '../../support/state.ts';

const worker = {
  name: 'ann',
  peerId: ANN,
  incarnation: 1,
  slots: 2,
  prefetch: 0,
  used: 2,
  memTotalBytes: 8e9,
  diskFreeBytes: 100e9,
  wants: [],
};
const counts = { queued: 3, running: 2, completed: 0, failed: 0, cancelled: 0 };
const ask = (question: Partial<Question> = {}) =>
  verdictOf({ needs: undefined, counts, led: true, ahead: 0, maxParallel: undefined, offers: [worker], ...question });

test('a job whose tasks are all granted and none begun is not said to run', () => {
  assert.equal(ask({ counts: { ...counts, queued: 0 }, led: false }), {
    verdict: 'running',
    sentence: '2 tasks are granted, and no worker has begun one yet',
  });
  const { sentence } = ask({ counts: { ...counts, queued: 0, running: 1 } });
  assert.is(sentence, 'one task is granted, and no worker has begun it yet');
});

test('without a leader nothing is given out, whatever room there is', () => {
  assert.is(ask({ led: false, offers: [] }).verdict, 'no-leader');
});

test('without a worker the sentence says how to add one', () => {
  const { verdict, sentence } = ask({ offers: [] });
  assert.is(verdict, 'no-room');
  assert.match(sentence, 'skein join');
});

test('needs that no worker meets name the nearest one and what it lacks', () => {
  const larger = { ...worker, name: 'bob', peerId: BOB, memTotalBytes: 16e9 };
  const { verdict, sentence } = ask({ needs: { cpu: 4, memBytes: 12e9 }, offers: [worker, larger] });
  assert.is(verdict, 'no-peer-fits');
  assert.match(sentence, 'nearest is bob: cpu 4 wanted, 2 there)');
});

test('memory and disk are told in GB', () => {
  const sentence = unmetSentence({ memBytes: 12e9, diskBytes: 2e12 }, [worker]) ?? '';
  assert.match(sentence, 'memory 12.0 GB wanted, 8.0 GB there, disk 2000.0 GB wanted, 100.0 GB there');
});

test('needs that one worker could meet are not unmet, even while it is busy', () => {
  assert.is(unmetSentence({ cpu: 2 }, [worker]), undefined);
  assert.is(unmetSentence({ cpu: 99 }, []), undefined);
  assert.is(unmetSentence(undefined, [worker]), undefined);
});

test('a job at its own limit says so', () => {
  const { verdict, sentence } = ask({ maxParallel: 2 });
  assert.is(verdict, 'running');
  assert.match(sentence, '--max-parallel');
  assert.is(ask({ maxParallel: 3 }).verdict, 'no-room');
});

test('tasks of other jobs before it are counted, and how much is busy', () => {
  const both = [worker, { ...worker, name: 'bob', peerId: BOB }];
  assert.equal(ask({ ahead: 7, offers: both }), {
    verdict: 'behind-others',
    sentence: '7 tasks of other jobs stand before it and all 4 slots of 2 workers are busy',
  });
  assert.equal(ask(), { verdict: 'no-room', sentence: 'all 2 slots of 1 worker are busy' });
});

test.run();
