// What becomes of attempts while their daemon is killed, stopped or away.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { RealMachine } from '../../contract/runtime/machine.ts';
import { alive, innerRunners, lend, onMachine, runnerPids, sizeOf, sleepWord } from './support.ts';

const DAEMON = fileURLToPath(new URL('./daemon.ts', import.meta.url));
const BEATS = 'while test ! -e go; do echo >>beats; sleep 0.02; done; exit 12';

interface Daemon {
  readonly child: ChildProcess;
  readonly work: string;
  readonly events: { readonly kind: string; readonly exit?: unknown; readonly endedAt?: unknown }[];
  kill(signal: NodeJS.Signals): void;
}

/** Its own process group, as a terminal would give it. */
async function startDaemon(machine: RealMachine, leaseMs: number, script: string): Promise<Daemon> {
  const child = spawn(process.execPath, [DAEMON, machine.folder, String(leaseMs), script], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  const events: Daemon['events'] = [];
  let rest = '';
  child.stdout.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) events.push(JSON.parse(line));
  });
  await machine.until('the daemon has started its attempt', () => events.length > 0);
  return {
    child,
    work: `${machine.folder}/attempts/daemon/work`,
    events,
    kill: (signal) => void child.kill(signal),
  };
}

async function killed(machine: RealMachine, daemon: Daemon): Promise<void> {
  daemon.kill('SIGKILL');
  await machine.until('the daemon is gone', () => daemon.child.signalCode !== null);
}

const beats = (daemon: Daemon): number => sizeOf(`${daemon.work}/beats`);

test('an attempt goes on after kill -9 of its daemon, and the next one hears its end', () =>
  onMachine({}, async (machine) => {
    const daemon = await startDaemon(machine, 60_000, BEATS);
    await killed(machine, daemon);
    const before = beats(daemon);
    await machine.until('it beats on', () => beats(daemon) > before + 5);
    const { runtime, found } = await machine.daemon();
    const [attempt] = found;
    assert.is(found.length, 1);
    lend(machine, runtime, 60_000, [...found.map(({ fence }) => fence)]);
    writeFileSync(`${daemon.work}/go`, '');
    const ended = await attempt?.ended;
    assert.equal({ ...ended?.exit, reason: ended?.reason }, { code: 12, signal: null, reason: 'exited' });
  }));

test('an end that no daemon saw is found by the next', () =>
  onMachine({}, async (machine) => {
    const daemon = await startDaemon(machine, 60_000, BEATS);
    await killed(machine, daemon);
    writeFileSync(`${daemon.work}/go`, '');
    await machine.until('it has ended', () => existsSync(`${machine.folder}/attempts/daemon/exit.json`));
    const { found } = await machine.daemon();
    assert.is(found.length, 1);
    assert.is((await found[0]?.ended)?.exit.code, 12);
  }));

test('a cut or foreign exit.json is no end', () =>
  onMachine({}, async (machine) => {
    const cut = machine.shell('exit 0');
    const otherBoot = machine.shell('exit 0');
    writeFileSync(`${cut.folder}/exit.json`, '{"fence":"');
    const exit = { code: 0, signal: null };
    const record = { fence: otherBoot.fence, folder: otherBoot.folder, exit, reason: 'exited', detail: null };
    writeFileSync(
      `${otherBoot.folder}/exit.json`,
      JSON.stringify({ ...record, startedAt: 1, endedAt: 2, bootId: 'x' }),
    );
    assert.equal((await machine.daemon()).found, []);
  }));

test('past 0.8 of the lease of a stopped daemon its attempt stands still, and goes on with it', () =>
  onMachine({}, async (machine) => {
    const daemon = await startDaemon(machine, 1600, BEATS);
    await machine.until('it beats', () => beats(daemon) > 2);
    daemon.kill('SIGSTOP');
    const stoppedAt = machine.uptime();
    let last = { size: -1, since: stoppedAt };
    await machine.until('it stands still for half a second', () => {
      if (beats(daemon) !== last.size) last = { size: beats(daemon), since: machine.uptime() };
      return machine.uptime() > last.since + 500;
    });
    assert.ok(last.since < stoppedAt + 1600, 'it stood still before the lease had lapsed');
    daemon.kill('SIGCONT');
    await machine.until('it goes on', () => beats(daemon) > last.size + 2);
    writeFileSync(`${daemon.work}/go`, '');
    await machine.until('the daemon tells its end', () => daemon.events.length === 2);
    assert.equal(daemon.events[1]?.exit, { code: 12, signal: null });
    await machine.until('the daemon is gone', () => daemon.child.exitCode !== null);
  }));

test('an attempt that ends while its daemon is stopped is told when that goes on', () =>
  onMachine({}, async (machine) => {
    const daemon = await startDaemon(machine, 60_000, BEATS);
    daemon.kill('SIGSTOP');
    writeFileSync(`${daemon.work}/go`, '');
    await machine.until('it has ended', () => existsSync(`${machine.folder}/attempts/daemon/exit.json`));
    const goesOnAt = Date.now();
    daemon.kill('SIGCONT');
    await machine.until('the daemon tells its end', () => daemon.events.length === 2);
    assert.equal(daemon.events[1]?.exit, { code: 12, signal: null });
    assert.ok(Number(daemon.events[1]?.endedAt) <= goesOnAt);
    await machine.until('the daemon is gone', () => daemon.child.exitCode !== null);
  }));

