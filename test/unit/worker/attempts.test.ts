// An attempt from its grant to its report, and what a stop does in each of its phases.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { silentLog } from '../../../node/log.ts';
import type { AttemptEnded, AttemptSpec, RunningAttempt } from '../../../node/runtime/port.ts';
import { type AttemptReport, Attempts } from '../../../node/worker/attempts.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import { finishedCodec } from '../../../protocol/wire/work.ts';
import { pushed } from '../../support/grants.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { resultOf, specOf } from '../../support/state.ts';

const grant = pushed(5);
const { fence } = grant;
const exited: AttemptEnded = {
  exit: { code: 0, signal: null },
  reason: 'exited',
  detail: null,
  startedAt: 10,
  endedAt: 20,
};

class Running implements RunningAttempt {
  readonly fence = fence;
  readonly folder = '/attempt';
  readonly startedAt = exited.startedAt;
  readonly frozen = false;
  readonly kills: number[] = [];
  readonly #ended = Promise.withResolvers<AttemptEnded>();
  readonly ended = this.#ended.promise;

  kill(graceMs: number): void {
    this.kills.push(graceMs);
    this.end({ ...exited, exit: { code: null, signal: 'SIGKILL' }, reason: 'killed' });
  }

  end(ended: AttemptEnded): void {
    this.#ended.resolve(ended);
  }
}

const spec: AttemptSpec = {
  fence,
  argv: ['true'],
  folder: '/attempt',
  workFolder: '/attempt/work',
  stdinFile: null,
  stdoutFile: '/attempt/out',
  stderrFile: '/attempt/err',
  env: {},
  timeoutMs: null,
};

function setUp() {
  const clock = new ManualClock();
  const running = new Running();
  const fake = {
    stagings: 0,
    discarded: [] as string[],
    async stage(_signal: AbortSignal): Promise<AttemptSpec> {
      this.stagings++;
      return spec;
    },
    begin: (): void => undefined,
    start: async (): Promise<RunningAttempt> => running,
    collect: async () => resultOf(0),
  };
  const attempts = new Attempts({
    clock,
    out: silentLog,
    runtime: {
      containment: 'process-group',
      recover: async () => [],
      startAhead: async () => {},
      stop: async () => {},
      extend: () => {},
      start: () => fake.start(),
    },
    workshop: {
      stage: (_grant, signal) => fake.stage(signal),
      begin: async () => fake.begin(),
      collect: () => fake.collect(),
      publish: async () => {},
      discard: async (each) => void fake.discarded.push(each),
    },
  });
  return { clock, running, fake, attempts };
}

const noticed = (): void => undefined;

const failing = (code: 'not-found' | 'unreachable' | 'disk-full' | 'runtime-failed' | 'forbidden') => async () => {
  throw new SkeinError(code, `failed with ${code}`);
};

function reasonOf(report: AttemptReport): string {
  return report.kind === 'ended' ? `ended: ${report.reason}` : report.result.reason;
}

test('an attempt that ran to its end is reported with its result', async () => {
  const { running, attempts } = setUp();
  const run = attempts.run(grant, noticed);
  running.end(exited);
  assert.equal(await run, { kind: 'finished', result: resultOf(0) });
  assert.equal(attempts.alive(), []);
});

test('an attempt of the runtime noop ends at once, with exit code 0', async () => {
  const { attempts } = setUp();
  const report = await attempts.run({ ...grant, spec: specOf({ runtime: 'noop' }) }, noticed);
  assert.is(report.kind === 'finished' && report.result.exit.code, 0);
});

test('a reason that is too long for a report is cut', async () => {
  const { fake, attempts } = setUp();
  fake.stage = async () => {
    throw new SkeinError('not-found', 'y'.repeat(10_000));
  };
  const report = await attempts.run(grant, noticed);
  assert.is(report.kind, 'finished');
  if (report.kind !== 'finished') return;
  const { jobId, task, incarnation } = grant;
  const [told] = finishedCodec.decode(
    finishedCodec.encode([{ fence, jobId, task, incarnation, result: report.result }]),
  );
  assert.match(told?.result.detail ?? '', /^y{1000}/);
});

