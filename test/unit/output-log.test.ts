// The file that a node writes its words to.
import { readFileSync, rmSync, statSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { LogFile } from '../../node/output-log.ts';
import { testFolder } from '../support/folder.ts';

test('a log that is written to for ever keeps its last lines in two files of bounded size', () => {
  using folder = testFolder();
  const log = new LogFile(folder.at('node.log'), 100);
  for (let n = 100; n < 200; n++) log.write(`line ${n}\n`);
  const [older, newer] = ['node.log.1', 'node.log'].map((name) => readFileSync(folder.at(name), 'utf8'));
  assert.ok((older?.length ?? 0) <= 110 && (newer?.length ?? 0) <= 110);
  assert.ok(`${older}${newer}`.endsWith('line 197\nline 198\nline 199\n'));
});

test('a log goes on where it was, also where somebody took the file away', () => {
  using folder = testFolder();
  folder.write({ 'node.log': 'x'.repeat(100) });
  const log = new LogFile(folder.at('node.log'), 100);
  log.write('one\n');
  assert.is(readFileSync(folder.at('node.log'), 'utf8'), 'one\n');
  assert.is(statSync(folder.at('node.log.1')).size, 100);
  rmSync(folder.at('node.log'));
  for (let n = 0; n < 60; n++) log.write('more\n');
  assert.ok(readFileSync(folder.at('node.log'), 'utf8').endsWith('more\n'));
});

test.run();
