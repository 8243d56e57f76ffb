// The classic cases, each a text file: cases/README.md says how they read.
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runCase } from './case.ts';

const folder = fileURLToPath(new URL('cases', import.meta.url));
const files = globSync('*.txt', { cwd: folder }).sort();

for (const file of files) {
  test(basename(file, '.txt').replaceAll('-', ' '), () => runCase(file, readFileSync(join(folder, file), 'utf8')));
}

test('there are as many cases as there were', () => {
  assert.ok(files.length >= 60, `${files.length} cases`);
});

test.run();
