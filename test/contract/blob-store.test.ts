// One suite for both stores: what the rest of the node may believe of a BlobStore.
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FileBlobStore } from '../../node/blob/files.ts';
import { MemoryBlobStore } from '../../node/blob/memory.ts';
import type { BlobStore } from '../../node/blob/port.ts';
import { SkeinError } from '../../protocol/errors.ts';
import type { Sha256 } from '../../protocol/ids.ts';
import type { Clock } from '../../protocol/time.ts';
import { ManualClock } from '../support/manual-clock.ts';

interface Context {
  folder: string;
  store: BlobStore;
  clock: ManualClock;
}

const hashOf = (bytes: Uint8Array | string): Sha256 => createHash('sha256').update(bytes).digest('hex') as Sha256;

async function* from(...chunks: (Uint8Array | string)[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
}

async function textOf(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'none';
  } catch (error) {
    if (error instanceof SkeinError) return error.code;
    throw error;
  }
}

const HOUR = 3_600_000;

function contract(name: string, make: (folder: string, clock: Clock) => BlobStore): void {
  const test = suite<Context>(name);

  test.before.each(async (context) => {
    context.folder = await mkdtemp(join(tmpdir(), 'skein-blob-'));
    context.clock = new ManualClock();
    context.store = make(context.folder, context.clock);
    await context.store.start();
  });
  test.after.each(async (context) => {
    await rm(context.folder, { recursive: true, force: true });
  });

  test('what was put is there under its hash, and only that', async ({ store }) => {
    const blob = await store.put(from('geese ', 'in flight'), {});
    assert.equal(blob, { sha256: hashOf('geese in flight'), sizeBytes: 15 });
    assert.equal(await store.stat(blob.sha256), blob);
    assert.equal(await textOf(await store.read(blob.sha256)), 'geese in flight');
    assert.is(await store.stat(hashOf('other')), undefined);
    assert.is(await codeOf(store.read(hashOf('other'))), 'not-found');
    assert.is(await codeOf(store.chunk(hashOf('other'), 0, 10)), 'not-found');
  });

  test('an empty blob is a blob', async ({ store, folder }) => {
    const blob = await store.put(from(), {});
    assert.equal(blob, { sha256: hashOf(''), sizeBytes: 0 });
    assert.is(await textOf(await store.read(blob.sha256)), '');
    assert.is((await store.chunk(blob.sha256, 0, 10)).length, 0);
    await store.place(blob.sha256, join(folder, 'empty'), { mode: 0o600 });
    assert.is((await stat(join(folder, 'empty'))).size, 0);
  });

  test('bytes under another name than their own are refused and leave nothing', async ({ store }) => {
    assert.is(await codeOf(store.put(from('a'), { sha256: hashOf('b') })), 'digest-mismatch');
    assert.is(await store.stat(hashOf('a')), undefined);
    assert.is(await store.stat(hashOf('b')), undefined);
  });

  test('more than the limit is refused and leaves nothing', async ({ store }) => {
    assert.is(await codeOf(store.put(from('12345', '6'), { maxBytes: 5 })), 'too-large');
    assert.equal(await store.usage(), { count: 0, bytes: 0 });
  });

  test('the failure of a source is the failure of the put', async ({ store }) => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('half');
      throw new SkeinError('unreachable', 'the other side went away');
    }
    assert.is(await codeOf(store.put(broken(), {})), 'unreachable');
    assert.equal(await store.usage(), { count: 0, bytes: 0 });
  });

  test('a put from a silent source ends when its signal fires', async ({ store }) => {
    const controller = new AbortController();
    const silent: AsyncIterable<Uint8Array> = {
      [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }),
    };
    const put = store.put(silent, {}, controller.signal);
    controller.abort(new SkeinError('request-timeout', 'nothing came'));
    assert.is(await codeOf(put), 'request-timeout');
  });

  test('a range is exact, and one outside is refused with the size', async ({ store }) => {
    const { sha256 } = await store.put(from('0123456789'), {});
    assert.is(await textOf(await store.read(sha256, { offset: 3, sizeBytes: 4 })), '3456');
    assert.is(await textOf(await store.read(sha256, { offset: 10, sizeBytes: 0 })), '');
    assert.is(Buffer.from(await store.chunk(sha256, 8, 100)).toString(), '89');
    assert.is((await store.chunk(sha256, 10, 100)).length, 0);
    assert.is(await codeOf(store.read(sha256, { offset: 5, sizeBytes: 6 })), 'range-not-satisfiable');
    assert.is(await codeOf(store.chunk(sha256, 11, 1)), 'range-not-satisfiable');
  });

  test('a chunk is never longer than 256 KiB', async ({ store }) => {
    const { sha256 } = await store.put(from(Buffer.alloc(300_000, 1)), {});
    assert.is((await store.chunk(sha256, 0, 1_000_000)).length, 262_144);
  });

  test('a placed file has the bytes, the mode, and a life of its own', async ({ store, folder }) => {
    const { sha256 } = await store.put(from('#!/bin/sh\n'), {});
    const path = join(folder, 'script');
    await store.place(sha256, path, { mode: 0o755 });
    assert.is((await stat(path)).mode & 0o777, 0o755);
    assert.is((await stat(path)).nlink, 1);
    await writeFile(path, 'changed');
    assert.is(await textOf(await store.read(sha256)), '#!/bin/sh\n');
  });

  test('a span is placed alone', async ({ store, folder }) => {
    const { sha256 } = await store.put(from('0123456789'), {});
    await store.place(sha256, join(folder, 'span'), { mode: 0o600, offset: 2, sizeBytes: 3 });
    assert.is(await readFile(join(folder, 'span'), 'utf8'), '234');
    const outside = store.place(sha256, join(folder, 'none'), { mode: 0o600, offset: 9, sizeBytes: 3 });
    assert.is(await codeOf(outside), 'range-not-satisfiable');
    assert.is(await codeOf(store.place(hashOf('x'), join(folder, 'none'), { mode: 0o600 })), 'not-found');
  });

  test('nothing that stands at a path is placed over, a link least of all', async ({ store, folder }) => {
    const { sha256 } = await store.put(from('new'), {});
    const path = join(folder, 'there');
    await writeFile(path, 'old');
    await symlink(join(folder, 'elsewhere'), join(folder, 'link'));
    assert.is(await codeOf(store.place(sha256, path, { mode: 0o600 })), 'state-conflict');
    assert.is(await codeOf(store.place(sha256, path, { mode: 0o600, offset: 0, sizeBytes: 1 })), 'state-conflict');
    assert.is(await codeOf(store.place(sha256, join(folder, 'link'), { mode: 0o600 })), 'state-conflict');
    assert.is(await readFile(path, 'utf8'), 'old');
  });

  test('an adopted file is a blob, and adopting it again is no other', async ({ store, folder }) => {
    const path = join(folder, 'output');
    await writeFile(path, 'result');
    const blob = await store.adopt(path, { keepSource: true });
    assert.equal(blob, { sha256: hashOf('result'), sizeBytes: 6 });
    await writeFile(path, 'changed later');
    assert.is(await textOf(await store.read(blob.sha256)), 'result');
    const final = await store.adopt(path, { keepSource: false });
    assert.is(await textOf(await store.read(final.sha256)), 'changed later');
  });

  test('what is no regular file is not adopted', async ({ store, folder }) => {
    await writeFile(join(folder, 'target'), 'x');
    await symlink('target', join(folder, 'link'));
    for (const keepSource of [true, false]) {
      assert.is(await codeOf(store.adopt(join(folder, 'none'), { keepSource })), 'file-missing');
      assert.is(await codeOf(store.adopt(join(folder, 'link'), { keepSource })), 'file-unreadable');
      assert.is(await codeOf(store.adopt(folder, { keepSource })), 'file-unreadable');
    }
  });

  test('an upload goes on where it broke off', async ({ store }) => {
    const sha256 = hashOf('0123456789');
    assert.is(await store.uploadOffset(sha256), 0);
    assert.equal(await store.uploadAppend(sha256, 0, 10, from('0123')), { offset: 4, done: false });
    assert.is(await store.stat(sha256), undefined);
    assert.is(await store.uploadOffset(sha256), 4);
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('45');
      throw new SkeinError('unreachable', 'cut off');
    }
    assert.is(await codeOf(store.uploadAppend(sha256, 4, 10, broken())), 'unreachable');
    const offset = await store.uploadOffset(sha256);
    assert.ok(offset >= 4 && offset <= 6, `at ${offset}`);
    const rest = from('0123456789'.slice(offset));
    assert.equal(await store.uploadAppend(sha256, offset, 10, rest), { offset: 10, done: true });
    assert.is(await textOf(await store.read(sha256)), '0123456789');
    assert.is(await store.uploadOffset(sha256), 0);
    assert.equal(await store.uploadAppend(sha256, 0, 10, from('')), { offset: 10, done: true });
  });

  test('an upload at another offset is told the right one', async ({ store }) => {
    const sha256 = hashOf('0123456789');
    await store.uploadAppend(sha256, 0, 10, from('0123'));
    try {
      await store.uploadAppend(sha256, 2, 10, from('23'));
      assert.unreachable();
    } catch (error) {
      assert.instance(error, SkeinError);
      assert.is((error as SkeinError).code, 'bad-offset');
      assert.equal((error as SkeinError).extra, { offset: 4 });
    }
  });

  test('a whole upload with another hash is thrown away, as is one that is too long', async ({ store }) => {
    const sha256 = hashOf('right');
    assert.is(await codeOf(store.uploadAppend(sha256, 0, 5, from('wrong'))), 'digest-mismatch');
    assert.is(await store.uploadOffset(sha256), 0);
    assert.is(await codeOf(store.uploadAppend(sha256, 0, 5, from('right and more'))), 'too-large');
    assert.is(await store.uploadOffset(sha256), 0);
    assert.is(await store.stat(sha256), undefined);
  });

  test('an empty blob can be uploaded too', async ({ store }) => {
    assert.equal(await store.uploadAppend(hashOf(''), 0, 0, from()), { offset: 0, done: true });
    assert.equal(await store.stat(hashOf('')), { sha256: hashOf(''), sizeBytes: 0 });
  });

  test('the list has each blob once with the time of its last use', async ({ store, clock }) => {
    const first = await store.put(from('first'), {});
    clock.jump(HOUR);
    const second = await store.put(from('second'), {});
    await store.put(from('second'), {});
    const listed = new Map<string, number>();
    for await (const blob of store.list()) listed.set(blob.sha256, blob.usedAt);
    assert.is(listed.size, 2);
    assert.is(listed.get(first.sha256), clock.now() - HOUR);
    assert.is(listed.get(second.sha256), clock.now());
    assert.equal(await store.usage(), { count: 2, bytes: 11 });
  });

  test('a removal that asks for disuse spares what was seen since', async ({ store, clock }) => {
    const used = await store.put(from('used'), {});
    const unused = await store.put(from('unused'), {});
    clock.jump(2 * HOUR);
    await store.stat(used.sha256);
    assert.is(await store.remove(used.sha256, { unusedSince: clock.now() - HOUR }), false);
    assert.is(await store.remove(unused.sha256, { unusedSince: clock.now() - HOUR }), true);
    assert.is(await store.remove(unused.sha256), false);
    assert.equal(await store.usage(), { count: 1, bytes: 4 });
    assert.is(await store.remove(used.sha256), true);
  });

  test('uploads that nobody goes on with expire, others stay', async ({ store, clock }) => {
    await store.uploadAppend(hashOf('old upload'), 0, 10, from('old'));
    clock.jump(2 * HOUR);
    await store.uploadAppend(hashOf('new upload'), 0, 10, from('new'));
    assert.is(await store.expireUploads(clock.now() - HOUR), 1);
    assert.is(await store.uploadOffset(hashOf('old upload')), 0);
    assert.is(await store.uploadOffset(hashOf('new upload')), 3);
  });

  test('eviction takes what was used longest ago and spares what is kept', async ({ store, clock }) => {
    const blobs: Sha256[] = [];
    for (const text of ['aaaa', 'bbbb', 'cccc', 'dddd']) {
      blobs.push((await store.put(from(text), {})).sha256);
      clock.jump(HOUR);
    }
    const [a, b, c, d] = blobs as [Sha256, Sha256, Sha256, Sha256];
    await store.stat(b);
    assert.equal(await store.evict(8, new Set([a])), { count: 2, bytes: 8 });
    assert.is(await store.stat(c), undefined);
    assert.is(await store.stat(d), undefined);
    assert.ok(await store.stat(a));
    assert.ok(await store.stat(b));
  });

  test.run();
}

contract(
  'blobs as files',
  (folder, clock) => new FileBlobStore({ clock }, { folder: join(folder, 'store'), reserve: 0, durable: true }),
);
contract('blobs in memory', (_folder, clock) => new MemoryBlobStore({ clock }));
