// An attempt's folder: what is staged is there and nowhere else, what the script leaves comes back and nothing else.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FileBlobStore } from '../../../node/blob/files.ts';
import type { BlobStore } from '../../../node/blob/port.ts';
import { realClock } from '../../../node/clock.ts';
import { type AttemptFolder, removeAttemptFolder } from '../../../node/files/attempt-folder.ts';
import { type Collected, collectOutputs } from '../../../node/files/collect.ts';
import { readManifest } from '../../../node/files/manifests.ts';
import { stageAttempt } from '../../../node/files/stage.ts';
import type { InputFile } from '../../../protocol/api/jobspec.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import type { Sha256 } from '../../../protocol/ids.ts';
import type { OutputFile, Span } from '../../../protocol/state/result.ts';
import { outputManifest } from '../../../protocol/wire/manifest.ts';

interface Context {
  root: string;
  store: BlobStore;
  stage: (inputs: InputFile[], stdin?: Sha256) => Promise<AttemptFolder>;
  collect: () => Promise<Collected>;
  /** Keeps a text as a blob. */
  keep: (text: string) => Promise<Sha256>;
  /** The outputs as `path: text`, links as `path -> target`. */
  left: () => Promise<string[]>;
}

const test = suite<Context>('files of an attempt');
const hashOf = (bytes: Uint8Array | string): Sha256 => createHash('sha256').update(bytes).digest('hex') as Sha256;

async function* from(bytes: Uint8Array | string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(bytes);
}

async function bytesOf(store: BlobStore, span: Span): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of await store.read(span.blob, span)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function filesOf(store: BlobStore, { outputs }: Collected): Promise<OutputFile[]> {
  if (outputs.kind === 'inline') return [...outputs.files];
  const files: OutputFile[] = [];
  for await (const file of readManifest(store, outputs.blob, outputManifest())) files.push(file);
  return files;
}

async function failure(work: Promise<unknown>): Promise<SkeinError> {
  try {
    await work;
  } catch (error) {
    assert.instance(error, SkeinError);
    return error as SkeinError;
  }
  throw new Error('nothing failed');
}

// One store for all: a fresh one costs more than most of these tests.
const clock = realClock();
const home = await mkdtemp(join(tmpdir(), 'skein-files-'));
const shared = new FileBlobStore({ clock }, { folder: home, reserve: 0, durable: true });

test.before(() => shared.start());
test.after(() => rm(home, { recursive: true, force: true }));
test.before.each(async (context) => {
  context.root = await mkdtemp(join(home, 'root-'));
  context.store = shared;
  const folder = join(context.root, 'attempt');
  context.keep = async (text) => (await context.store.put(from(text), {})).sha256;
  context.stage = (inputs, stdin) =>
    stageAttempt({ store: context.store, clock }, { folder, inputs, stdin: stdin ?? null });
  context.collect = () => collectOutputs({ store: context.store }, folder);
  context.left = async () => {
    const files = await filesOf(context.store, await context.collect());
    const lines = files.map(async (file) => {
      if (file.kind === 'link') return `${file.path} -> ${file.target}`;
      if (file.kind === 'folder') return `${file.path}/ ${file.mode.toString(8)}`;
      return `${file.path}: ${(await bytesOf(context.store, file.span)).toString().slice(0, 20)}`;
    });
    return Promise.all(lines);
  };
});
test.after.each(async ({ root }) => {
  await rm(root, { recursive: true, force: true });
});

