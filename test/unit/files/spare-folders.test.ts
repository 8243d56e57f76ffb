import { chmodSync, linkSync, statSync, writeFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { SpareFolders } from '../../../node/files/spare-folders.ts';
import { type TestFolder, testFolder } from '../../support/folder.ts';

/** An attempt's folder as one leaves it; what is made of it next. */
function nextAfter(folder: TestFolder, leave: (at: (name: string) => string) => void): (name: string) => string {
  folder.write({ 'one/work': null, 'one/home': null, 'one/tmp': null, 'one/stdout': '' });
  for (const name of ['work', 'home', 'tmp']) chmodSync(folder.at('one', name), 0o755);
  leave((name) => folder.at('one', name));
  const spare = new SpareFolders(folder.at('spare'), 4);
  assert.ok(spare.give(folder.at('one')));
  assert.ok(spare.take(folder.at('two')));
  return (name) => folder.at('two', name);
}

const isThere = (path: string): boolean => statSync(path, { throwIfNoEntry: false }) !== undefined;

test('an empty stream is used again, and what a script left is gone', () => {
  using folder = testFolder();
  const at = nextAfter(folder, (left) => {
    writeFileSync(left('work/out'), 'x');
    writeFileSync(left('tmp/t'), 'x');
  });
  assert.equal([isThere(at('stdout')), isThere(at('work/out')), isThere(at('tmp/t'))], [true, false, false]);
});

test('a stream that its script closed to writing, or that has another name, is not', () => {
  for (const spoil of [(path: string) => chmodSync(path, 0o400), (path: string) => linkSync(path, `${path}.other`)]) {
    using folder = testFolder();
    assert.not.ok(isThere(nextAfter(folder, (left) => spoil(left('stdout')))('stdout')));
  }
});

test.run();
