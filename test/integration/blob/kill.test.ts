// kill -9 of a process that makes blobs, at the step where most could go wrong. test/unit/blob/crash.test.ts has every step.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FileBlobStore } from '../../../node/blob/files.ts';
import { realClock } from '../../../node/clock.ts';
import type { Sha256 } from '../../../protocol/ids.ts';

const victim = fileURLToPath(new URL('victim.ts', import.meta.url));
const content = 'geese in flight '.repeat(20_000);
const contentHash = createHash('sha256').update(content).digest('hex') as Sha256;

function kill(folder: string, operation: string, point: string): void {
  const { signal, stderr } = spawnSync(process.execPath, [victim, folder, operation, point], {
    encoding: 'utf8',
    timeout: 60_000,
    killSignal: 'SIGTERM',
  });
  assert.is(signal, 'SIGKILL', `${point} was not reached: ${stderr}`);
}

const test = suite<{ folder: string }>('kill -9 of a process that makes blobs');

test.before.each(async (context) => {
  context.folder = await mkdtemp(join(tmpdir(), 'skein-kill-'));
  writeFileSync(join(context.folder, 'source'), content);
});
test.after.each(async ({ folder }) => {
  await rm(folder, { recursive: true, force: true });
});

for (const [operation, point, isThere] of [
  ['put', 'blob.rename.before', false],
  ['adopt', 'blob.rename.after', true],
  ['copy', 'blob.fsync.before', false],
  ['upload', 'blob.rename.before', false],
] as const) {
  test(`${operation} killed at ${point} leaves nothing wrong, and succeeds afterwards`, async ({ folder }) => {
    kill(folder, operation, point);
    const store = new FileBlobStore({ clock: realClock() }, { folder, reserve: 0, durable: true });
    await store.start();
    assert.equal(readdirSync(join(folder, 'blobs/tmp')), []);
    assert.is((await store.stat(contentHash)) !== undefined, isThere);
    await store.adopt(join(folder, 'source'), { keepSource: false });
    assert.is((await store.stat(contentHash))?.sizeBytes, content.length);
    const bytes = readFileSync(join(folder, 'blobs', contentHash.slice(0, 2), contentHash));
    assert.is(createHash('sha256').update(bytes).digest('hex'), contentHash);
  });
}

test.run();
