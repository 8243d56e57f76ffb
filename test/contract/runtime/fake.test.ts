// The fake runtime under a virtual clock.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FakeMachine, FakeRuntime } from '../../../node/runtime/fake.ts';
import type { AttemptSpec, Runtime } from '../../../node/runtime/port.ts';
import { type EpochId, type Fence, makeFence } from '../../../protocol/ids.ts';
import { type Behaviour, type Machine, runtimeContract } from './suite.ts';
import { VirtualClock } from './virtual-clock.ts';

const EPOCH = 'e'.repeat(32) as EpochId;
const DEADLINE_MS = 60_000;

function makeFake(unstoppable = false): Machine & { readonly machine: FakeMachine; readonly written: string[] } {
  const clock = new VirtualClock();
  const machine = new FakeMachine();
  const behaviours = new Map<Fence, Behaviour>();
  const written: string[] = [];
  let index = 0;
  const model = (spec: AttemptSpec) => {
    const { runMs = 10, code = 0, termCode = null } = behaviours.get(spec.fence) ?? {};
    const onTerm = termCode === null ? null : { afterMs: 0, exit: { code: termCode, signal: null } };
    return { runMs, exit: { code, signal: null }, onTerm, unstoppable, stdout: 'hello\n', stderr: '' };
  };
  const write = (path: string, text: string): void => void written.push(`${path}: ${text}`);
  return {
    machine,
    written,
    async daemon() {
      const runtime: Runtime = new FakeRuntime({ clock, model, write }, machine);
      return { runtime, found: await runtime.recover() };
    },
    spec(behaviour) {
      index += 1;
      const fence = makeFence(EPOCH, index);
      behaviours.set(fence, { runMs: 10, code: 0, termCode: null, timeoutMs: null, ...behaviour });
      return {
        fence,
        argv: ['script'],
        folder: `/${index}`,
        workFolder: `/${index}/work`,
        stdinFile: null,
        stdoutFile: `/${index}/stdout`,
        stderrFile: `/${index}/stderr`,
        env: {},
        timeoutMs: behaviour.timeoutMs ?? null,
      };
    },
    uptime: () => clock.uptime(),
    async until(what, holds) {
      for (const deadline = clock.uptime() + DEADLINE_MS; !holds(); ) {
        if (clock.uptime() > deadline) throw new Error(`in ${DEADLINE_MS} ms of virtual time never: ${what}`);
        await clock.tick();
      }
    },
    close: async () => machine.powerOff(),
  };
}

runtimeContract('fake', async () => makeFake());

test('fake: what cannot be frozen is killed at 0.9 of the lease', async () => {
  const fake = makeFake(true);
  const { runtime } = await fake.daemon();
  const begun = fake.uptime();
  runtime.extend({ untilMs: begun + 1000, leaseMs: 1000, fences: [] });
  const attempt = await runtime.start(fake.spec({ runMs: 60_000 }));
  let ended = false;
  void attempt.ended.then(() => {
    ended = true;
  });
  await fake.until('it ends', () => ended);
  assert.is(fake.uptime() - begun, 900);
  assert.is((await attempt.ended).reason, 'killed');
});

test('fake: a killed runner and a power cut', async () => {
  const fake = makeFake();
  const { runtime } = await fake.daemon();
  runtime.extend({ untilMs: 60_000, leaseMs: 60_000, fences: [] });
  const attempt = await runtime.start(fake.spec({ runMs: 5000 }));
  fake.machine.killRunner(attempt.fence);
  assert.is((await attempt.ended).reason, 'runner-died');
  await runtime.start(fake.spec({ runMs: 5000 }));
  fake.machine.powerOff();
  assert.equal((await fake.daemon()).found, []);
});

test('fake: output is written when the script ends by itself', async () => {
  const fake = makeFake();
  const { runtime } = await fake.daemon();
  runtime.extend({ untilMs: 60_000, leaseMs: 60_000, fences: [] });
  const attempt = await runtime.start(fake.spec({ runMs: 50 }));
  let ended = false;
  void attempt.ended.then(() => {
    ended = true;
  });
  await fake.until('it ends', () => ended);
  assert.equal(fake.written, ['/1/stdout: hello\n', '/1/stderr: ']);
});

test.run();
