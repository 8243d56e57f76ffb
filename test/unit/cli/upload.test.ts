import { chmodSync, mkdirSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ScriptError } from '../../../node/cli/exit-codes.ts';
import { takeArgument } from '../../../node/cli/upload/arguments.ts';
import { Collection } from '../../../node/cli/upload/collect.ts';
import { fixedPart, readItems } from '../../../node/cli/upload/items.ts';
import { isSafePath, localPath, outsideFolders, pathMap } from '../../../node/cli/upload/paths.ts';
import { makePlan, type Plan, type PlanRequest } from '../../../node/cli/upload/plan.ts';
import { findScript } from '../../../node/cli/upload/script.ts';
import type { ItemEntry } from '../../../protocol/api/jobspec.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import { type TestFolder, testFolder } from '../../support/folder.ts';

const never = new AbortController().signal;

async function take(folder: TestFolder, arg: string) {
  const taken = new Collection();
  const notes: string[] = [];
  const text = await takeArgument(arg, { paths: pathMap(folder.at('work')), home: folder.at('home'), taken, notes });
  const entries = taken
    .entries()
    .map((each) =>
      each.kind === 'link' ? `${each.path} -> ${each.target}` : each.kind === 'folder' ? `${each.path}/` : each.path,
    );
  return { text, entries, notes };
}

async function failure(promise: Promise<unknown>): Promise<SkeinError> {
  const error = await promise.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  assert.instance(error, SkeinError);
  return error as SkeinError;
}

function tree(): TestFolder {
  const folder = testFolder();
  folder.write({
    'work/in.json': '1',
    'work/data/a.txt': 'a',
    'work/data/deep/b.txt': 'b',
    'work/data/empty': null,
    'work/data/.git/HEAD': 'x',
    'work/data/node_modules/x/y.js': 'x',
    'work/data/__pycache__/c.pyc': 'x',
    'work/out': null,
    'other/o.txt': 'o',
    home: null,
  });
  return folder;
}

test('inside the current folder names stay, absolute and .. paths are rewritten', async () => {
  using folder = tree();
  const outside = `_skein/root${folder.at('other/o.txt')}`;
  const cases: readonly (readonly [string, string, readonly string[]])[] = [
    ['in.json', 'in.json', ['in.json']],
    ['./in.json', './in.json', ['in.json']],
    ['data/../in.json', 'in.json', ['in.json']],
    [folder.at('work/in.json'), 'in.json', ['in.json']],
    ['../work/in.json', 'in.json', ['in.json']],
    ['../other/o.txt', outside, [outside]],
    [folder.at('other/o.txt'), outside, [outside]],
    ['--file=in.json', '--file=in.json', ['in.json']],
    [`--file=${folder.at('work/in.json')}`, '--file=in.json', ['in.json']],
    ['-f=in.json', '-f=in.json', ['in.json']],
  ];
  for (const [arg, text, entries] of cases) {
    const got = await take(folder, arg);
    assert.is(got.text, text, arg);
    assert.equal(got.entries, entries, arg);
  }
});

test('what names nothing here passes untouched', async () => {
  using folder = tree();
  for (const arg of [
    '',
    '-v',
    '--top',
    '20',
    'nothing.json',
    '--x=nothing',
    's/a/b/g',
    'http://x/y',
    'https://x/in.json',
    '/no/such/file',
    'a\nb',
    '/dev/null',
    '/dev/nothing',
    '/toplevel',
    `x${'y'.repeat(5000)}`,
    'in.json/x',
    '{"a": 1}',
    '-',
  ]) {
    assert.equal(await take(folder, arg), { text: arg, entries: [], notes: [] }, arg.slice(0, 40));
  }
});

test('a folder comes without what nobody means, its empty folders too', async () => {
  using folder = tree();
  const expected = ['data/a.txt', 'data/deep/b.txt', 'data/empty/'];
  assert.equal(await take(folder, 'data'), { text: 'data', entries: expected, notes: [] });
  assert.equal(await take(folder, folder.at('work/data/')), { text: 'data', entries: expected, notes: [] });
  assert.equal((await take(folder, '.')).entries, [...expected, 'in.json', 'out/']);
});