test('an input that is nowhere fails the attempt, and says so', async () => {
  const { fake, attempts } = setUp();
  fake.stage = failing('not-found');
  const report = await attempts.run(grant, noticed);
  assert.is(reasonOf(report), 'input-lost');
  assert.is(report.kind === 'finished' && report.result.detail, 'failed with not-found');
});

test('another failure that no repetition mends is the runtime’s', async () => {
  const { fake, attempts } = setUp();
  fake.stage = failing('forbidden');
  assert.is(reasonOf(await attempts.run(grant, noticed)), 'runtime-failed');
});

test('what has no process yet can be told apart, and goes back as unbegun', async () => {
  const { fake, running, attempts } = setUp();
  const staged = Promise.withResolvers<AttemptSpec>();
  fake.stage = () => staged.promise;
  const run = attempts.run(grant, noticed);
  assert.equal(attempts.starting(), [fence]);
  attempts.stop(fence, 'unbegun', 0);
  staged.resolve(spec);
  assert.is(reasonOf(await run), 'ended: unbegun');
  assert.equal(fake.discarded, [fence], 'a next life must not find it');
  assert.equal(running.kills, []);
  fake.stage = async () => spec;
  const next = attempts.run(grant, noticed);
  for (let turn = 0; turn < 10 && attempts.starting().length > 0; turn++) await Promise.resolve();
  assert.equal(attempts.starting(), []);
  running.end(exited);
  await next;
});

test('gateways that are away cost time, not the attempt', async () => {
  const { clock, running, fake, attempts } = setUp();
  fake.stage = failing('unreachable');
  const run = attempts.run(grant, noticed);
  await clock.advance(60_000);
  assert.equal(attempts.alive(), [fence]);
  fake.stage = async () => spec;
  running.end(exited);
  await clock.advance(2_000);
  assert.is(reasonOf(await run), 'exited');
});

test('an attempt that no runner could take is handed back, not blamed on the script', async () => {
  const { fake, attempts } = setUp();
  fake.start = failing('runtime-failed');
  assert.is(reasonOf(await attempts.run(grant, noticed)), 'ended: runner-died');
});

test('a stop while inputs are fetched ends the attempt before it starts', async () => {
  const { clock, fake, attempts } = setUp();
  fake.stage = failing('unreachable');
  let started = false;
  fake.start = async () => {
    started = true;
    return new Running();
  };
  const run = attempts.run(grant, noticed);
  await clock.advance(500);
  attempts.stop(fence, 'cancelled', 0);
  assert.is(reasonOf(await run), 'ended: cancelled');
  assert.is(started, false);
});

