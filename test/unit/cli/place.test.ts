import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decide, linkMark, type Present } from '../../../node/cli/outputs/decide.ts';
import { download } from '../../../node/cli/outputs/download.ts';
import { type Incoming, type Placed, Placer } from '../../../node/cli/outputs/place.ts';
import { writtenRecord } from '../../../node/cli/outputs/record.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import { type TestFolder, testFolder } from '../../support/folder.ts';

const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex');
const file = (path: string, text: string, mode = 0o644): Incoming => ({
  path,
  kind: 'file',
  mode,
  bytes: text.length,
  sha256: hashOf(text),
  target: null,
});
const link = (path: string, target: string): Incoming => ({
  path,
  kind: 'link',
  mode: null,
  bytes: null,
  sha256: null,
  target,
});

const made = (path: string, mode: number): Incoming => ({
  path,
  kind: 'folder',
  mode,
  bytes: null,
  sha256: null,
  target: null,
});

async function* from(text: string): AsyncIterable<Uint8Array> {
  yield Buffer.from(text);
}

function placer(
  folder: TestFolder,
  more: { overwrite?: boolean; uploaded?: Record<string, string>; outside?: string[] } = {},
): Placer {
  const uploaded = new Map(Object.entries(more.uploaded ?? {}).map(([path, text]) => [folder.at(path), hashOf(text)]));
  return new Placer({
    jobId: 'j-aaaa',
    overwrite: more.overwrite ?? false,
    uploaded: (path) => uploaded.get(path),
    record: writtenRecord(folder.at('state')),
    outside: more.outside ?? [],
  });
}

const put = (to: Placer, folder: TestFolder, path: string, text: string, mode?: number): Promise<Placed> =>
  to.place(file(path, text, mode), folder.at('out'), async (offset) => from(text.slice(offset)));

test('a returned file replaces what is skein’s to replace and nothing else', () => {
  const present = (sha256: string): Present => ({ kind: 'file', sha256 });
  const known = (more: Partial<Parameters<typeof decide>[2]> = {}) => ({
    uploaded: undefined,
    written: undefined,
    overwrite: false,
    ...more,
  });
  const cases: readonly (readonly [Present, Parameters<typeof decide>[2], string])[] = [
    [{ kind: 'nothing' }, known(), 'write'],
    [present('new'), known(), 'same'],
    [present('mine'), known(), 'aside'],
    [present('mine'), known({ overwrite: true }), 'write'],
    [present('up'), known({ uploaded: 'up' }), 'write'],
    [present('edited'), known({ uploaded: 'up' }), 'aside'],
    [present('old'), known({ written: 'old' }), 'write'],
    [present('edited'), known({ written: 'old' }), 'aside'],
    [{ kind: 'other' }, known({ overwrite: true }), 'aside'],
    [{ kind: 'link', target: 'x' }, known({ written: linkMark('x') }), 'write'],
    [{ kind: 'link', target: 'x' }, known(), 'aside'],
  ];
  for (const [at, options, verdict] of cases)
    assert.is(decide(at, 'new', options), verdict, JSON.stringify([at, options]));
});

test('a new result replaces the last one, and a file that was edited since is kept beside it', async () => {
  using folder = testFolder();
  assert.is((await put(placer(folder), folder, 'deep/r.csv', 'one', 0o755)).kind, 'written');
  assert.is(statSync(folder.at('out/deep/r.csv')).mode & 0o777, 0o755);
  assert.is((await put(placer(folder), folder, 'deep/r.csv', 'two')).kind, 'written');
  assert.is((await put(placer(folder), folder, 'deep/r.csv', 'two')).kind, 'same');
  writeFileSync(folder.at('out/deep/r.csv'), 'edited');
  const aside = await put(placer(folder), folder, 'deep/r.csv', 'three');
  assert.equal([aside.kind, aside.path], ['aside', folder.at('out/deep/r.csv.j-aaaa')]);
  assert.match(aside.note ?? '', /r\.csv\.j-aaaa/);
  assert.is(readFileSync(folder.at('out/deep/r.csv'), 'utf8'), 'edited');
  assert.is(readFileSync(aside.path, 'utf8'), 'three');
  assert.is((await put(placer(folder, { overwrite: true }), folder, 'deep/r.csv', 'three')).kind, 'written');
  assert.is(readFileSync(folder.at('out/deep/r.csv'), 'utf8'), 'three');
});