test('a folder keeps its mode', async () => {
  using folder = tree();
  folder.write({ 'work/data/usual/x': 'x' });
  for (const path of ['data', 'data/usual', 'data/deep']) chmodSync(folder.at(`work/${path}`), 0o755);
  chmodSync(folder.at('work/data/deep'), 0o711);
  const inputs = (await plan(folder, 'true', ['data'])).spec.inputs ?? [];
  assert.equal(
    inputs.filter((each) => each.folder === true && each.path !== 'data/empty'),
    [{ path: 'data/deep', folder: true, mode: 0o711 }],
  );
});

test('.skeinignore leaves files out, here and in the folder itself', async () => {
  using folder = tree();
  folder.write({
    'work/.skeinignore': '*.tmp\n/data/deep\n',
    'work/data/x.tmp': 'x',
    'work/data/.skeinignore': 'a.*\n!a.keep\n',
    'work/data/a.keep': 'k',
  });
  assert.equal((await take(folder, 'data')).entries, ['data/.skeinignore', 'data/a.keep', 'data/empty/']);
});

test('a folder outside stays here and a line says so; the disk and the home folder are an error', async () => {
  using folder = tree();
  const other = await take(folder, '../other');
  assert.equal([other.text, other.entries], ['../other', []]);
  assert.match(other.notes[0] ?? '', /--input \.\.\/other/);
  assert.is((await failure(take(folder, '/'))).code, 'usage');
  assert.is((await failure(take(folder, folder.at('home')))).code, 'usage');
});

test('a link within the folder stays a link, one that leads out becomes the file that it shows', async () => {
  using folder = tree();
  folder.write({
    'work/links/real.txt': 'r',
    'work/links/to-real': { link: 'real.txt' },
    'work/links/absolute': { link: folder.at('work/links/real.txt') },
    'work/links/dangling': { link: 'nothing' },
    'work/links/out-file': { link: folder.at('other/o.txt') },
    'work/links/out-folder': { link: folder.at('other') },
  });
  const { entries, notes } = await take(folder, 'links');
  assert.equal(entries, [
    'links/absolute -> real.txt',
    'links/dangling -> nothing',
    'links/out-file',
    'links/real.txt',
    'links/to-real -> real.txt',
  ]);
  assert.is(notes.length, 2);
  assert.match(notes[0] ?? '', /out-folder/);
  assert.match(
    notes[1] ?? '',
    /a link leads out of links; the file it shows goes along: .*out-file -> .*other\/o\.txt/,
  );
});

test('an output argument finds its folder there', async () => {
  using folder = tree();
  const outside = `_skein/root${folder.at('other')}`;
  assert.equal(await take(folder, 'out/x.json'), { text: 'out/x.json', entries: ['out/'], notes: [] });
  assert.equal(await take(folder, '--out=data/deep/new'), {
    text: '--out=data/deep/new',
    entries: ['data/deep/'],
    notes: [],
  });
  assert.equal(await take(folder, '../other/new.txt'), {
    text: `${outside}/new.txt`,
    entries: [`${outside}/`],
    notes: [],
  });
  assert.equal(await take(folder, folder.at('work/new.txt')), { text: 'new.txt', entries: [], notes: [] });
  assert.equal(await take(folder, './new.txt'), { text: './new.txt', entries: [], notes: [] });
});

test('a name below a link of the user’s own keeps its spelling', async () => {
  using folder = tree();
  folder.write({ 'work/big': { link: folder.at('other') } });
  assert.equal(await take(folder, 'big/o.txt'), { text: 'big/o.txt', entries: ['big/o.txt'], notes: [] });
  assert.equal(await take(folder, 'big/new.txt'), { text: 'big/new.txt', entries: ['big/'], notes: [] });
});

test('the way back needs no table, and only leads where an argument pointed', () => {
  assert.equal(localPath('a/b', '/out'), { path: '/out/a/b', outside: false });
  assert.equal(localPath('_skein/root/data/x', '/out'), { path: '/data/x', outside: true });
  assert.equal(
    outsideFolders(['--o=_skein/root/data/in/x.json', '_skein/root/data/out/{/.}.json', 'plain', '_skein/root/x']),
    ['/data/in', '/data/out'],
  );
  assert.equal(outsideFolders(['_skein/root/{}']), []);
});

test('only names that stay below their folder are safe', () => {
  for (const path of ['a', 'a/b', '.a', 'a/..b', 'ünï cödé\n']) assert.ok(isSafePath(path), path);
  for (const path of ['', '/a', '..', 'a/..', '../a', 'a//b', './a', 'a/', 'a\0b'])
    assert.not.ok(isSafePath(path), path);
});

