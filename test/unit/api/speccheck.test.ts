// What a schema cannot say of a job.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { InputFile, JobSpec } from '../../../protocol/api/jobspec.ts';
import { pathFault, specFault } from '../../../protocol/api/speccheck.ts';

const SHA = 'a'.repeat(64);
const spec = (fields: Partial<JobSpec>): JobSpec => ({ schema: 'skein.jobspec/1', command: ['true'], ...fields });
const input = (fields: Partial<InputFile>): JobSpec => spec({ inputs: [{ path: 'a', sha256: SHA, ...fields }] });

test('exactly one of script and command is needed', () => {
  assert.is(specFault(spec({})), undefined);
  assert.is(specFault({ schema: 'skein.jobspec/1' })?.field, 'script');
  assert.is(specFault(spec({ script: { path: 's.py', sha256: SHA } }))?.field, 'command');
});

test('a path that leaves the folder, or that has two spellings, is refused', () => {
  for (const path of ['/etc/passwd', '../a', 'a/../../b', 'a//b', './a', 'a/', 'a\0b', '..']) {
    assert.ok(pathFault(path), path);
  }
  for (const path of ['a', 'a/b.txt', '..a/b', 'a b/ü.txt', 'a\nb', '-x']) assert.is(pathFault(path), undefined, path);
});

test('a link may point anywhere inside the folder and nowhere outside', () => {
  const link = (path: string, target: string): JobSpec => spec({ inputs: [{ path, link: target }] });
  assert.is(specFault(link('a/b', '../c')), undefined);
  assert.is(specFault(link('a/b', 'c/../../d')), undefined);
  for (const target of ['../../c', '/etc', '', 'c/../../../d']) assert.ok(specFault(link('a/b', target)), target);
});

test('an input is a file, a link or a folder, and no path comes twice', () => {
  assert.is(specFault(input({ folder: true }))?.field, 'inputs.0');
  assert.is(specFault(spec({ inputs: [{ path: 'a' }] }))?.field, 'inputs.0');
  const twice = spec({
    inputs: [
      { path: 'a', sha256: SHA },
      { path: 'a', sha256: SHA },
    ],
  });
  assert.is(specFault(twice)?.field, 'inputs.1');
});

test('no argument and no variable can hold a NUL', () => {
  assert.is(specFault(spec({ args: ['ok', 'a\0b'] }))?.field, 'args.1');
  assert.is(specFault(spec({ env: { A: '\0' } }))?.field, 'env.A');
});

test('a range must go upwards and make no more than a million tasks', () => {
  assert.is(specFault(spec({ items: { range: { from: 3, to: 3 } } })), undefined);
  assert.ok(specFault(spec({ items: { range: { from: 3, to: 2 } } })));
  assert.ok(specFault(spec({ items: { range: { from: 1, to: 1_000_001 } } })));
});

test.run();
