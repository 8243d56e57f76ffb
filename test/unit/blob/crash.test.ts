// A crash before and after each step that makes a blob: the step never comes back, and the next life finds the folder as it
// is. What is there then is whole, and doing it again succeeds. (test/integration/blob does a few of them with SIGKILL.)
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FileBlobStore } from '../../../node/blob/files.ts';
import { realClock } from '../../../node/clock.ts';
import { attemptFolder } from '../../../node/files/attempt-folder.ts';
import { type Collected, collectOutputs } from '../../../node/files/collect.ts';
import { stageAttempt } from '../../../node/files/stage.ts';
import type { Sha256 } from '../../../protocol/ids.ts';

const clock = realClock();
const points = [
  'blob.fsync.before',
  'blob.fsync.after',
  'blob.rename.before',
  'blob.rename.after',
  'blob.folder.after',
];
const content = 'geese in flight '.repeat(20_000);
const contentHash = createHash('sha256').update(content).digest('hex') as Sha256;

async function* source(): AsyncGenerator<Uint8Array> {
  yield Buffer.from(content);
}

/** What holds the frozen steps: an open file that nothing refers to would be an error of its own. */
const frozen: (() => void)[] = [];

/** Starts `work` on a store that stops for ever when `point` is reached for the `count`th time; resolves when it is. */
async function crash(
  folder: string,
  point: string,
  count: number,
  work: (store: FileBlobStore) => Promise<unknown>,
): Promise<void> {
  const { promise: stopped, resolve: stop } = Promise.withResolvers<'stopped'>();
  let reached = 0;
  const faults = {
    reach(name: string): Promise<void> | undefined {
      if (name === point) reached++;
      if (reached < count) return undefined;
      stop('stopped');
      return new Promise((resolve) => frozen.push(resolve));
    },
  };
  const store = new FileBlobStore({ clock, faults }, { folder, reserve: 0, durable: true });
  await store.start();
  const ended = work(store).then(() => 'ended');
  assert.is(await Promise.race([stopped, ended]), 'stopped', `${point} was not reached ${count} times`);
}

/** Every file that has a blob's name has that blob's bytes. @returns how many there are */
function wholeBlobs(folder: string): number {
  let blobs = 0;
  for (const prefix of readdirSync(join(folder, 'blobs'))) {
    if (prefix.length !== 2) continue;
    for (const name of readdirSync(join(folder, 'blobs', prefix))) {
      const bytes = readFileSync(join(folder, 'blobs', prefix, name));
      assert.is(createHash('sha256').update(bytes).digest('hex'), name);
      blobs++;
    }
  }
  return blobs;
}

async function nextLife(folder: string): Promise<FileBlobStore> {
  const store = new FileBlobStore({ clock }, { folder, reserve: 0, durable: true });
  await store.start();
  assert.equal(readdirSync(join(folder, 'blobs/tmp')), [], 'nothing half written is left');
  return store;
}

const test = suite<{ folder: string }>('a crash while blobs are made');

test.before.each(async (context) => {
  context.folder = await mkdtemp(join(tmpdir(), 'skein-crash-'));
  writeFileSync(join(context.folder, 'source'), content);
});
test.after.each(async ({ folder }) => {
  await rm(folder, { recursive: true, force: true });
});

const operations: Record<string, (store: FileBlobStore, path: string) => Promise<unknown>> = {
  put: (store) => store.put(source(), {}),
  adopt: (store, path) => store.adopt(path, { keepSource: false }),
  copy: (store, path) => store.adopt(path, { keepSource: true }),
  upload: (store) => store.uploadAppend(contentHash, 0, content.length, source()),
};

for (const [name, operation] of Object.entries(operations)) {
  test(`${name}: whole or not there, and there after another try`, async ({ folder }) => {
    for (const point of points) {
      await crash(folder, point, 1, (store) => operation(store, join(folder, 'source')));
      const named = point === 'blob.rename.after' || point === 'blob.folder.after';
      assert.is(wholeBlobs(folder), named ? 1 : 0, point);
      const store = await nextLife(folder);
      await store.adopt(join(folder, 'source'), { keepSource: false });
      assert.equal(await store.stat(contentHash), { sha256: contentHash, sizeBytes: content.length });
      assert.is(wholeBlobs(folder), 1);
      await store.remove(contentHash);
      await store.expireUploads(Number.POSITIVE_INFINITY);
    }
  });
}

test('an upload that had all its bytes needs none again, and they are judged anew', async ({ folder }) => {
  await crash(folder, 'blob.fsync.before', 1, operations.upload as (store: FileBlobStore) => Promise<unknown>);
  const store = await nextLife(folder);
  const offset = await store.uploadOffset(contentHash);
  assert.is(offset, content.length);
  const nothing = async function* (): AsyncGenerator<Uint8Array> {};
  assert.equal(await store.uploadAppend(contentHash, offset, offset, nothing()), { offset, done: true });
  assert.is(wholeBlobs(folder), 1);
});

test('outputs that were half collected are collected whole, as if nothing had happened', async ({ folder }) => {
  const attempt = join(folder, 'attempt');
  const first = await nextLife(folder);
  await stageAttempt({ store: first, clock }, { folder: attempt, inputs: [], stdin: null });
  const { workFolder, stdoutFile } = attemptFolder(attempt);
  writeFileSync(stdoutFile, 'printed');
  writeFileSync(join(workFolder, 'small'), 'small');
  for (const name of ['a', 'b', 'c']) writeFileSync(join(workFolder, name), name.repeat(300_000), { mode: 0o750 });
  let expected: Collected | undefined;
  for (const point of points) {
    for (const count of [1, 2, 4]) {
      await crash(folder, point, count, (store) => collectOutputs({ store }, attempt));
      wholeBlobs(folder);
      const store = await nextLife(folder);
      const collected = await collectOutputs({ store }, attempt);
      expected ??= collected;
      assert.equal(collected, expected, `after ${point}, ${count}`);
      assert.is(collected.outputs.kind === 'inline' && collected.outputs.files.length, 4);
      for (const sha256 of collected.blobs) await store.remove(sha256);
    }
  }
});

test.run();
