import { chmodSync, linkSync, statSync, writeFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { SpareFolders } from '../../../node/files/spare-folders.ts';
import { type TestFolder, testFolder } from '../../support/folder.ts';

/** An attempt's folder as one leaves it; what is made of it next. */
async function nextAfter(
  folder: TestFolder,
  leave: (at: (name: string) => string) => void,
): Promise<(name: string) => string> {
  folder.write({ 'one/work': null, 'one/home': null, 'one/tmp': null, 'one/stdout': '' });
  for (const name of ['work', 'home', 'tmp']) chmodSync(folder.at('one', name), 0o755);
  leave((name) => folder.at('one', name));
  const spare = new SpareFolders(folder.at('spare'), 4);
  assert.ok(await spare.give(folder.at('one')));
  assert.ok(spare.take(folder.at('two')));
  return (name) => folder.at('two', name);
}

const isThere = (path: string): boolean => statSync(path, { throwIfNoEntry: false }) !== undefined;

test('an empty stream is used again, and what a script left is gone', async () => {
  using folder = testFolder();
  const at = await nextAfter(folder, (left) => {
    writeFileSync(left('work/out'), 'x');
    writeFileSync(left('tmp/t'), 'x');
  });
  assert.equal([isThere(at('stdout')), isThere(at('work/out')), isThere(at('tmp/t'))], [true, false, false]);
});

test('a stream that its script closed to writing, or that has another name, is not', async () => {
  for (const spoil of [(path: string) => chmodSync(path, 0o400), (path: string) => linkSync(path, `${path}.other`)]) {
    using folder = testFolder();
    const at = await nextAfter(folder, (left) => spoil(left('stdout')));
    assert.not.ok(isThere(at('stdout')));
  }
});

test('a large file goes as well', async () => {
  using folder = testFolder();
  const at = await nextAfter(folder, (left) => writeFileSync(left('work/large'), Buffer.alloc(1 << 20)));
  assert.not.ok(isThere(at('work/large')));
});

test.run();
