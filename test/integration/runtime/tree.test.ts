// Everything that an attempt started ends with it, whatever it did to get away.
import { spawnSync } from 'node:child_process';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { platform } from '../../../node/runtime/platform.ts';
import { until } from '../../contract/runtime/machine.ts';
import {
  alive,
  hasNamespaces,
  innerRunners,
  lend,
  onMachine,
  runnerPids,
  sizeOf,
  sleepWord,
  textOf,
} from './support.ts';

const NAMESPACES = (await hasNamespaces()) ? [true, false] : [false];
if (NAMESPACES.length === 1) console.log('SKIP trees in a namespace: this machine allows none');

for (const namespaces of NAMESPACES) {
  const where = namespaces ? 'in a namespace' : 'without a namespace';
  // Without one, whoever leaves session and group, clears the environment and loses its parents is out of sight.
  const flee = namespaces ? 'env -i setsid' : 'setsid';

  test(`${where} a kill reaches what left its session and its parents`, () =>
    onMachine({ namespaces }, async (machine) => {
      const [near, far] = [sleepWord(), sleepWord()];
      const { runtime } = await machine.daemon();
      lend(machine, runtime);
      const attempt = await runtime.start(
        machine.shell(`sleep ${near} & (${flee} sh -c '(setsid sleep ${far} &) & wait' &) & wait; sleep 86400`),
      );
      await machine.until('both run', () => alive(near) && alive(far));
      attempt.kill(0);
      const ended = await attempt.ended;
      assert.not(alive(near) || alive(far), 'nothing is left once it is said to have ended');
      assert.is(ended.reason, 'killed');
    }));

  test(`${where} a background child left behind is ended, and the output is whole`, () =>
    onMachine({ namespaces }, async (machine) => {
      const word = sleepWord();
      const { runtime } = await machine.daemon();
      lend(machine, runtime);
      const spec = machine.shell(`echo before; (setsid sleep ${word} &) & sleep 0.2; echo after; exit 5`);
      const ended = await (await runtime.start(spec)).ended;
      assert.equal({ ...ended.exit, reason: ended.reason }, { code: 5, signal: null, reason: 'exited' });
      assert.not(alive(word));
      assert.is(textOf(spec.stdoutFile), 'before\nafter\n');
      const next = await runtime.start(machine.shell('exit 6'));
      assert.is((await next.ended).exit.code, 6, 'the next attempt is none the worse for it');
    }));

  test(`${where} kill -9 of the runner ends all of the attempt`, () =>
    onMachine({ namespaces }, async (machine) => {
      const [near, far] = [sleepWord(), sleepWord()];
      const { runtime } = await machine.daemon();
      lend(machine, runtime);
      const attempt = await runtime.start(
        machine.shell(`sleep ${near} & (${flee} sleep ${far} &) & wait; sleep 86400`),
      );
      // Without a namespace only the mark tells whose they are, so there it stays.
      await machine.until('both run', () => alive(near) && alive(far));
      for (const pid of innerRunners(machine)) process.kill(pid, 'SIGKILL');
      const ended = await attempt.ended;
      assert.not(alive(near) || alive(far));
      assert.is(ended.reason, 'runner-died');
      assert.is((await (await runtime.start(machine.shell('exit 3'))).ended).exit.code, 3);
    }));

  test(`${where} a freeze stops the whole tree, and a thaw lets all of it go on`, () =>
    onMachine({ namespaces }, async (machine) => {
      const { runtime } = await machine.daemon();
      await runtime.startAhead(1);
      lend(machine, runtime, 1500);
      const spec = machine.shell(
        `beat() { while :; do echo >>$1; sleep 0.02; done; }; beat a & (setsid sh -c 'while :; do echo >>b; sleep 0.02; done' &) & beat c`,
      );
      const attempt = await runtime.start(spec);
      const sizes = (): readonly number[] => ['a', 'b', 'c'].map((name) => sizeOf(`${spec.workFolder}/${name}`));
      await machine.until('all three beat', () => sizes().every((size) => size > 2));
      await machine.until('it is frozen', () => attempt.frozen);
      const frozen = sizes();
      const later = machine.uptime() + 500;
      await machine.until('half a second', () => machine.uptime() > later);
      assert.equal(sizes(), frozen);
      lend(machine, runtime, 600_000, [attempt.fence]);
      await machine.until('all three go on', () => sizes().every((size, i) => size > (frozen[i] ?? 0) + 2));
      attempt.kill(0);
      await attempt.ended;
    }));

  test(`${where} a script that stopped itself hears the end of its time`, () =>
    onMachine({ namespaces }, async (machine) => {
      const { runtime } = await machine.daemon();
      lend(machine, runtime);
      const spec = machine.shell(`trap 'exit 9' TERM; echo up; kill -STOP $$; sleep 86400 & wait`);
      const attempt = await runtime.start(spec);
      await machine.until('it is up', () => sizeOf(spec.stdoutFile) > 0);
      attempt.kill(20_000);
      assert.is((await attempt.ended).exit.code, 9);
    }));

  // 58 is vfork: its caller waits in the kernel, where no SIGSTOP reaches, until the child has gone on.
  const vfork = `if (syscall(58) == 0) { sleep 86400 }`;
  const canVfork = process.arch === 'x64' && spawnSync('perl', ['-e', '1']).status === 0;
  test(`${where} what cannot be frozen is killed before the lease has lapsed`, async () => {
    if (!canVfork) {
      console.log(`SKIP ${where} what cannot be frozen is killed: needs perl on x64`);
      return;
    }
    await onMachine({ namespaces }, async (machine) => {
      const { runtime } = await machine.daemon();
      await runtime.startAhead(1);
      lend(machine, runtime, 2500);
      const lapsesAt = machine.uptime() + 2500;
      const ended = await (await runtime.start(machine.command(['perl', '-e', vfork]))).ended;
      assert.is(ended.reason, 'killed');
      assert.match(ended.detail ?? '', 'could not be frozen');
      assert.ok(machine.uptime() <= lapsesAt, `killed ${machine.uptime() - lapsesAt} ms after the lease had lapsed`);
    });
  });

  test(`${where} runners end with their daemon’s stop`, () =>
    onMachine({ namespaces }, async (machine) => {
      const { runtime } = await machine.daemon();
      await runtime.startAhead(3);
      assert.is(innerRunners(machine).length, 3);
      await runtime.stop({ keep: false });
      assert.equal(runnerPids(machine), []);
    }));
}

