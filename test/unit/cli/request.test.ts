import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { requestFromFile } from '../../../node/cli/run/job-file.ts';
import { parseRange, readRequest } from '../../../node/cli/run/request.ts';
import { readYaml } from '../../../node/config/yaml-file.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import { testFolder } from '../../support/folder.ts';

const HERE = new Set(['in/a.json', 'photos/a.jpg', 'photos/b.jpg', '[odd].json', 's.py']);
const read = (operands: readonly string[], flags: Record<string, unknown> = {}) =>
  readRequest(operands, flags, (path) => HERE.has(path));
const isUsage = (error: unknown): boolean => error instanceof SkeinError && error.code === 'usage';

test('--batch directly after the script is ours if it holds a pattern, and a -- after it is dropped', () => {
  const glob = (pattern: string) => ({ kind: 'glob', pattern });
  const cases: readonly (readonly [readonly string[], unknown])[] = [
    [['s.py', '--batch', 'in/*.json'], { script: 's.py', args: [], items: glob('in/*.json') }],
    [['s.py', '--batch', 'in/?.json', '-v'], { script: 's.py', args: ['-v'], items: glob('in/?.json') }],
    [['s.py', '--batch', 'in/{a,b}', '--', '--', 'x'], { script: 's.py', args: ['--', 'x'], items: glob('in/{a,b}') }],
    [['s.py', '--batch', '[odd].json'], { script: 's.py', args: [], items: glob('[odd].json') }],
    [['s.py', '--', '--batch', 'in/*'], { script: 's.py', args: ['--batch', 'in/*'], items: undefined }],
    [['s.py', '-v', '--batch', 'in/*'], { script: 's.py', args: ['-v', '--batch', 'in/*'], items: undefined }],
    [['s.py', '--batch', '32'], { script: 's.py', args: ['--batch', '32'], items: undefined }],
    [['s.py', '--batch'], { script: 's.py', args: ['--batch'], items: undefined }],
    [['s.py', '--batch=in/*'], { script: 's.py', args: ['--batch=in/*'], items: undefined }],
    [['s.py', '--', 'a'], { script: 's.py', args: ['a'], items: undefined }],
    [['s.py', 'a', '--', 'b'], { script: 's.py', args: ['a', '--', 'b'], items: undefined }],
    [[], { script: undefined, args: [], items: undefined }],
  ];
  for (const [operands, request] of cases) assert.equal(read(operands), request, operands.join(' '));
});

test('a path after --batch means that the shell filled the glob in', () => {
  assert.throws(
    () => read(['s.py', '--batch', 'in/a.json']),
    (error: unknown) => isUsage(error) && /quote the glob/.test((error as SkeinError).fix ?? ''),
  );
  assert.throws(() => read(['photos/b.jpg', 's.py'], { batch: 'photos/a.jpg' }), isUsage);
  assert.equal(read(['s.py'], { batch: 'in/a.json' }).items, { kind: 'glob', pattern: 'in/a.json' });
});

test('with items from a flag, a later --batch is the script’s', () => {
  assert.equal(read(['s.py', '--batch', 'x*'], { range: '1-3' }), {
    script: 's.py',
    args: ['--batch', 'x*'],
    items: { kind: 'range', from: 1, to: 3 },
  });
  assert.equal(read(['s.py'], { lines: '-', null: true }).items, { kind: 'lines', file: '-', nul: true });
  assert.throws(() => read(['s.py'], { batch: '*', range: '1-3' }), isUsage);
});

test('ranges are inclusive and may be negative', () => {
  assert.equal(parseRange('5-5'), { kind: 'range', from: 5, to: 5 });
  assert.equal(parseRange('-3--1'), { kind: 'range', from: -3, to: -1 });
  for (const text of ['', '3', '5-1', 'a-b', '1-', '1-9999999']) assert.throws(() => parseRange(text), isUsage, text);
});

test('skein.yaml is a job: paths stand for what they name', async () => {
  using folder = testFolder();
  const file = async (text: string) => {
    folder.write({ 'skein.yaml': text });
    return readYaml(folder.at('skein.yaml'));
  };
  assert.equal(
    requestFromFile(await file('script: s.py\nargs: [--n, 3, true]\ninputs: [a, {path: b}]\nstdin: in.txt\n')),
    {
      script: 's.py',
      args: ['--n', '3', 'true'],
      items: undefined,
      inputs: ['a', 'b'],
      stdin: 'in.txt',
    },
  );
  assert.equal(requestFromFile(await file('command: [ffmpeg, -i, "{}"]\nbatch: "*.mov"\n')), {
    script: 'ffmpeg',
    args: ['-i', '{}'],
    items: { kind: 'glob', pattern: '*.mov' },
    inputs: [],
    stdin: undefined,
  });
  assert.equal(requestFromFile(await file('script: {path: s.py}\nitems: {range: {from: 1, to: 3}}\n')).items, {
    kind: 'range',
    from: 1,
    to: 3,
  });
  assert.equal(requestFromFile(await file('script: s.py\nitems: {list: [a, 2]}\n')).items, {
    kind: 'list',
    list: ['a', 2],
  });
  const cases: readonly (readonly [string, RegExp])[] = [
    ['args: [x]\n', /names neither script nor command/],
    ['script: s.py\nargs: {a: 1}\n', /skein\.yaml:2:1 args: expected a list of texts/],
    ['script: s.py\nschema: other\n', /skein\.yaml:2:1 schema: expected skein\.jobspec\/1/],
    ['script: s.py\ncommand: [x]\n', /either script or command/],
    ['script: s.py\nrange: 5-1\n', /skein\.yaml:2:1 range: expected a range such as 1-100/],
    ['script: s.py\nitems: {range: {from: 3, to: x}}\n', /skein\.yaml:2:9 items\.range: expected a range/],
    ['script: 5\n', /skein\.yaml:1:1 script: expected a path/],
  ];
  for (const [text, message] of cases) {
    const yaml = await file(text);
    assert.throws(
      () => requestFromFile(yaml),
      (error: unknown) => error instanceof SkeinError && error.code === 'config-invalid' && message.test(error.message),
      text,
    );
  }
  assert.throws(() => requestFromFile(undefined), isUsage);
});

test.run();
