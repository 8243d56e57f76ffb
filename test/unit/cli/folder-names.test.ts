import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { folderNames } from '../../../node/cli/outputs/folder-names.ts';

test('every task has an output folder of its own, whatever its item is called', () => {
  const cases: readonly (readonly [readonly (string | undefined)[], readonly string[]])[] = [
    [
      ['a/x', 'b/x'],
      ['a/x', 'b/x'],
    ],
    [
      ['in.json', 'in.json'],
      ['in.json', 'in.json.2'],
    ],
    [
      ['2', undefined],
      ['2.1', '2'],
    ],
    [
      ['a.3', 'a', 'a'],
      ['a.3', 'a', 'a.3.3'],
    ],
    [
      ['A', 'a', 'e\u0301', '\u00e9'],
      ['A', 'a.2', 'e\u0301', '\u00e9.4'],
    ],
    [
      ['../up', '/abs', ''],
      ['1', '2', '3'],
    ],
  ];
  for (const [names, folders] of cases) {
    assert.equal(folderNames(names), folders, JSON.stringify(names));
    assert.equal(folderNames(folderNames(names)), folders, `once more: ${JSON.stringify(names)}`);
  }
});

test('numbers are padded to one width', () => {
  const folders = folderNames(Array(12).fill(undefined));
  assert.equal([folders[0], folders[11]], ['01', '12']);
});

test.run();
