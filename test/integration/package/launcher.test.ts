// The launcher where no Node will do: a message that names the version, not a stack.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const launcher = fileURLToPath(new URL('../../../node/launcher.js', import.meta.url));

test('without a packaged Node an older one says which version is needed', () => {
  const folder = mkdtempSync(join(tmpdir(), 'skein-launcher-'));
  try {
    mkdirSync(join(folder, 'node'));
    copyFileSync(launcher, join(folder, 'node', 'launcher.js'));
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    // Whatever Node runs this: the launcher is told that it is an old one.
    const old = `Object.defineProperty(process.versions, 'node', { value: '20.11.0' });`;
    writeFileSync(join(folder, 'old.cjs'), old);
    const ran = spawnSync(
      'node',
      ['--require', join(folder, 'old.cjs'), join(folder, 'node', 'launcher.js'), '--version'],
      { encoding: 'utf8' },
    );
    assert.is(ran.status, 125, ran.stderr);
    assert.match(ran.stderr, /^skein: Node 26 is needed and this is 20\.11\.0.*\n$/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test.run();
