// A disk that is full for real: what was stored stays, what does not fit leaves nothing, and with room it goes on by itself.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FileBlobStore } from '../../../node/blob/files.ts';
import { realClock } from '../../../node/clock.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import type { Sha256 } from '../../../protocol/ids.ts';

const MIB = 1024 ** 2;

interface Context {
  folder: string;
}

function canMount(): boolean {
  return process.platform === 'linux' && process.getuid?.() === 0;
}

async function* zeros(count: number, fill = 'x'): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < count; at += 65_536) yield Buffer.alloc(Math.min(65_536, count - at), fill);
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'none';
  } catch (error) {
    assert.instance(error, SkeinError);
    return (error as SkeinError).code;
  }
}

async function open(folder: string, reserve: number): Promise<FileBlobStore> {
  const store = new FileBlobStore({ clock: realClock() }, { folder, reserve, durable: true });
  await store.start();
  return store;
}

const test = suite<Context>('a full disk');

/** A test, or where no disk can be mounted the line that says so. */
function onSmallDisk(name: string, check: (context: Context) => Promise<void>): void {
  if (canMount()) test(name, check);
  else test(name, () => void process.stdout.write(`SKIP ${name}: mounting a tmpfs needs root on Linux\n`));
}

test.before.each((context) => {
  if (!canMount()) return;
  context.folder = mkdtempSync(join(tmpdir(), 'skein-full-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', context.folder]);
});
test.after.each(({ folder }) => {
  if (!canMount()) return;
  execFileSync('umount', [folder]);
  rmSync(folder, { recursive: true });
});

onSmallDisk('what does not fit fails as such and leaves nothing; what was there stays', async ({ folder }) => {
  const store = await open(folder, 0);
  const kept = await store.put(zeros(MIB, 'kept'), {});
  assert.is(await codeOf(store.put(zeros(10 * MIB), {})), 'disk-full');
  assert.equal(readdirSync(join(folder, 'blobs/tmp')), []);
  assert.equal(await store.usage(), { count: 1, bytes: MIB });
  assert.is(await codeOf(store.place(kept.sha256, join(folder, 'placed'), { mode: 0o600 })), 'none');
  writeFileSync(join(folder, 'filler'), Buffer.alloc(5.5 * MIB));
  assert.is(await codeOf(store.place(kept.sha256, join(folder, 'again'), { mode: 0o600 })), 'disk-full');
  assert.not.ok(readdirSync(folder).includes('again'));
  assert.equal(await store.stat(kept.sha256), kept);
  rmSync(join(folder, 'filler'));
  assert.is((await store.put(zeros(2 * MIB, 'more'), {})).sizeBytes, 2 * MIB);
});

onSmallDisk('blobs leave the last tenth of a gateway’s disk, whoever fills the rest', async ({ folder }) => {
  const store = await open(folder, 0.1);
  writeFileSync(join(folder, 'filler'), Buffer.alloc(7 * MIB));
  assert.is(await codeOf(store.put(zeros(500_000), {})), 'disk-full');
  assert.is(await codeOf(store.put(zeros(100_000), {})), 'none');
  writeFileSync(join(folder, 'log'), Buffer.alloc(600_000));
});

onSmallDisk('an upload that fills the disk says so early, and goes on once there is room', async ({ folder }) => {
  const store = await open(folder, 0);
  const sha256 = createHash('sha256')
    .update(Buffer.alloc(2 * MIB, 'x'))
    .digest('hex') as Sha256;
  assert.is(await codeOf(store.uploadAppend(sha256, 0, 100 * MIB, zeros(1))), 'disk-full');
  assert.is(await store.uploadOffset(sha256), 0);
  writeFileSync(join(folder, 'filler'), Buffer.alloc(7 * MIB));
  assert.is(await codeOf(store.uploadAppend(sha256, 0, 2 * MIB, zeros(2 * MIB))), 'disk-full');
  rmSync(join(folder, 'filler'));
  const offset = await store.uploadOffset(sha256);
  const rest = zeros(2 * MIB - offset);
  assert.equal(await store.uploadAppend(sha256, offset, 2 * MIB, rest), { offset: 2 * MIB, done: true });
});

test.run();