test('files, modes, links and empty folders are staged as they were', async ({ stage, keep, collect }) => {
  const { workFolder, homeFolder, tmpFolder, stdinFile } = await stage(
    [
      { path: 'run.sh', sha256: await keep('#!/bin/sh\n'), mode: 0o755 },
      { path: 'in/deep/a.txt', sha256: await keep('a') },
      { path: 'in/link', link: 'deep/a.txt' },
      { path: 'in/up', link: '../run.sh' },
      { path: 'out', folder: true },
      { path: 'in/deep', folder: true },
      { path: 'run.sh', sha256: await keep('#!/bin/sh\n'), mode: 0o755 },
    ],
    await keep('typed'),
  );
  assert.is(statSync(join(workFolder, 'run.sh')).mode & 0o777, 0o755);
  assert.is(readFileSync(join(workFolder, 'in/deep/a.txt'), 'utf8'), 'a');
  assert.is(statSync(join(workFolder, 'in/deep/a.txt')).mode & 0o777, 0o644);
  assert.is(readFileSync(join(workFolder, 'in/link'), 'utf8'), 'a');
  assert.is(readlinkSync(join(workFolder, 'in/up')), '../run.sh');
  assert.ok(statSync(join(workFolder, 'out')).isDirectory());
  assert.is(readFileSync(stdinFile, 'utf8'), 'typed');
  assert.ok(existsSync(homeFolder) && existsSync(tmpFolder));
  const collected = await collect();
  assert.equal(collected.outputs, { kind: 'inline', files: [] });
});

test('staging again starts from nothing', async ({ stage, keep }) => {
  const { workFolder } = await stage([{ path: 'a', sha256: await keep('1') }]);
  writeFileSync(join(workFolder, 'half'), 'x');
  await stage([{ path: 'a', sha256: await keep('2') }]);
  assert.not(existsSync(join(workFolder, 'half')));
  assert.is(readFileSync(join(workFolder, 'a'), 'utf8'), '2');
});

test('a missing blob is said by its name', async ({ stage }) => {
  const error = await failure(stage([{ path: 'a', sha256: hashOf('nowhere') }]));
  assert.is(error.code, 'not-found');
  assert.match(error.message, hashOf('nowhere'));
});

for (const path of ['../out', 'a/../../out', '/etc/out', 'a//b', './a', 'a/', '', 'a\0b', '\ud800', 'x'.repeat(256)]) {
  test(`the path ${JSON.stringify(path).slice(0, 20)} is refused`, async ({ stage, keep, root }) => {
    const error = await failure(stage([{ path, sha256: await keep('x') }]));
    assert.is(error.code, 'invalid-request');
    assert.not(existsSync(join(root, 'out')));
  });
}

for (const [path, target] of [
  ['l', '..'],
  ['l', '/etc/passwd'],
  ['a/l', '../../x'],
  ['a/l', '../b/../../x'],
  ['l', ''],
] as const) {
  test(`a link ${path} to ${JSON.stringify(target)} is refused`, async ({ stage }) => {
    assert.is((await failure(stage([{ path, link: target }]))).code, 'invalid-request');
  });
}

test('nothing is put below a link or a file, in whatever order they come', async ({ stage, keep, root }) => {
  const sha256 = await keep('x');
  mkdirSync(join(root, 'outside'));
  const link = { path: 'd', link: 'e' };
  const below = { path: 'd/f', sha256 };
  const file = { path: 'd', sha256 };
  for (const inputs of [
    [link, below],
    [below, link],
    [file, below],
    [below, file],
    [link, { path: 'd/g', folder: true }],
    [link, { path: 'd/g', link: 'h' }],
    [file, link],
  ]) {
    assert.is((await failure(stage(inputs))).code, 'invalid-request');
  }
});

test('an input is one thing', async ({ stage, keep }) => {
  const sha256 = await keep('x');
  assert.is((await failure(stage([{ path: 'a' }]))).code, 'invalid-request');
  assert.is((await failure(stage([{ path: 'a', sha256, link: 'b' }]))).code, 'invalid-request');
  assert.is(
    (
      await failure(
        stage([
          { path: 'a', sha256 },
          { path: 'a', sha256: await keep('y') },
        ]),
      )
    ).code,
    'invalid-request',
  );
});

test('a script that writes nothing leaves no blob', async ({ stage, collect, store }) => {
  const { stdoutFile } = await stage([]);
  writeFileSync(stdoutFile, '');
  const before = await store.usage();
  assert.equal(await collect(), {
    stdout: null,
    stderr: null,
    outputs: { kind: 'inline', files: [] },
    blobs: [],
    notes: [],
  });
  assert.equal(await store.usage(), before);
});