test('Ctrl-C in the daemon’s terminal does not reach runner or attempt', () =>
  onMachine({}, async (machine) => {
    const daemon = await startDaemon(machine, 60_000, BEATS);
    process.kill(-(daemon.child.pid ?? 0), 'SIGINT');
    await machine.until('the daemon is gone', () => daemon.child.signalCode === 'SIGINT');
    const before = beats(daemon);
    await machine.until('it beats on', () => beats(daemon) > before + 5);
    const { found } = await machine.daemon();
    assert.is(found.length, 1);
  }));

test('an attempt whose daemon stays away is killed, and its runner ends', () =>
  onMachine({ delays: { awayMs: 400, idleMs: 200 } }, async (machine) => {
    const word = sleepWord();
    const { runtime } = await machine.daemon();
    lend(machine, runtime);
    await runtime.start(machine.shell(`sleep ${word}; sleep 86400`));
    await machine.until('it runs', () => alive(word));
    await runtime.stop({ keep: true });
    await machine.until('the runner has ended', () => runnerPids(machine).length === 0);
    assert.not(alive(word));
    const { found } = await machine.daemon();
    assert.is((await found[0]?.ended)?.reason, 'killed');
  }));

test('a runner with neither daemon nor attempt ends', () =>
  onMachine({ delays: { idleMs: 200 } }, async (machine) => {
    const { runtime } = await machine.daemon();
    await runtime.startAhead(2);
    await runtime.stop({ keep: true });
    await machine.until('they have ended', () => runnerPids(machine).length === 0);
  }));

test('idle runners are taken over by the next daemon', () =>
  onMachine({}, async (machine) => {
    const first = await machine.daemon();
    await first.runtime.startAhead(2);
    const pids = runnerPids(machine);
    await first.runtime.stop({ keep: true });
    const { runtime } = await machine.daemon();
    await runtime.startAhead(2);
    assert.equal(
      runnerPids(machine).filter((pid) => pids.includes(pid)),
      pids,
    );
  }));

test('an attempt that is frozen for too long is killed', () =>
  onMachine({ delays: { frozenMs: 300 } }, async (machine) => {
    const { runtime } = await machine.daemon();
    await runtime.startAhead(1);
    lend(machine, runtime, 1000);
    const ended = await (await runtime.start(machine.shell('sleep 86400'))).ended;
    assert.is(ended.reason, 'killed');
    assert.match(ended.detail ?? '', 'frozen for too long');
  }));

test('a runner obeys only the daemon that attached last', () =>
  onMachine({}, async (machine) => {
    const first = await machine.daemon();
    lend(machine, first.runtime);
    const spec = machine.shell(BEATS);
    const old = await first.runtime.start(spec);
    await machine.until('it beats', () => sizeOf(`${spec.workFolder}/beats`) > 2);
    const second = await machine.daemon();
    assert.is(second.found.length, 1);
    old.kill(0);
    await first.runtime.stop({ keep: false });
    const before = sizeOf(`${spec.workFolder}/beats`);
    await machine.until('it beats on', () => sizeOf(`${spec.workFolder}/beats`) > before + 5);
    writeFileSync(`${spec.workFolder}/go`, '');
    assert.is((await second.found[0]?.ended)?.exit.code, 12);
  }));

test('a runner that answers no more is killed by the next daemon, with all it runs', () =>
  onMachine({}, async (machine) => {
    const word = sleepWord();
    const first = await machine.daemon();
    lend(machine, first.runtime);
    await first.runtime.start(machine.shell(`sleep ${word}; sleep 86400`));
    await machine.until('it runs', () => alive(word));
    await first.runtime.stop({ keep: true });
    for (const pid of innerRunners(machine)) process.kill(pid, 'SIGSTOP');
    const { found } = await machine.daemon();
    assert.equal(found, []);
    assert.not(alive(word));
    assert.equal(runnerPids(machine), []);
  }));

test('a runner that hangs while its daemon extends leases is killed', () =>
  onMachine({}, async (machine) => {
    const { runtime } = await machine.daemon();
    await runtime.startAhead(1);
    lend(machine, runtime, 1000);
    const attempt = await runtime.start(machine.shell('sleep 86400'));
    for (const pid of innerRunners(machine)) process.kill(pid, 'SIGSTOP');
    const timer = setInterval(() => lend(machine, runtime, 1000, [attempt.fence]), 100);
    try {
      assert.is((await attempt.ended).reason, 'runner-died');
    } finally {
      clearInterval(timer);
    }
  }));

test('without namespaces the next daemon kills what no runner holds', () =>
  onMachine({ namespaces: false }, async (machine) => {
    const word = sleepWord();
    const first = await machine.daemon();
    lend(machine, first.runtime);
    await first.runtime.start(machine.shell(`(setsid sleep ${word} &) & sleep 86400`));
    await machine.until('it runs', () => alive(word));
    await first.runtime.stop({ keep: true });
    for (const pid of runnerPids(machine)) process.kill(pid, 'SIGKILL');
    await machine.until('the runner is gone', () => runnerPids(machine).length === 0);
    assert.ok(alive(word), 'an orphan outlives its runner here');
    assert.equal((await machine.daemon()).found, []);
    assert.not(alive(word));
  }));

test.run();
