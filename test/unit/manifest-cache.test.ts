import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ManifestCache } from '../../node/manifest-cache.ts';
import type { Sha256 } from '../../protocol/ids.ts';
import type { OutputFile } from '../../protocol/state/result.ts';

const filesOf = (count: number): readonly OutputFile[] =>
  Array.from({ length: count }, (_, at) => ({ kind: 'folder', path: `f${at}`, mode: 0o755 }));

test('a manifest is read once while its files are fetched one by one, however many they are', async () => {
  const cache = new ManifestCache({ filesMax: 10 });
  const reads: string[] = [];
  const get = async (name: string, count: number): Promise<number> => {
    const files = await cache.get(name as Sha256, async () => {
      reads.push(name);
      return filesOf(count);
    });
    return files.length;
  };
  for (let n = 0; n < 3; n++) assert.is(await get('large', 50), 50);
  for (let n = 0; n < 3; n++) for (const name of ['a', 'b']) assert.is(await get(name, 5), 5);
  assert.equal(reads, ['large', 'a', 'b']);
});

test('of more than it holds the oldest asked for is forgotten', async () => {
  const cache = new ManifestCache({ filesMax: 10 });
  const reads: string[] = [];
  for (const name of ['a', 'b', 'a', 'c', 'a', 'b']) {
    await cache.get(name as Sha256, async () => {
      reads.push(name);
      return filesOf(5);
    });
  }
  assert.equal(reads, ['a', 'b', 'c', 'b']);
});

test.run();