test('both streams and the small files share one blob', async ({ stage, collect, store, left }) => {
  const { workFolder, stdoutFile, stderrFile } = await stage([]);
  writeFileSync(stdoutFile, 'printed\n');
  writeFileSync(stderrFile, 'complained\n');
  mkdirSync(join(workFolder, 'out/deep'), { recursive: true });
  writeFileSync(join(workFolder, 'out/deep/b.bin'), Buffer.from([0, 255, 10, 13]));
  writeFileSync(join(workFolder, 'a'), 'A');
  writeFileSync(join(workFolder, 'empty'), '');
  const collected = await collect();
  assert.is(collected.blobs.length, 1);
  assert.is((await bytesOf(store, collected.stdout as Span)).toString(), 'printed\n');
  assert.is((await bytesOf(store, collected.stderr as Span)).toString(), 'complained\n');
  const files = await filesOf(store, collected);
  assert.equal(
    files.map((file) => file.path),
    ['a', 'empty', 'out/deep/b.bin'],
  );
  const binary = files[2] as OutputFile & { kind: 'file' };
  assert.equal([...(await bytesOf(store, binary.span))], [0, 255, 10, 13]);
  assert.is(binary.sha256, hashOf(Buffer.from([0, 255, 10, 13])));
  assert.equal(await left(), ['a: A', 'empty: ', 'out/deep/b.bin: \0\ufffd\n\r']);
});

test('an empty output alone comes back', async ({ stage, collect, store }) => {
  const { workFolder } = await stage([]);
  writeFileSync(join(workFolder, 'flag'), '');
  const [file] = await filesOf(store, await collect());
  assert.is(file?.kind === 'file' && file.span.sizeBytes, 0);
  assert.ok(await store.stat((file as OutputFile & { kind: 'file' }).span.blob));
});

test('folders come back where nothing in them would make them anew', async ({ stage, left }) => {
  const { workFolder } = await stage([
    { path: 'in/empty', folder: true },
    { path: 'in/private', folder: true, mode: 0o700 },
    { path: 'in/changed', folder: true },
  ]);
  const made = (path: string, mode: number): void => {
    mkdirSync(join(workFolder, path), { recursive: true });
    chmodSync(join(workFolder, path), mode);
  };
  for (const path of ['made/empty', 'made/private', 'full']) made(path, 0o755);
  for (const path of ['made/private/file', 'full/file']) writeFileSync(join(workFolder, path), '');
  chmodSync(join(workFolder, 'made/private'), 0o700);
  chmodSync(join(workFolder, 'in/changed'), 0o750);
  assert.equal(await left(), [
    'full/file: ',
    'in/changed/ 750',
    'made/empty/ 755',
    'made/private/ 700',
    'made/private/file: ',
  ]);
});

test('a large file is a blob of its own, without a copy, and stays in the folder', async ({
  stage,
  collect,
  store,
}) => {
  const { workFolder, stdoutFile } = await stage([]);
  const bytes = Buffer.alloc(300_000, 'x');
  writeFileSync(join(workFolder, 'large'), bytes, { mode: 0o700 });
  writeFileSync(stdoutFile, Buffer.alloc(400_000, 'y'));
  const collected = await collect();
  const [file] = await filesOf(store, collected);
  assert.equal(file, {
    kind: 'file',
    path: 'large',
    mode: 0o700,
    sha256: hashOf(bytes),
    span: { blob: hashOf(bytes), offset: 0, sizeBytes: 300_000 },
  });
  assert.is(collected.stdout?.sizeBytes, 400_000);
  assert.is(collected.blobs.length, 2);
  const blob = join(home, 'blobs', hashOf(bytes).slice(0, 2), hashOf(bytes));
  assert.is(statSync(blob).ino, statSync(join(workFolder, 'large')).ino);
});

test('collecting again gives the same, as after a kill half way', async ({ stage, collect, keep }) => {
  const { workFolder, stdoutFile } = await stage([{ path: 'in', sha256: await keep('in') }]);
  writeFileSync(stdoutFile, 'out');
  for (let n = 0; n < 20; n++) writeFileSync(join(workFolder, `small-${n}`), `${n}`);
  writeFileSync(join(workFolder, 'large'), Buffer.alloc(300_000, 'x'));
  writeFileSync(join(workFolder, 'in'), 'changed');
  const first = await collect();
  assert.is(first.outputs.kind, 'manifest');
  assert.equal(await collect(), first);
});