test('what was changed since, also while the bytes came or beside the place, stays', async () => {
  using folder = testFolder();
  const to = placer(folder);
  const slow = await to.place(file('r', 'new'), folder.at('out'), async () => {
    writeFileSync(folder.at('out/r'), 'typed meanwhile');
    return from('new');
  });
  assert.equal([slow.kind, readFileSync(folder.at('out/r'), 'utf8')], ['aside', 'typed meanwhile']);
  writeFileSync(folder.at('out/r.j-aaaa'), 'edited too');
  const again = await put(to, folder, 'r', 'newer');
  assert.equal([again.path, readFileSync(again.path, 'utf8')], [folder.at('out/r.j-aaaa.2'), 'newer']);
  assert.is(readFileSync(folder.at('out/r.j-aaaa'), 'utf8'), 'edited too');
});

test('a link that a result brought is replaced, never written through', async () => {
  using folder = testFolder();
  folder.write({ 'out/run-1.csv': 'one' });
  const to = placer(folder);
  await to.place(link('latest.csv', 'run-1.csv'), folder.at('out'), () => Promise.reject(new Error('no bytes')));
  assert.is((await put(to, folder, 'latest.csv', 'two')).kind, 'written');
  assert.is(readFileSync(folder.at('out/run-1.csv'), 'utf8'), 'one');
  assert.not.ok(lstatSync(folder.at('out/latest.csv')).isSymbolicLink());
});

test('an uploaded file may be replaced by what the script made of it, a stranger may not', async () => {
  using folder = testFolder();
  folder.write({ 'out/data': 'before', 'out/mine': 'mine' });
  const to = placer(folder, { uploaded: { 'out/data': 'before' } });
  assert.is((await put(to, folder, 'data', 'after')).kind, 'written');
  assert.is((await put(to, folder, 'mine', 'other')).kind, 'aside');
  assert.is(readFileSync(folder.at('out/mine'), 'utf8'), 'mine');
});

test('a changed mode alone comes back too', async () => {
  using folder = testFolder();
  folder.write({ 'out/tool': 'same' });
  assert.is(
    (await put(placer(folder, { uploaded: { 'out/tool': 'same' } }), folder, 'tool', 'same', 0o755)).kind,
    'same',
  );
  assert.is(statSync(folder.at('out/tool')).mode & 0o777, 0o755);
});

test('names that lead out are refused', async () => {
  using folder = testFolder();
  for (const path of ['../x', '/etc/x', 'a/../../x', '', 'a//b', 'a/./b']) {
    assert.is((await put(placer(folder), folder, path, 'x')).kind, 'refused', path);
  }
  assert.not.ok(existsSync(folder.at('x')));
});

test('a place outside is used only where an argument of the job pointed', async () => {
  using folder = testFolder();
  const inside = `_skein/root${folder.at('other/deep/x')}`;
  assert.is((await put(placer(folder), folder, inside, 'x')).kind, 'refused');
  assert.is((await put(placer(folder, { outside: [folder.at('oth')] }), folder, inside, 'x')).kind, 'refused');
  const placed = await put(placer(folder, { outside: [folder.at('other')] }), folder, inside, 'x');
  assert.equal([placed.kind, placed.path], ['written', folder.at('other/deep/x')]);
});

test('links come back as links, and nothing is written through one that a result brought', async () => {
  using folder = testFolder();
  folder.write({ victim: null });
  const to = placer(folder);
  assert.is(
    (await to.place(link('way', folder.at('victim')), folder.at('out'), () => Promise.reject(new Error('no bytes'))))
      .kind,
    'written',
  );
  assert.is(readlinkSync(folder.at('out/way')), folder.at('victim'));
  assert.is((await put(placer(folder), folder, 'way/authorized_keys', 'x')).kind, 'refused');
  assert.equal(readdirSync(folder.at('victim')), []);
  assert.is(
    (await to.place(link('way', 'elsewhere'), folder.at('out'), () => Promise.reject(new Error('no bytes')))).kind,
    'written',
  );
});

test('a link of the user’s own is followed, as a local run would', async () => {
  using folder = testFolder();
  folder.write({ big: null, 'out/way': { link: '../big' }, 'big/data': 'before', 'out/data': { link: '../big/data' } });
  assert.is((await put(placer(folder), folder, 'way/x', 'x')).kind, 'written');
  assert.is(readFileSync(folder.at('big/x'), 'utf8'), 'x');
  assert.is(
    (await put(placer(folder, { uploaded: { 'out/data': 'before' } }), folder, 'data', 'after')).kind,
    'written',
  );
  assert.ok(lstatSync(folder.at('out/data')).isSymbolicLink());
  assert.is(readFileSync(folder.at('big/data'), 'utf8'), 'after');
});

test('a folder in the way is not replaced', async () => {
  using folder = testFolder();
  folder.write({ 'out/name': null });
  assert.is((await put(placer(folder, { overwrite: true }), folder, 'name', 'x')).kind, 'aside');
});

