import { createHash } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { blobFile } from '../../../node/blob/path.ts';
import { readNear } from '../../../node/cli/outputs/near-blobs.ts';
import { testFolder } from '../../support/folder.ts';

const content = Buffer.alloc(1 << 20, 'near');
const sha256 = createHash('sha256').update(content).digest('hex');

async function* far(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('far');
}

async function textOf(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  let text = '';
  for await (const chunk of bytes) text += Buffer.from(chunk).toString();
  return text;
}

function keep(folder: string): string {
  const path = blobFile(folder, sha256);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

test('a blob that lies here is read here, from any place on', async () => {
  using folder = testFolder();
  keep(folder.at());
  const asked = (): never => assert.unreachable('it lies here') as never;
  const near = readNear({ folder: folder.at(), sha256, offset: content.length - 4 }, asked);
  assert.is(await textOf(near), 'near');
});

test('what does not lie here, or nowhere near, is asked for', async () => {
  using folder = testFolder();
  for (const where of [folder.at(), null]) {
    assert.is(await textOf(readNear({ folder: where, sha256, offset: 0 }, async () => far())), 'far');
  }
  // No hash, but a path that would lead elsewhere.
  writeFileSync(folder.at('elsewhere'), 'secret');
  const bad = { folder: folder.at(), sha256: '../../elsewhere', offset: 0 };
  assert.is(await textOf(readNear(bad, async () => far())), 'far');
});

test('one that leaves the store while it is read is read to its end', async () => {
  using folder = testFolder();
  const path = keep(folder.at());
  const near = readNear({ folder: folder.at(), sha256, offset: 0 }, async () => far());
  const first = (await near.next()).value as Uint8Array;
  let length = first.length;
  rmSync(path);
  for await (const chunk of near) length += chunk.length;
  assert.is(length, content.length);
});

test.run();