test('more than 16 files are listed in a manifest', async ({ stage, collect, store }) => {
  const { workFolder } = await stage([]);
  for (let n = 10; n < 27; n++) writeFileSync(join(workFolder, `f${n}`), 'abc');
  const collected = await collect();
  assert.is(collected.outputs.kind, 'manifest');
  if (collected.outputs.kind !== 'manifest') return;
  assert.is(collected.outputs.files, 17);
  assert.is(collected.outputs.sizeBytes, 51);
  assert.ok(collected.blobs.includes(collected.outputs.blob));
  const files = await filesOf(store, collected);
  assert.is(files.length, 17);
  assert.is(files[16]?.path, 'f26');
});

test('only what changed comes back, and what was deleted does not', async ({ stage, keep, left }) => {
  const names = ['same', 'touched', 'rewritten', 'edited', 'replaced', 'longer', 'gone', 'executable', 'aged'];
  const inputs: InputFile[] = [];
  for (const name of names) inputs.push({ path: name, sha256: await keep(`text of ${name}`) });
  const { workFolder } = await stage(inputs);
  const at = (name: string): string => join(workFolder, name);
  utimesSync(at('touched'), 1, 1);
  writeFileSync(at('rewritten'), 'text of rewritten');
  writeFileSync(at('edited'), 'TEXT OF EDITED');
  writeFileSync(at('new'), 'text of REPLACED');
  renameSync(at('new'), at('replaced'));
  appendFileSync(at('longer'), '!');
  rmSync(at('gone'));
  chmodSync(at('executable'), 0o755);
  const { mtimeMs } = statSync(at('aged'));
  writeFileSync(at('aged'), 'TEXT OF AGED');
  utimesSync(at('aged'), mtimeMs / 1000, mtimeMs / 1000);
  assert.equal(await left(), [
    'aged: TEXT OF AGED',
    'edited: TEXT OF EDITED',
    'executable: text of executable',
    'longer: text of longer!',
    'replaced: text of REPLACED',
  ]);
});

test('a large input that was written again with the same bytes is no output', async ({ stage, keep, left }) => {
  const text = 'z'.repeat(300_000);
  const { workFolder } = await stage([{ path: 'large', sha256: await keep(text) }]);
  writeFileSync(join(workFolder, 'large'), text);
  assert.equal(await left(), []);
});

test('a change in the very moment after staging is seen', async ({ stage, keep, left }) => {
  const sha256 = await keep('aaaa');
  for (let round = 0; round < 10; round++) {
    const { workFolder } = await stage([{ path: 'in', sha256 }]);
    writeFileSync(join(workFolder, 'in'), 'bbbb');
    assert.equal(await left(), ['in: bbbb']);
  }
});

test('links inside stay links, those that lead out are left behind and said', async ({
  stage,
  collect,
  left,
  root,
}) => {
  const { workFolder } = await stage([{ path: 'known', link: 'a' }]);
  const at = (name: string): string => join(workFolder, name);
  mkdirSync(at('d'));
  writeFileSync(at('a'), 'A');
  writeFileSync(join(root, 'secret'), 'secret');
  symlinkSync('../a', at('d/up'));
  symlinkSync(at('a'), at('d/full'));
  symlinkSync('nowhere', at('dangling'));
  symlinkSync('../../secret', at('out'));
  symlinkSync(join(root, 'secret'), at('far'));
  symlinkSync('d/../../../secret', at('sly'));
  symlinkSync('d', at('folder'));
  assert.equal(await left(), ['a: A', 'd/full -> ../a', 'd/up -> ../a', 'dangling -> nowhere', 'folder -> d']);
  const { notes } = await collect();
  assert.equal(notes, [
    '"far" was left behind: it is a link that points to an absolute path',
    '"out" was left behind: it is a link that points out of its folder',
    `"sly" was left behind: it is a link that has a '..' behind a name`,
  ]);
});