test('a script is a file here, a command, or each item', () => {
  using folder = tree();
  folder.write({ 'work/s.py': 'x', 'work/tool': '#!/usr/bin/env -S perl -w\n', 'work/plain': 'x', 'work/bin': 'x' });
  chmodSync(folder.at('work/bin'), 0o755);
  const find = (script: string, runtime?: string) => findScript(script, runtime, folder.at('work'));
  const starter = (script: string, runtime?: string) => {
    const found = find(script, runtime);
    return [found.kind, found.interpreter];
  };
  assert.equal(starter('s.py'), ['file', ['python3']]);
  assert.equal(starter('./s.py', 'python3.12'), ['file', ['python3.12']]);
  assert.equal(starter('tool'), ['file', ['perl', '-w']]);
  assert.equal(starter('bin'), ['file', undefined]);
  assert.equal(starter('ffmpeg'), ['command', undefined]);
  assert.equal(starter('data'), ['command', undefined]);
  assert.equal(starter('{}'), ['items', undefined]);
  const code = (script: string, runtime?: string): number => {
    try {
      find(script, runtime);
    } catch (error) {
      return error instanceof ScriptError ? error.exitCode : 0;
    }
    return -1;
  };
  assert.is(code('nosuch.py'), 127);
  assert.is(code('./nosuch'), 127);
  assert.is(code('plain'), 126);
  assert.is(code('./data'), 126);
  assert.is(code('.'), 126);
  assert.is(code('s.py', 'cobol'), 127);
});

test('items come from a glob in bytewise order, named by what follows its fixed part', async () => {
  using folder = testFolder();
  folder.write({
    'in/b.json': '',
    'in/a.json': '',
    'in/Z.json': '',
    'in/é.json': '',
    'in/deep/a.json': '',
    'in/x.txt': '',
  });
  const glob = (pattern: string) => readItems({ kind: 'glob', pattern }, folder.path, process.stdin, never);
  assert.equal(
    (await glob('in/*.json')).map(({ value, name }) => [value, name]),
    [
      ['in/Z.json', 'Z.json'],
      ['in/a.json', 'a.json'],
      ['in/b.json', 'b.json'],
      ['in/é.json', 'é.json'],
    ],
  );
  assert.equal(
    (await glob('**/a.json')).map(({ name }) => name),
    ['in/a.json', 'in/deep/a.json'],
  );
  assert.equal(
    (await glob(folder.at('in/*.txt'))).map(({ value, name }) => [value, name]),
    [[folder.at('in/x.txt'), 'x.txt']],
  );
  assert.equal(
    (await glob('in/de*')).map(({ value }) => value),
    ['in/deep'],
  );
  assert.is((await failure(glob('in/*.nothing'))).code, 'no-match');
  assert.is(fixedPart('in/2026/*.json'), 'in/2026');
  assert.is(fixedPart('*.json'), '.');
  assert.is(fixedPart('/*/x'), '/');
});

test('items come from lines, NUL-ended texts, a range and JSON', async () => {
  using folder = testFolder();
  folder.write({
    lines: 'one\r\ntwo\n\nthree',
    nul: 'a b\0c\nd\0',
    'items.json': '[1, "x", {"k": 2}]',
    'bad.json': '{',
    'object.json': '{}',
    empty: '',
  });
  const values = async (source: Parameters<typeof readItems>[0]) =>
    (await readItems(source, folder.path, process.stdin, never)).map(({ value }) => value);
  assert.equal(await values({ kind: 'lines', file: 'lines', nul: false }), ['one', 'two', 'three']);
  assert.equal(await values({ kind: 'lines', file: 'nul', nul: true }), ['a b', 'c\nd']);
  assert.equal(await values({ kind: 'range', from: -1, to: 1 }), [-1, 0, 1]);
  assert.equal(await values({ kind: 'items', file: 'items.json' }), [1, 'x', { k: 2 }]);
  assert.is((await failure(values({ kind: 'items', file: 'bad.json' }))).code, 'usage');
  assert.is((await failure(values({ kind: 'items', file: 'object.json' }))).code, 'usage');
  assert.is((await failure(values({ kind: 'lines', file: 'empty', nul: false }))).code, 'no-match');
  assert.is((await failure(values({ kind: 'lines', file: 'nowhere', nul: false }))).code, 'no-match');
});