if (NAMESPACES.length === 2) {
  test('kill -9 of the process around the runner ends all as well', () =>
    onMachine({}, async (machine) => {
      const word = sleepWord();
      const { runtime } = await machine.daemon();
      lend(machine, runtime);
      const attempt = await runtime.start(machine.shell(`(env -i setsid sleep ${word} &) & sleep 86400`));
      await machine.until('it runs', () => alive(word));
      const inner = innerRunners(machine);
      for (const pid of runnerPids(machine)) if (!inner.includes(pid)) process.kill(pid, 'SIGKILL');
      assert.is((await attempt.ended).reason, 'runner-died');
      assert.not(alive(word));
      assert.not(inner.some((pid) => platform.isAlive(pid)));
    }));
}

test('an idle runner that dies is replaced when one is needed', () =>
  onMachine({}, async (machine) => {
    const { runtime } = await machine.daemon();
    lend(machine, runtime);
    await runtime.startAhead(1);
    for (const pid of innerRunners(machine)) process.kill(pid, 'SIGKILL');
    await machine.until('it is gone', () => runnerPids(machine).length === 0);
    await until('an attempt ends by itself', async () => {
      const ended = await (await runtime.start(machine.shell('exit 2'))).ended;
      return ended.exit.code === 2;
    });
  }));

test.run();
