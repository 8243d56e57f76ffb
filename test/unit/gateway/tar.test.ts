// The archive whose length is known beforehand: other programs read it, and every range of it is the same bytes.
import { Readable } from 'node:stream';
import { extract } from 'tar-stream';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tar, type TarFile } from '../../../gateway/tar.ts';
import type { Sha256 } from '../../../protocol/ids.ts';
import type { Span } from '../../../protocol/state/result.ts';

const POOL = Buffer.from('0123456789'.repeat(200));
const blob = 'a'.repeat(64) as Sha256;
const file = (path: string, offset: number, sizeBytes: number, mode = 0o644): TarFile => ({
  path,
  mode,
  span: { blob, offset, sizeBytes },
});
const readSpan = async ({ offset, sizeBytes }: Span): Promise<AsyncIterable<Uint8Array>> =>
  Readable.from([POOL.subarray(offset, offset + sizeBytes)]);

async function bytesOf(tar: Tar, offset = 0, sizeBytes = tar.sizeBytes - offset): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of tar.read({ offset, sizeBytes }, readSpan)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const LONG = `${'deep/'.repeat(60)}long-name.txt`;
const files: TarFile[] = [
  file('b.txt', 5, 700),
  file('a/é ü.txt', 0, 3),
  file(LONG, 1, 512),
  file('a/empty', 0, 0),
  file('run.sh', 10, 10, 0o755),
  { path: 'a/link', mode: 0o777, target: 'empty' },
  { path: 'folder/', mode: 0o700 },
  { path: 'z-link', mode: 0o777, target: LONG },
];

test('another program reads every file, mode and link, sorted bytewise', async () => {
  const tar = new Tar(files);
  const whole = await bytesOf(tar);
  assert.is(whole.length, tar.sizeBytes);
  const seen: string[] = [];
  const unpack = extract();
  Readable.from([whole]).pipe(unpack);
  for await (const entry of unpack) {
    const { name, type, mode, linkname, size, mtime } = entry.header;
    seen.push(name);
    assert.is(mtime?.getTime(), 0);
    const source = files.find((one) => one.path === name);
    assert.ok(source, name);
    if (source.target !== undefined) {
      assert.equal([type, linkname], ['symlink', source.target]);
    } else {
      const [kind, bytes] = source.span === undefined ? ['directory', 0] : ['file', source.span.sizeBytes];
      assert.equal([type, size, mode], [kind, bytes, source.mode]);
    }
    const chunks: Buffer[] = [];
    for await (const chunk of entry) chunks.push(chunk as Buffer);
    const span = source.span ?? { offset: 0, sizeBytes: 0 };
    assert.ok(Buffer.concat(chunks).equals(POOL.subarray(span.offset, span.offset + span.sizeBytes)), name);
  }
  const bytewise = files.map((one) => one.path).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  assert.equal(seen, bytewise);
});

test('every range is the same bytes as in the whole', async () => {
  const tar = new Tar(files);
  const whole = await bytesOf(tar);
  for (let offset = 0; offset < whole.length; offset += 173) {
    for (const sizeBytes of [1, 511, 512, 513, 3000]) {
      const size = Math.min(sizeBytes, whole.length - offset);
      assert.ok((await bytesOf(tar, offset, size)).equals(whole.subarray(offset, offset + size)), `${offset}+${size}`);
    }
  }
});

test('a file too large for the plain header says its size in another', () => {
  const size = 9 * 1024 ** 3;
  const tar = new Tar([file('big', 0, size)]);
  assert.is(tar.sizeBytes, 512 + 512 + 512 + size + 1024);
});

test('the same files make the same archive, in whatever order they come', async () => {
  assert.ok((await bytesOf(new Tar(files))).equals(await bytesOf(new Tar(files.toReversed()))));
});

test.run();