async function plan(
  folder: TestFolder,
  script: string,
  args: readonly string[],
  more: Partial<PlanRequest> = {},
): Promise<Plan> {
  return makePlan(
    {
      script,
      args,
      items: undefined,
      settings: {},
      stdin: undefined,
      paths: pathMap(folder.at('work')),
      home: folder.at('home'),
      outputDir: folder.at('work'),
      umask: 0o022,
      oneStream: false,
      caller: undefined,
      ...more,
    },
    new AbortController().signal,
  );
}

const entriesOf = (made: Plan): readonly ItemEntry[] => {
  const { items } = made.spec;
  if (items === undefined || !('manifest' in items)) throw new Error('no manifest');
  const source = made.uploads.get(items.manifest.sha256);
  if (source?.kind !== 'bytes') throw new Error('no bytes');
  return JSON.parse(Buffer.from(source.bytes).toString()) as ItemEntry[];
};

test('a plan names every file once by its hash, and the script apart', async () => {
  using folder = tree();
  folder.write({ 'work/s.py': 'import helper\n', 'work/helper.py': 'x = 1\n', 'work/same.json': '1' });
  chmodSync(folder.at('work/in.json'), 0o755);
  const made = await plan(folder, 's.py', ['in.json', 'same.json', '--n', '3']);
  assert.equal(made.spec.args, ['in.json', 'same.json', '--n', '3']);
  assert.is(made.spec.script?.path, 's.py');
  assert.equal(
    made.spec.inputs?.map(({ path, mode }) => [path, mode]),
    [
      ['helper.py', 0o644],
      ['in.json', 0o755],
      ['same.json', 0o644],
    ],
  );
  assert.is(made.uploads.size, 3);
  assert.is(made.spec.interpreter, undefined);
  assert.is(made.taskCount, 1);
  assert.is(made.starter, 'python3');
});

test('each item takes its own files along and shared ones stay shared', async () => {
  using folder = tree();
  folder.write({
    'work/s.sh': 'x',
    'work/in/a.json': 'a',
    'work/in/b.json': 'b',
    'work/in/a.txt': 't',
    'work/in/b.txt': 'u',
    'work/common': 'c',
  });
  const items = await readItems({ kind: 'glob', pattern: 'in/*.json' }, folder.at('work'), process.stdin, never);
  const made = await plan(folder, 's.sh', ['common', '{}', '{.}.txt', '../other/{/.}.out'], { items });
  const other = `_skein/root${folder.at('other')}`;
  assert.equal(made.spec.args, ['common', '{}', '{.}.txt', `${other}/{/.}.out`]);
  assert.equal(
    made.spec.inputs?.map(({ path }) => path),
    [`${other}`, 'common'].sort(),
  );
  assert.equal(
    entriesOf(made).map(({ item, name, inputs }) => [item, name, inputs?.map(({ path }) => path)]),
    [
      ['in/a.json', 'a.json', ['in/a.json', 'in/a.txt']],
      ['in/b.json', 'b.json', ['in/b.json', 'in/b.txt']],
    ],
  );
});

test('an item from outside is rewritten, and without a placeholder it comes last', async () => {
  using folder = tree();
  folder.write({ 'work/s.sh': 'x' });
  const made = await plan(folder, 's.sh', ['-v'], {
    items: [
      { value: folder.at('other/o.txt'), name: 'o.txt' },
      { value: '7', name: undefined },
    ],
  });
  assert.equal(made.spec.args, ['-v', '{}']);
  const [first, second] = entriesOf(made);
  assert.is(first?.item, `_skein/root${folder.at('other/o.txt')}`);
  assert.is(first?.name, 'o.txt');
  assert.equal(second, { item: '7' });
});

test('fields of an object that arguments name are taken along and rewritten', async () => {
  using folder = tree();
  folder.write({ 'work/s.sh': 'x' });
  const made = await plan(folder, 's.sh', ['{file}', '{n}'], {
    items: [{ value: { file: folder.at('work/in.json'), n: 3, unused: folder.at('other/o.txt') }, name: undefined }],
  });
  const [entry] = entriesOf(made);
  assert.equal(entry?.item, { file: 'in.json', n: 3, unused: folder.at('other/o.txt') });
  assert.equal(
    entry?.inputs?.map(({ path }) => path),
    ['in.json'],
  );
});

