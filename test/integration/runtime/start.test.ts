// How a script starts and how its end is told: codes, signals, what a shell would say of what cannot start.
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { AttemptSpec } from '../../../node/runtime/port.ts';
import type { RealMachine } from '../../contract/runtime/machine.ts';
import { lend, onMachine, run, textOf } from './support.ts';

/** A file in the attempt's folder, started by its relative name. */
function file(machine: RealMachine, text: string, mode: number): AttemptSpec {
  const spec = machine.command(['./script', 'an argument']);
  writeFileSync(join(spec.workFolder, 'script'), text);
  chmodSync(join(spec.workFolder, 'script'), mode);
  return spec;
}

test('stdin, stdout, stderr and the exit code are the script’s own, byte for byte', () =>
  onMachine({}, async (machine) => {
    const stdinFile = join(machine.folder, 'stdin');
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, value) => value));
    writeFileSync(stdinFile, bytes);
    const spec = machine.shell('cat; printf "%s" "to stderr" >&2; exit 42', { stdinFile });
    const ended = await run(machine, spec);
    assert.equal(ended.exit, { code: 42, signal: null });
    assert.is(textOf(spec.stderrFile), 'to stderr');
    assert.ok(bytes.equals(readFileSync(spec.stdoutFile)));
  }));

test('without input a script reads an empty one', () =>
  onMachine({}, async (machine) => {
    const spec = machine.shell('wc -c');
    await run(machine, spec);
    assert.is(textOf(spec.stdoutFile).trim(), '0');
  }));

test('the environment is what was given, and a mark', () =>
  onMachine({}, async (machine) => {
    process.env.SKEIN_TEST_SECRET = 'the daemon’s';
    const spec = machine.command(['/usr/bin/env'], { env: { PATH: '/bin', 'WITH SPACE': 'a\nb' } });
    await run(machine, spec);
    const text = textOf(spec.stdoutFile);
    assert.match(text, /^PATH=\/bin\nWITH SPACE=a\nb\nSKEIN_MARK=[0-9a-f]{16}\.e{32}\.1\n$/);
  }));

for (const signal of ['SIGKILL', 'SIGTERM', 'SIGSEGV', 'SIGPIPE', 'SIGUSR1'] as const) {
  test(`a script that dies of ${signal} is said to have`, () =>
    onMachine({}, async (machine) => {
      const ended = await run(machine, machine.shell(`kill -${signal.slice(3)} $$`));
      assert.equal({ ...ended.exit, reason: ended.reason }, { code: null, signal, reason: 'exited' });
    }));
}

test('a command that is nowhere is not-found, 127', () =>
  onMachine({}, async (machine) => {
    const ended = await run(machine, machine.command(['no-such-command-here']));
    assert.equal({ ...ended.exit, reason: ended.reason }, { code: 127, signal: null, reason: 'not-found' });
    assert.match(ended.detail ?? '', 'no-such-command-here');
  }));

test('a script whose interpreter is nowhere names it', () =>
  onMachine({}, async (machine) => {
    const ended = await run(machine, file(machine, '#!/no/such/interpreter -x\n', 0o755));
    assert.is(ended.reason, 'not-found');
    assert.match(ended.detail ?? '', '/no/such/interpreter');
  }));

test('a file without the executable bit is not-executable, 126', () =>
  onMachine({}, async (machine) => {
    const ended = await run(machine, file(machine, '#!/bin/sh\n', 0o644));
    assert.equal({ ...ended.exit, reason: ended.reason }, { code: 126, signal: null, reason: 'not-executable' });
  }));

test('a script without a first line that names an interpreter is run by sh', () =>
  onMachine({}, async (machine) => {
    const spec = file(machine, 'echo "$1"; exit 6\n', 0o755);
    const ended = await run(machine, spec);
    assert.is(ended.exit.code, 6);
    assert.is(textOf(spec.stdoutFile), 'an argument\n');
  }));

test('arguments that no kernel takes are said to be too long', () =>
  onMachine({}, async (machine) => {
    const long = await run(machine, machine.command(['true', 'x'.repeat(200_000)]));
    const huge = await run(machine, machine.command(['true', ...Array<string>(100).fill('x'.repeat(100_000))]));
    for (const ended of [long, huge]) {
      assert.equal([ended.exit.code, ended.reason], [126, 'not-executable']);
      assert.match(ended.detail ?? '', 'too long');
    }
  }));

test('a folder that is gone is skein’s failure, not the script’s', () =>
  onMachine({}, async (machine) => {
    const spec = machine.shell('exit 0');
    rmSync(spec.workFolder, { recursive: true });
    assert.is((await run(machine, spec)).reason, 'runtime-failed');
  }));

test('a file that someone is still writing is waited for', () =>
  onMachine({}, async (machine) => {
    const spec = file(machine, '#!/bin/sh\nexit 8\n', 0o755);
    // A shell holds it open for writing for a moment, as a fork of a writing daemon would.
    const writer = machine.command(['sh', '-c', `exec 3>>"${join(spec.workFolder, 'script')}"; : >ready; sleep 0.3`]);
    const { runtime } = await machine.daemon();
    await runtime.startAhead(2);
    lend(machine, runtime);
    await runtime.start(writer);
    await machine.until('the file is open for writing', () => existsSync(join(writer.workFolder, 'ready')));
    assert.is((await (await runtime.start(spec)).ended).exit.code, 8);
  }));

test('a data folder with a path of 200 characters works, also for the next daemon', async () => {
  const base = `/tmp/skein-long-${process.pid}`;
  const under = join(base, 'x'.repeat(100), 'y'.repeat(200 - base.length - 102));
  mkdirSync(under, { recursive: true });
  try {
    await onMachine({ under }, async (machine) => {
      assert.ok(machine.folder.length > 200);
      const first = await machine.daemon();
      lend(machine, first.runtime);
      await first.runtime.start(machine.shell('until test -e go; do sleep 0.05; done; exit 11'));
      await first.runtime.stop({ keep: true });
      const { found } = await machine.daemon();
      const [attempt] = found;
      writeFileSync(join(attempt?.folder ?? '', 'work/go'), '');
      assert.is((await attempt?.ended)?.exit.code, 11);
    });
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
});

test.run();