test('a folder gets its mode once it is filled; one of the user’s keeps its own; nothing is replaced by one', async () => {
  using folder = testFolder();
  folder.write({ 'out/mine': null, 'out/file': 'text' });
  const to = placer(folder);
  const finish = await to.placeFolder(made('closed', 0o500), folder.at('out'));
  assert.is((await put(to, folder, 'closed/file', 'text')).kind, 'written');
  if (typeof finish === 'function') await finish();
  assert.is(statSync(folder.at('out/closed')).mode & 0o777, 0o500);
  assert.is(await to.placeFolder(made('mine', 0o700), folder.at('out')), undefined);
  assert.is(statSync(folder.at('out/mine')).mode & 0o777, 0o755);
  for (const path of ['file', '../outside', 'mine/../../x']) {
    const refused = await to.placeFolder(made(path, 0o755), folder.at('out'));
    assert.is(typeof refused === 'object' && refused.kind, 'refused', path);
  }
});

test('a download goes on where it broke off, and is verified whole', async () => {
  using folder = testFolder();
  const whole = { path: folder.at('x/file'), sizeBytes: 6, mode: 0o600, sha256: hashOf('abcdef') };
  async function* broken(): AsyncIterable<Uint8Array> {
    yield Buffer.from('abc');
    throw new SkeinError('transfer-failed', 'cut');
  }
  const cut = await download(whole, async () => broken()).catch((error: unknown) => error);
  assert.is(cut instanceof SkeinError && cut.code, 'transfer-failed');
  assert.not.ok(existsSync(whole.path));
  const offsets: number[] = [];
  await download(whole, async (offset) => {
    offsets.push(offset);
    return from('abcdef'.slice(offset));
  });
  assert.equal(offsets, [3]);
  assert.is(readFileSync(whole.path, 'utf8'), 'abcdef');
  assert.equal(readdirSync(folder.at('x')), ['file']);
});

test('two files of the same bytes come at once', async () => {
  using folder = testFolder();
  const sha256 = hashOf('abcdef');
  async function* slowly(): AsyncIterable<Uint8Array> {
    for (const letter of 'abcdef') yield Buffer.from(letter);
  }
  const places = ['a', 'b', 'c'].map((name) => folder.at(name));
  await Promise.all(places.map((path) => download({ path, sizeBytes: 6, mode: 0o600, sha256 }, async () => slowly())));
  for (const path of places) assert.is(readFileSync(path, 'utf8'), 'abcdef');
});

test('two at once that bring the same bytes do not meet, and what a dead one left is taken over', async () => {
  using folder = testFolder();
  const sha256 = hashOf('abcdef');
  const large = { path: folder.at('file'), sizeBytes: 1 << 20, mode: 0o600, sha256 };
  const mark = hashOf(`${sha256} ${folder.at('file')}`).slice(0, 24);
  const part = (pid: number): string => `.skein-${mark}-${pid}.part`;
  // No system counts that far.
  const dead = 2 ** 30;
  folder.write({ [part(process.ppid)]: 'abcdeX', [part(dead)]: 'abcd' });
  const offsets: number[] = [];
  await download(large, async (offset) => {
    offsets.push(offset);
    return from('abcdef'.slice(offset));
  });
  assert.equal(offsets, [4]);
  assert.equal(readdirSync(folder.path).sort(), [part(process.ppid), 'file'].sort());
});

test('bytes that are not those of the hash are thrown away', async () => {
  using folder = testFolder();
  const wrong = await download({ path: folder.at('f'), sizeBytes: 5, mode: 0o600, sha256: hashOf('right') }, async () =>
    from('wrong'),
  ).catch((error: unknown) => error);
  assert.is(wrong instanceof SkeinError && wrong.code, 'digest-mismatch');
  assert.equal(readdirSync(folder.path), []);
});

test('a log of a task is placed by the same rules', async () => {
  using folder = testFolder();
  const path = folder.at('out/stdout');
  assert.is((await placer(folder).placeStream(path, from('one'))).kind, 'written');
  assert.is((await placer(folder).placeStream(path, from('one'))).kind, 'same');
  assert.is((await placer(folder).placeStream(path, from('two'))).kind, 'written');
  writeFileSync(path, 'mine');
  assert.is((await placer(folder).placeStream(path, from('three'))).kind, 'aside');
  assert.equal(readdirSync(folder.at('out')).sort(), ['stdout', 'stdout.j-aaaa']);
});

test('the record survives a cut line and stays short', async () => {
  using folder = testFolder();
  const path = folder.at('out/x');
  const record = writtenRecord(folder.path);
  for (let n = 0; n < 1000; n += 1) await record.note(path, String(n));
  const [bucket = ''] = readdirSync(folder.at('written'));
  const text = readFileSync(folder.at('written', bucket), 'utf8');
  assert.ok(text.split('\n').length < 600);
  writeFileSync(folder.at('written', bucket), `${text}["cut`);
  assert.is(await writtenRecord(folder.path).lookUp(path), '999');
});

test.run();
