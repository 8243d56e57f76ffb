// Reports are sent until each is committed or refused, and none holds up another.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { silentLog } from '../../../node/log.ts';
import { Gateways } from '../../../node/worker/gateways.ts';
import { Reporter } from '../../../node/worker/reporter.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import type { PeerId } from '../../../protocol/ids.ts';
import {
  type Ended,
  endedCodec,
  type Finished,
  finishedCodec,
  type Settled,
  settledCodec,
  workMethods,
} from '../../../protocol/wire/work.ts';
import { pushed } from '../../support/grants.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { ANN, BOB, resultOf } from '../../support/state.ts';

type Judge = (task: number, kind: 'finished' | 'ended') => Settled;
const committed: Judge = (task) => ({ kind: 'committed', index: task });
const unsettled: Settled = { kind: 'unsettled', code: 'no-leader', sentence: 'later' };

/** A gateway that judges reports by their task. */
function setUp(judge: Judge = committed) {
  const clock = new ManualClock();
  const calls: { readonly kind: string; readonly tasks: number[] }[] = [];
  const fake = {
    judge,
    /** Throws where the whole call is to fail. */
    receive: (_tasks: readonly number[]): void => {},
  };
  const transport = {
    self: BOB,
    handle() {},
    keep(): void {},
    release(): void {},
    async call(_peer: PeerId, _channel: string, method: string, body: Uint8Array): Promise<Uint8Array> {
      const kind = method === workMethods.finished ? 'finished' : 'ended';
      const items = kind === 'finished' ? finishedCodec.decode(body) : endedCodec.decode(body);
      const tasks = items.map(({ task }) => task);
      calls.push({ kind, tasks });
      fake.receive(tasks);
      return settledCodec.encode(tasks.map((task) => fake.judge(task, kind)));
    },
  };
  const gateways = new Gateways(transport);
  gateways.update([{ peerId: ANN, addresses: [] }]);
  return { clock, calls, fake, reporter: new Reporter({ gateways, clock, log: silentLog }) };
}

function finishedOf(task: number): Finished {
  const { fence, jobId, incarnation } = pushed(task);
  return { fence, jobId, task, incarnation, result: resultOf() };
}

function endedOf(task: number): Ended {
  const { fence, jobId, incarnation } = pushed(task);
  return { fence, jobId, task, incarnation, startedAt: null, reason: 'unbegun' };
}

/** What a promise has come to by now. */
function watch(promise: Promise<Settled>): { now: Settled | undefined } {
  const seen: { now: Settled | undefined } = { now: undefined };
  void promise.then((settled) => {
    seen.now = settled;
  });
  return seen;
}

test('reports of one turn go out together, finishes and ends apart', async () => {
  const { calls, reporter } = setUp();
  const settled = await Promise.all([
    reporter.finished(finishedOf(1)),
    reporter.finished(finishedOf(2)),
    reporter.ended(endedOf(3)),
    reporter.finished(finishedOf(4)),
  ]);
  assert.equal(calls, [
    { kind: 'finished', tasks: [1, 2, 4] },
    { kind: 'ended', tasks: [3] },
  ]);
  assert.equal(
    settled.map((each) => each.kind === 'committed' && each.index),
    [1, 2, 3, 4],
    'each gets its own answer',
  );
});

test('a batch is bounded', async () => {
  const { calls, reporter } = setUp();
  await Promise.all(Array.from({ length: 300 }, (_, at) => reporter.ended(endedOf(at + 1))));
  assert.equal(
    calls.map(({ tasks }) => tasks.length),
    [256, 44],
  );
});

test('a refusal settles a report like a commit does', async () => {
  const refused: Settled = { kind: 'refused', code: 'stale-fence', sentence: 'not open any more' };
  const { reporter } = setUp(() => refused);
  assert.equal(await reporter.finished(finishedOf(1)), refused);
});

test('what is not settled is sent again until it is', async () => {
  const { clock, calls, fake, reporter } = setUp(() => unsettled);
  const report = watch(reporter.finished(finishedOf(1)));
  await clock.advance(1_600);
  assert.is(report.now, undefined);
  assert.ok(calls.length >= 3);
  fake.judge = committed;
  await clock.advance(600);
  assert.equal(report.now, { kind: 'committed', index: 1 });
});

test('what could not be sent is sent again', async () => {
  const { clock, fake, reporter } = setUp();
  fake.receive = () => {
    throw new SkeinError('unreachable', 'nobody there');
  };
  const report = watch(reporter.ended(endedOf(1)));
  await clock.advance(5_000);
  assert.is(report.now, undefined);
  fake.receive = () => {};
  await clock.advance(600);
  assert.is(report.now?.kind, 'committed');
});

test('an error that nobody foresaw does not end the loop', async () => {
  const { clock, fake, reporter } = setUp();
  fake.receive = () => {
    throw new TypeError('a bug');
  };
  const report = watch(reporter.ended(endedOf(1)));
  await clock.advance(600);
  fake.receive = () => {};
  await clock.advance(600);
  assert.is(report.now?.kind, 'committed');
});

test('a finish that cannot be judged yet holds up neither other finishes nor ends', async () => {
  const { clock, reporter } = setUp((task, kind) => (task === 1 ? unsettled : committed(task, kind)));
  const stuck = watch(reporter.finished(finishedOf(1)));
  const others = [watch(reporter.finished(finishedOf(2))), watch(reporter.ended(endedOf(3)))];
  await clock.advance(2_000);
  assert.equal(
    others.map(({ now }) => now?.kind),
    ['committed', 'committed'],
  );
  const later = watch(reporter.ended(endedOf(4)));
  await clock.advance(2_000);
  assert.is(later.now?.kind, 'committed');
  assert.is(stuck.now, undefined);
});

for (const code of ['too-large', 'invalid-request'] as const) {
  test(`a batch that is refused as ${code} is halved until only the culprit is left`, async () => {
    const { clock, calls, fake, reporter } = setUp();
    fake.receive = (tasks) => {
      if (tasks.includes(3)) throw new SkeinError(code, 'not like this');
    };
    const reports = [1, 2, 3, 4, 5].map((task) => watch(reporter.finished(finishedOf(task))));
    await clock.advance(100);
    assert.equal(
      reports.map(({ now }) => now?.kind),
      ['committed', 'committed', undefined, 'committed', 'committed'],
    );
    assert.equal(calls.at(0)?.tasks, [1, 2, 3, 4, 5]);
  });
}

test('drained waits until all is settled, and says so', async () => {
  const { clock, reporter } = setUp();
  assert.is(await reporter.drained(1_000), true, 'nothing to wait for');
  void reporter.ended(endedOf(1));
  const drained = reporter.drained(1_000);
  await clock.advance(10);
  assert.is(await drained, true);
});

test('drained gives up at its deadline', async () => {
  const { clock, reporter } = setUp(() => unsettled);
  void reporter.ended(endedOf(1));
  const drained = reporter.drained(1_000);
  await clock.advance(1_100);
  assert.is(await drained, false);
});

test('a reporter that was stopped sends nothing more', async () => {
  const { clock, calls, reporter } = setUp(() => unsettled);
  void reporter.ended(endedOf(1));
  await clock.advance(100);
  reporter.stop();
  const sent = calls.length;
  void reporter.ended(endedOf(2));
  await clock.advance(5_000);
  assert.is(calls.length, sent);
});

test.run();
