// With what a script is started.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { scriptArgv } from '../../../node/runtime/interpreter.ts';

const on =
  (...commands: string[]) =>
  (command: string): boolean =>
    commands.includes(command);
const script = (path: string, firstLine = '', interpreter: readonly string[] | null = null) => ({
  path,
  firstLine,
  interpreter,
});

test('the extension tells, by the first interpreter that is here', () => {
  assert.equal(scriptArgv(script('./a.py'), on('python3', 'python')), ['python3', './a.py']);
  assert.equal(scriptArgv(script('./a.py'), on('python')), ['python', './a.py']);
  assert.equal(scriptArgv(script('./a.PY'), on()), ['python3', './a.PY']);
  assert.equal(scriptArgv(script('./a.mjs'), on('node')), ['node', './a.mjs']);
  assert.equal(scriptArgv(script('./a.sh'), on('sh')), ['sh', './a.sh']);
  assert.equal(scriptArgv(script('./a.R'), on()), ['Rscript', './a.R']);
});

test('a first line that names an interpreter wins over the extension', () => {
  assert.equal(scriptArgv(script('./a.py', '#!/bin/sh'), on('/bin/sh', 'python3')), ['/bin/sh', './a.py']);
});

test('env is looked through to the command it names', () => {
  const all = on('/usr/bin/env', 'python3', 'deno');
  assert.equal(scriptArgv(script('./a', '#!/usr/bin/env python3'), all), ['python3', './a']);
  assert.equal(scriptArgv(script('./a', '#! /usr/bin/env  python3\r'), all), ['python3', './a']);
  assert.equal(scriptArgv(script('./a', '#!/usr/bin/env -S deno run --allow-read'), all), [
    'deno',
    'run',
    '--allow-read',
    './a',
  ]);
  assert.equal(scriptArgv(script('./a', '#!/usr/bin/env -S A=1 python3'), all), [
    '/usr/bin/env',
    'A=1',
    'python3',
    './a',
  ]);
});

test('what follows an interpreter is one argument, as the kernel has it', () => {
  assert.equal(scriptArgv(script('./a', '#!/usr/bin/awk -v x=1 -f'), on('/usr/bin/awk')), [
    '/usr/bin/awk',
    '-v x=1 -f',
    './a',
  ]);
});

test('an interpreter that is elsewhere on this machine is found by its name', () => {
  const line = '#!/opt/homebrew/bin/python3 -u';
  assert.equal(scriptArgv(script('./a', line), on('python3')), ['python3', '-u', './a']);
  assert.equal(scriptArgv(script('./a', line), on()), ['/opt/homebrew/bin/python3', '-u', './a']);
});

test('an interpreter that was asked for wins over all', () => {
  assert.equal(scriptArgv(script('./a.py', '#!/bin/sh', ['pypy3', '-O']), on('python3')), ['pypy3', '-O', './a.py']);
});

test('anything else is started as it is', () => {
  for (const path of ['./a', './a.exe', './b.constructor', './.py.d/tool']) {
    assert.equal(scriptArgv(script(path), on('python3')), [path]);
  }
  assert.equal(scriptArgv(script('./a', '#!'), on()), ['./a']);
});

test.run();
