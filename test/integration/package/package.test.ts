// What is published is what was tried: packs the package, puts it where npm would, and runs it by its launcher.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'skein-package-'));
const installed = join(folder, 'node_modules', 'skein');
const env = {
  ...process.env,
  XDG_STATE_HOME: join(folder, 'state'),
  XDG_CONFIG_HOME: join(folder, 'config'),
  XDG_CACHE_HOME: join(folder, 'cache'),
};
const test = suite('the package');

test.before(() => {
  // Built beside the checkout's own dist/, if it has one, by the same command that npm calls.
  const packed = JSON.parse(
    execFileSync('npm', ['pack', '--json', '--pack-destination', folder], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }),
  ) as readonly { filename: string }[];
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['xzf', join(folder, packed[0]?.filename ?? ''), '-C', installed, '--strip-components=1']);
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (!name.startsWith('.') && name !== 'skein')
      symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name));
  }
});

test.after(() => {
  spawnSync('pkill', ['-f', folder]);
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
});

test('the package holds JavaScript and no TypeScript source', () => {
  const files = readdirSync(installed, { recursive: true, encoding: 'utf8' });
  assert.ok(files.includes('node/launcher.js'));
  assert.ok(files.includes('dist/node/cli/cli.js'));
  assert.equal(
    files.filter((name) => /(?<!\.d)\.ts$/.test(name)),
    [],
  );
});

test('an installed skein says its version', () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const said = execFileSync('node', [join(installed, 'node', 'launcher.js'), '--version'], { env, encoding: 'utf8' });
  assert.ok(said.includes(version));
});

test('an installed skein runs a script on the mesh local', () => {
  writeFileSync(join(folder, 'hello.sh'), 'echo "hello $1"; echo made > made.txt; exit 3\n');
  const ran = spawnSync('node', [join(installed, 'node', 'launcher.js'), 'run', '-q', 'hello.sh', 'there'], {
    cwd: folder,
    env,
    encoding: 'utf8',
    timeout: 60_000,
  });
  assert.is(ran.stdout, 'hello there\n', ran.stderr);
  assert.is(ran.status, 3);
  assert.is(readFileSync(join(folder, 'made.txt'), 'utf8'), 'made\n');
});

test.run();