test('a file replaced by a link, and a link that points elsewhere now, come back', async ({ stage, keep, left }) => {
  const { workFolder } = await stage([
    { path: 'f', sha256: await keep('f') },
    { path: 'l', link: 'f' },
  ]);
  rmSync(join(workFolder, 'f'));
  symlinkSync('l', join(workFolder, 'f'));
  rmSync(join(workFolder, 'l'));
  symlinkSync('g', join(workFolder, 'l'));
  assert.equal(await left(), ['f -> l', 'l -> g']);
});

test('pipes and names that are not UTF-8 are left behind and said; odd names come back', async ({
  stage,
  collect,
  left,
}) => {
  const { workFolder } = await stage([]);
  execFileSync('mkfifo', [join(workFolder, 'pipe')]);
  writeFileSync(Buffer.concat([Buffer.from(`${workFolder}/bad`), Buffer.from([0xff])]), 'x');
  const odd = ['-rf', 'a b', 'new\nline', '\ufeffmark', 'ünïcödé', '"quoted"', 'back\\slash'];
  for (const name of odd) writeFileSync(join(workFolder, name), 'x');
  const names = (await left()).map((line) => line.slice(0, -3));
  assert.equal(names.sort(), [...odd].sort());
  const { notes } = await collect();
  assert.is(notes.length, 2);
  assert.match(notes[0] ?? '', 'not UTF-8');
  assert.match(notes[1] ?? '', 'neither file nor link');
});

test('the notes are few, however much is left behind', async ({ stage, collect }) => {
  const { workFolder } = await stage([]);
  for (let n = 0; n < 25; n++) symlinkSync('/etc/hosts', join(workFolder, `l${n}`));
  const { notes } = await collect();
  assert.is(notes.length, 11);
  assert.is(notes[10], '15 more were left behind');
});

test('a stream that was replaced by a link is not followed', async ({ stage, collect, root }) => {
  const { stdoutFile } = await stage([]);
  writeFileSync(join(root, 'secret'), 'secret');
  symlinkSync(join(root, 'secret'), stdoutFile);
  assert.is((await failure(collect())).code, 'file-unreadable');
});

test('a work folder that was replaced by a link is not gone through', async ({ stage, collect, root }) => {
  const { workFolder } = await stage([]);
  mkdirSync(join(root, 'other'));
  writeFileSync(join(root, 'other/secret'), 'secret');
  rmSync(workFolder, { recursive: true });
  symlinkSync(join(root, 'other'), workFolder);
  const collected = await collect();
  assert.equal(collected.outputs, { kind: 'inline', files: [] });
  assert.is(collected.notes.length, 1);
});

test('a file with a second name elsewhere is copied, not shared', async ({ stage, collect, store, root }) => {
  const { workFolder } = await stage([]);
  writeFileSync(join(root, 'elsewhere'), Buffer.alloc(300_000, 'x'));
  linkSync(join(root, 'elsewhere'), join(workFolder, 'large'));
  const [file] = await filesOf(store, await collect());
  appendFileSync(join(root, 'elsewhere'), 'more');
  assert.is((await bytesOf(store, (file as OutputFile & { kind: 'file' }).span)).length, 300_000);
  assert.is(
    lstatSync(join(home, 'blobs', hashOf(Buffer.alloc(300_000, 'x')).slice(0, 2), hashOf(Buffer.alloc(300_000, 'x'))))
      .nlink,
    1,
  );
});

test('an attempt is gone whole, blobs that shared its files stay', async ({ stage, collect, store, root }) => {
  const { workFolder, folder } = await stage([]);
  writeFileSync(join(workFolder, 'large'), Buffer.alloc(300_000, 'x'));
  mkdirSync(join(workFolder, 'closed/deeper'), { recursive: true });
  chmodSync(join(workFolder, 'closed'), 0);
  const file = (await filesOf(store, await collect())).find(({ path }) => path === 'large');
  await removeAttemptFolder(folder);
  assert.not(existsSync(join(root, 'attempt')));
  assert.is((await bytesOf(store, (file as OutputFile & { kind: 'file' }).span)).length, 300_000);
});

test.run();
