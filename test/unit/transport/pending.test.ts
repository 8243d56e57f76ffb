import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PendingCalls } from '../../../node/transport/pending.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import type { PeerId } from '../../../protocol/ids.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const code = (promise: Promise<unknown>) =>
  promise.then(
    () => 'none',
    (error: unknown) => (error instanceof SkeinError ? error.code : String(error)),
  );

test('each call is settled once: a late answer, a doubled one and one to nobody change nothing', async () => {
  const clock = new ManualClock();
  const calls = new PendingCalls('p' as PeerId, clock);
  const { id, answer } = calls.start('work', 'x', { timeoutMs: 100 });
  const outcome = code(answer);
  await clock.advance(200);
  calls.resolve(id, new Uint8Array());
  calls.reject(id, new Error('late'));
  calls.resolve(12_345, new Uint8Array());
  assert.is(await outcome, 'no-answer');
});

test('a deadline is never early and at most a tick late', async () => {
  const clock = new ManualClock();
  const calls = new PendingCalls('p' as PeerId, clock);
  let at = 0;
  const { answer } = calls.start('work', 'x', { timeoutMs: 100 });
  answer.catch(() => {
    at = clock.monotonic() - 1000;
  });
  await clock.advance(99);
  assert.is(at, 0);
  await clock.advance(21);
  assert.ok(at >= 100 && at <= 120, `${at} ms`);
});

test('a channel that closes fails its own calls and no others', async () => {
  const clock = new ManualClock();
  const calls = new PendingCalls('p' as PeerId, clock);
  const work = code(calls.start('work', 'x', { timeoutMs: 1e6 }).answer);
  const blob = calls.start('blob', 'x', { timeoutMs: 1e6 });
  calls.rejectAll(new SkeinError('unreachable', 'gone'), 'work');
  assert.is(await work, 'unreachable');
  calls.resolve(blob.id, Uint8Array.of(1));
  assert.equal(await blob.answer, Uint8Array.of(1));
});

test('a signal that has fired already starts nothing', () => {
  const calls = new PendingCalls('p' as PeerId, new ManualClock());
  const options = { timeoutMs: 100, signal: AbortSignal.abort(new Error('no')) };
  assert.throws(() => calls.start('work', 'x', options), 'no');
});

test.run();