test('a stop aborts the fetch itself', async () => {
  const { fake, attempts } = setUp();
  fake.stage = (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  const run = attempts.run(grant, noticed);
  attempts.stop(fence, 'drained', 0);
  assert.is(reasonOf(await run), 'ended: drained');
});

test('a stop while the attempt is being started kills it as soon as it runs', async () => {
  const { clock, running, fake, attempts } = setUp();
  const started = Promise.withResolvers<RunningAttempt>();
  fake.start = () => started.promise;
  const run = attempts.run(grant, noticed);
  await clock.advance(1);
  attempts.stop(fence, 'cancelled', 5_000);
  started.resolve(running);
  assert.is((await run).kind, 'finished');
  assert.equal(running.kills, [0]);
});

test('a stop of a running attempt gives it its grace, and the first reason counts', async () => {
  const { clock, running, attempts } = setUp();
  const run = attempts.run(grant, noticed);
  await clock.advance(1);
  attempts.stop(fence, 'cancelled', 5_000);
  attempts.stop(fence, 'worker-dead', 0);
  // What it said until then is kept.
  assert.is((await run).kind, 'finished');
  assert.equal(running.kills, [5_000, 0]);
});

test('an attempt that had ended before it was stopped is reported as it ended', async () => {
  const { clock, running, fake, attempts } = setUp();
  const collected = Promise.withResolvers<ReturnType<typeof resultOf>>();
  fake.collect = () => collected.promise;
  const run = attempts.run(grant, noticed);
  await clock.advance(1);
  running.end(exited);
  await clock.advance(1);
  attempts.stop(fence, 'cancelled', 0);
  collected.resolve(resultOf(7));
  assert.equal(await run, { kind: 'finished', result: resultOf(7) });
});

test('a stop of what does not run here does nothing', () => {
  setUp().attempts.stop(fence, 'cancelled', 0);
});

test('an attempt that its runner killed by itself is handed back as a lapsed lease', async () => {
  const { running, attempts } = setUp();
  const run = attempts.run(grant, noticed);
  running.end({ ...exited, reason: 'killed' });
  assert.is(reasonOf(await run), 'ended: lease-lapsed');
});

test('an attempt whose runner died has no result, unless it was being stopped anyway', async () => {
  const died = setUp();
  const run = died.attempts.run(grant, noticed);
  died.running.end({ ...exited, reason: 'runner-died' });
  assert.is(reasonOf(await run), 'ended: runner-died');
});

test('outputs that cannot be read for now are gathered later', async () => {
  const { clock, running, fake, attempts } = setUp();
  fake.collect = failing('disk-full');
  const run = attempts.run(grant, noticed);
  running.end(exited);
  await clock.advance(5_000);
  assert.equal(attempts.alive(), [fence]);
  fake.collect = async () => resultOf(0);
  await clock.advance(2_000);
  assert.is(reasonOf(await run), 'exited');
});

test('outputs that can never be read fail the attempt', async () => {
  const { running, fake, attempts } = setUp();
  fake.collect = failing('forbidden');
  const run = attempts.run(grant, noticed);
  running.end(exited);
  const report = await run;
  assert.is(reasonOf(report), 'runtime-failed');
  assert.equal(report.kind === 'finished' && [report.result.startedAt, report.result.endedAt], [10, 20]);
});

test('an attempt of the life before goes on, and is stopped like any other', async () => {
  const ran = setUp();
  const resumed = ran.attempts.resume(grant, ran.running, noticed);
  assert.equal(ran.attempts.alive(), [fence]);
  ran.running.end(exited);
  assert.is(reasonOf(await resumed), 'exited');
  const stopped = setUp();
  const run = stopped.attempts.resume(grant, stopped.running, noticed);
  stopped.attempts.stop(fence, 'worker-dead', 0);
  assert.is(reasonOf(await run), 'ended: worker-dead');
});

test('the slot is free once the tree is gone, before its outputs are gathered', async () => {
  const { running, fake, attempts } = setUp();
  const collecting = Promise.withResolvers<ReturnType<typeof resultOf>>();
  fake.collect = () => collecting.promise;
  const gone = Promise.withResolvers<void>();
  const run = attempts.run(grant, gone.resolve);
  running.end(exited);
  await gone.promise;
  assert.equal(attempts.alive(), [fence], 'it is not reported yet');
  collecting.resolve(resultOf(0));
  assert.is((await run).kind, 'finished');
});

test('the files of a grant that is next are put together once, ahead', async () => {
  const { running, fake, attempts } = setUp();
  attempts.stageAhead([grant]);
  attempts.stageAhead([grant]);
  assert.equal(attempts.alive(), [], 'nothing of it runs');
  const run = attempts.run(grant, noticed);
  running.end(exited);
  assert.is((await run).kind, 'finished');
  assert.is(fake.stagings, 1);
});

test('a grant that goes back takes the files made ahead along', async () => {
  const { fake, attempts } = setUp();
  const making = Promise.withResolvers<AttemptSpec>();
  fake.stage = () => making.promise;
  attempts.stageAhead([grant]);
  attempts.stageAhead([]);
  assert.equal(fake.discarded, []);
  making.resolve(spec);
  await making.promise;
  await Promise.resolve();
  assert.equal(fake.discarded, [fence]);
});

test.run();