test('plain items ride in the spec while they are few', async () => {
  using folder = tree();
  folder.write({ 'work/s.sh': 'x' });
  const numbers = (count: number) => Array.from({ length: count }, (_, n) => ({ value: n, name: undefined }));
  assert.equal((await plan(folder, 's.sh', [], { items: numbers(3) })).spec.items, { list: [0, 1, 2] });
  const many = await plan(folder, 's.sh', [], { items: numbers(10_000) });
  assert.ok(
    many.spec.items !== undefined && 'manifest' in many.spec.items && many.spec.items.manifest.count === 10_000,
  );
  assert.is(many.taskCount, 10_000);
});

test('two items of one name get two folders', async () => {
  using folder = tree();
  folder.write({ 'work/s.sh': 'x' });
  const made = await plan(folder, 's.sh', [], {
    items: [
      { value: 'in.json', name: undefined },
      { value: 'in.json', name: undefined },
    ],
  });
  assert.equal(
    entriesOf(made).map(({ name }) => name),
    ['in.json', 'in.json.2'],
  );
  folder.write({ 'work/2': 'called like the number of the second' });
  const items = ['2', 'no path'].map((value) => ({ value, name: undefined }));
  assert.equal(
    entriesOf(await plan(folder, 's.sh', [], { items })).map(({ name }) => name),
    ['2.1', undefined],
  );
});

test('with {} as the script each item is started by what it is', async () => {
  using folder = tree();
  folder.write({ 'work/a.py': 'x', 'work/b.py': 'y', 'work/c.sh': 'z' });
  const items = (...names: string[]) => names.map((value) => ({ value, name: undefined }));
  const made = await plan(folder, '{}', ['-v'], { items: items('a.py', 'b.py') });
  assert.equal([made.spec.command, made.spec.interpreter, made.spec.args], [['./{}'], ['python3'], ['-v']]);
  assert.is((await failure(plan(folder, '{}', [], { items: items('a.py', 'c.sh') }))).code, 'usage');
  assert.is((await failure(plan(folder, '{}', []))).code, 'usage');
});

test('--input brings files and folders from anywhere, and one that is not there is an error', async () => {
  using folder = tree();
  folder.write({ 'work/s.sh': 'x' });
  const made = await plan(folder, 's.sh', [], { settings: { input: ['../other', 'data'] } });
  assert.equal(
    made.spec.inputs?.map(({ path }) => path),
    [`_skein/root${folder.at('other/o.txt')}`, 'data/a.txt', 'data/deep/b.txt', 'data/empty'],
  );
  assert.is((await failure(plan(folder, 's.sh', [], { settings: { input: ['nowhere'] } }))).code, 'no-match');
  assert.is((await failure(plan(folder, 's.sh', [], { settings: { input: ['/'] } }))).code, 'usage');
});

test('many inputs ride as a manifest, so that the record stays small', async () => {
  using folder = tree();
  folder.write({
    'work/s.sh': 'x',
    ...Object.fromEntries(Array.from({ length: 200 }, (_, n) => [`work/many/${n}.txt`, String(n)])),
  });
  const made = await plan(folder, 's.sh', ['many']);
  assert.is(made.spec.inputs, undefined);
  assert.is(made.spec.inputsManifest?.count, 200);
  assert.ok(JSON.stringify(made.spec).length < 2000);
});

test('standard input is a blob from where the descriptor stands', async () => {
  using folder = tree();
  folder.write({ 'work/s.sh': 'x', 'work/lines': 'one\ntwo\n' });
  const whole = await plan(folder, 's.sh', [], { stdin: { local: folder.at('work/lines'), start: 0 } });
  const rest = await plan(folder, 's.sh', [], { stdin: { local: folder.at('work/lines'), start: 4 } });
  assert.is.not(whole.spec.stdin?.sha256, rest.spec.stdin?.sha256);
  const source = rest.uploads.get(rest.spec.stdin?.sha256 ?? '');
  assert.equal(source?.kind === 'file' && [source.start, source.sizeBytes], [4, 4]);
});

test('an unreadable file is told before anything is sent', async () => {
  if (process.getuid?.() === 0) return;
  using folder = tree();
  chmodSync(folder.at('work/in.json'), 0);
  assert.is((await failure(take(folder, 'in.json'))).code, 'file-unreadable');
});

test('an empty folder that is named comes along', async () => {
  using folder = tree();
  mkdirSync(folder.at('work/new'));
  assert.equal((await take(folder, 'new')).entries, ['new/']);
});

test.run();
