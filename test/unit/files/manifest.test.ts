// Manifests read byte by byte, and the paths that may stand in them.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SkeinError } from '../../../protocol/errors.ts';
import { linkFault, pathFault } from '../../../protocol/paths.ts';
import {
  anyManifest,
  encodeManifest,
  inputManifest,
  itemManifest,
  outputManifest,
  parseManifest,
} from '../../../protocol/wire/manifest.ts';

const test = suite('manifests and paths');
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Read in pieces of `step` bytes. */
function read(text: string, step: number): unknown[] {
  const manifest = anyManifest();
  const whole = bytes(text);
  const elements: unknown[] = [];
  for (let at = 0; at < whole.length; at += step) {
    manifest.push(whole.subarray(at, at + step));
    elements.push(...manifest.take());
  }
  manifest.end();
  return [...elements, ...manifest.take()];
}

function codeOf(work: () => unknown): string {
  try {
    work();
    return 'none';
  } catch (error) {
    if (error instanceof SkeinError) return error.code;
    throw error;
  }
}

const tricky = [
  { a: '],[' },
  [1, [2, { b: '}' }]],
  'x"y\\',
  '\\"',
  null,
  -1.5e3,
  'grüße 🪿',
  { 'k"]': ['\\\\', '"'] },
  '',
  true,
];

test('a list is read the same however it is cut', () => {
  for (const text of [JSON.stringify(tricky), ` ${JSON.stringify(tricky, null, 2)}\n`]) {
    for (let step = 1; step <= 64; step++) assert.equal(read(text, step), tricky);
  }
  assert.equal(read('[]', 1), []);
  assert.equal(read(' [ ] ', 2), []);
});

for (const text of [
  '',
  '{}',
  '[',
  '[1',
  '[1,]',
  '[,1]',
  '[1 2]',
  '[1]]',
  '[1][2]',
  '1',
  '"x"',
  '[1}',
  '[}',
  'x[1]',
  '[1]x',
  '["a]',
  '[{]',
  '[nul]',
  '[{"a":1,}]',
]) {
  test(`${JSON.stringify(text)} is no list`, () => {
    for (const step of [1, 100])
      assert.is(
        codeOf(() => read(text, step)),
        'invalid-request',
      );
  });
}

test('bytes that are not UTF-8 are refused', () => {
  const manifest = anyManifest();
  assert.is(
    codeOf(() => manifest.push(Buffer.from([0x5b, 0x22, 0xff, 0x22, 0x5d]))),
    'invalid-request',
  );
});

test('an element without end is refused before it is held', () => {
  const manifest = anyManifest();
  const more = bytes('x'.repeat(1_000_000));
  manifest.push(bytes('["'));
  assert.is(
    codeOf(() => {
      for (let n = 0; n < 20; n++) manifest.push(more);
    }),
    'too-large',
  );
});

test('deep nesting is refused: what walks over an element later may recurse', () => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
  assert.is(read(nested(64), 65_536).length, 1);
  assert.is(
    codeOf(() => read(nested(100_000), 65_536)),
    'invalid-request',
  );
});

test('elements at the start can be passed over unparsed', () => {
  const manifest = itemManifest({ skip: 2 });
  manifest.push(bytes('[{"item":1},{"item":2},{"item":3}]'));
  manifest.end();
  assert.equal(manifest.take(), [{ item: 3 }]);
});

test('what is written is read again', () => {
  const sha256 = 'a'.repeat(64);
  const files = Array.from({ length: 2000 }, (_, n) => ({
    kind: 'file',
    path: `out/${n}`,
    mode: 0o644,
    sha256,
    span: { blob: sha256, offset: n, sizeBytes: 1 },
  }));
  const pieces = [...encodeManifest(files)];
  assert.ok(pieces.length > 1);
  assert.equal(parseManifest(Buffer.concat(pieces)), files);
  assert.equal(parseManifest(Buffer.concat([...encodeManifest([])])), []);
});

test('outputs, inputs and items of another form, or of a place outside, are refused', () => {
  const sha256 = 'a'.repeat(64);
  const span = { blob: sha256, offset: 0, sizeBytes: 0 };
  const output = (fields: object) => codeOf(() => outputManifest().push(bytes(JSON.stringify([fields]))));
  assert.is(output({ kind: 'file', path: 'a', mode: 0o644, sha256, span }), 'none');
  assert.is(output({ kind: 'file', path: '../a', mode: 0o644, sha256, span }), 'invalid-request');
  assert.is(output({ kind: 'file', path: 'a', mode: 0o4755, sha256, span }), 'invalid-request');
  assert.is(output({ kind: 'file', path: 'a', mode: 0o644, sha256: 'A'.repeat(64), span }), 'invalid-request');
  assert.is(output({ kind: 'link', path: 'a/b', target: '../c' }), 'none');
  assert.is(output({ kind: 'link', path: 'a/b', target: '../../c' }), 'invalid-request');
  const input = (fields: object) => codeOf(() => inputManifest().push(bytes(JSON.stringify([fields]))));
  assert.is(input({ path: 'a', sha256 }), 'none');
  assert.is(input({ path: 'a', folder: true }), 'none');
  assert.is(input({ path: 'a', sha256, link: 'b' }), 'invalid-request');
  assert.is(input({ path: 'a/../../b', sha256 }), 'invalid-request');
  const item = (fields: object) => codeOf(() => itemManifest().push(bytes(JSON.stringify([fields]))));
  assert.is(item({ item: 1, inputs: [{ path: 'a', sha256 }] }), 'none');
  assert.is(item({ item: 1, inputs: [{ path: '/a', sha256 }] }), 'invalid-request');
});

test('a path stays below its folder', () => {
  for (const path of ['a', 'a/b', '...', '..a', 'a..', '.hidden', 'a\\b', ' ', '-', 'x'.repeat(255), 'ü'.repeat(127)]) {
    assert.is(pathFault(path), undefined, path);
  }
  const parts = Array.from({ length: 400 }, () => 'x'.repeat(10)).join('/');
  for (const path of [
    '',
    '/',
    '/a',
    '.',
    '..',
    'a/..',
    'a/./b',
    'a//b',
    'a/',
    '../a',
    'a\0',
    '\udc00',
    'x'.repeat(256),
    'ü'.repeat(128),
    parts,
  ]) {
    assert.ok(pathFault(path), path);
  }
});

test('a link points into its folder, whatever other links there are', () => {
  for (const [path, target] of [
    ['a', 'b'],
    ['a', '.'],
    ['a', './b//c/'],
    ['d/a', '..'],
    ['d/e/a', '../../b'],
    ['a', '..b'],
  ] as const) {
    assert.is(linkFault(path, target), undefined, `${path} -> ${target}`);
  }
  for (const [path, target] of [
    ['a', ''],
    ['a', '/'],
    ['a', '..'],
    ['d/a', '../..'],
    ['d/a', './../../b'],
    ['d/a', 'b/..'],
    ['a', 'b\0'],
  ] as const) {
    assert.ok(linkFault(path, target), `${path} -> ${target}`);
  }
});

test.run();
