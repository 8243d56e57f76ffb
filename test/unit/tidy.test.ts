// The tree itself under test: its rules hold, and the tools that check them do fail on a planted violation.
import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const root = fileURLToPath(new URL('../..', import.meta.url));
const sources = (pattern: string): readonly string[] => globSync(pattern, { cwd: root });
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

/** Runs a check with files in place that it must refuse. Planted beside the real ones, under a name that git ignores. */
function withPlanted(files: Readonly<Record<string, string>>, check: () => void): void {
  const paths = Object.keys(files).map((path) => join(root, path));
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(root, path, '..'), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    check();
  } finally {
    for (const path of paths) rmSync(path, { force: true });
  }
}

const importsCheck = (): { readonly status: number | null; readonly stdout: string } =>
  spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', 'scripts/imports.ts'], {
    cwd: root,
    encoding: 'utf8',
  });
const lint = (
  ...paths: string[]
): { readonly status: number | null; readonly stdout: string; readonly stderr: string } =>
  spawnSync('node_modules/.bin/biome', ['lint', '--vcs-enabled=false', '--max-diagnostics=none', ...paths], {
    cwd: root,
    encoding: 'utf8',
  });

const pureTypes = (): { readonly status: number | null; readonly stdout: string } =>
  spawnSync('node_modules/.bin/tsc', ['-p', 'scripts/tsconfig.pure.json', '--pretty', 'false'], {
    cwd: root,
    encoding: 'utf8',
  });

test('the import rules refuse what is planted against them', () => {
  const planted = {
    'protocol/planted-1.ts': "export { realClock } from '../node/clock.ts';\n",
    'gateway/planted-2.ts': "export { realClock } from '../node/clock.ts';\n",
    'node/storage/planted-3.ts': "export { Leader } from '../leader/leader.ts';\n",
    'node/policy/planted-4.ts': "export { readFileSync } from 'node:fs';\n",
    'node/worker/planted-5.ts': "export { default } from 'fastify';\n",
    'node/leader/planted-6.ts': "export { Worker } from '../worker/worker.ts';\n",
    'protocol/planted-7.ts': "export { request } from 'undici';\n",
    'node/policy/planted-8.ts': "import 'pino';\n",
    'node/policy/planted-9.ts': "export { Mesh } from '../mesh.ts';\n",
    'protocol/planted-10.ts': "export type Clock = typeof import('../node/clock.ts');\n",
    'protocol/planted-11.ts': "export type Config = import('../node/config/config.ts').Config;\n",
    'gateway/planted-12.ts': `export const node = (name: string) => import(\`../node/\${name}.ts\`);\n`,
    'gateway/planted-13.ts': "const path = '../node/clock.ts';\nexport const clock = () => import(path);\n",
  };
  withPlanted(planted, () => {
    const { status, stdout } = importsCheck();
    assert.is(status, 1);
    for (const path of Object.keys(planted))
      assert.ok(stdout.includes(`: ${path} ->`), `${path} is refused: ${stdout}`);
  });
});

const impure = [
  'export const value = Date.now();',
  'export const { now } = Date;',
  'export const value = Math.random();',
  'export const { random } = Math;',
  "export const value = Math['random']();",
  'export const value = Math.floor([Math].length);',
  'export const value = process.pid;',
  'export const value = setTimeout(() => 1, 1);',
  "export const value = fetch('x');",
  'export const value = crypto.randomUUID();',
  'export const value = performance.now();',
  'export const value = Buffer.alloc(1);',
  'export const value = globalThis.Date;',
  'export const value = (globalThis as unknown as { x: number }).x;',
  'export const value = global.process;',
  "export const value = console.log('x');",
  "export const value = new WebSocket('ws://x');",
  'export const value = Temporal.Now.instant();',
  'export const value = Intl.DateTimeFormat().resolvedOptions();',
  'export const value = AbortSignal.timeout(1);',
  'export const value = new AbortController();',
  'export const value = new URL(import.meta.url);',
  "export const value = ['b', 'a'].sort((a, b) => a.localeCompare(b));",
  'export const value = (1).toLocaleString();',
  "export const value = new Function('return 1');",
  "export { readFileSync } from 'node:fs';",
];

test('the pure rooms are kept from clock, chance, network, disk, locale and process', () => {
  const sound = "export const value = Math.max(new TextEncoder().encode('x').length, 1);";
  const rooms = ['protocol', 'node/policy'];
  const planted = rooms.flatMap((room) =>
    [sound, ...impure].map((code, n) => [`${room}/planted-${n}.ts`, code] as const),
  );
  withPlanted(Object.fromEntries(planted.map(([path, code]) => [path, `${code}\n`])), () => {
    const { stdout, stderr } = lint(...rooms);
    const said = stdout + stderr + pureTypes().stdout;
    for (const [path, code] of planted) {
      assert.is(said.includes(`${path}:`) || said.includes(`${path}(`), code !== sound, `${path}: ${code}`);
    }
  });
});

test('/proc, cgroups and namespaces are touched in one file per platform', () => {
  const touching = sources('{node,gateway,protocol}/**/*.{ts,js}').filter((path) =>
    /\/proc\/|\/sys\/fs\/cgroup|\bunshare\b/.test(withoutComments(read(path))),
  );
  assert.equal(touching, ['node/runtime/linux.ts']);
});

const withoutComments = (text: string): string => text.replace(/\/\*[\s\S]*?\*\/|(?<!:)\/\/.*$/gm, '');

test('every test file runs its tests', () => {
  const silent = sources('test/**/*.test.ts').filter(
    (path) => !/\.run\(\)|Suite\(|suite\(|promises\(|contract\(/i.test(read(path)),
  );
  assert.equal(silent, []);
});

test('every file opens by saying what it is for', () => {
  // Behind #! a line may be the shell's, which JavaScript takes for a comment.
  const mute = sources('{node,gateway,protocol,scripts}/**/*.{ts,js}').filter(
    (path) => !/^(#!.*\n(\/\/\S.*\n)?)?(\/\/|\/\*\*) \S/.test(read(path)),
  );
  assert.equal(mute, []);
});

test('nothing is left for later in words', () => {
  const marks = new RegExp(['TO', 'DO|FIX', 'ME|XX', 'X\\b'].join(''));
  const left = sources('{node,gateway,protocol,test,scripts,examples}/**/*.{ts,js,mjs,py}').filter((path) =>
    marks.test(read(path)),
  );
  assert.equal(left, []);
});

test('a suppression says why in the same line', () => {
  const marks = ['biome-' + 'ignore', '@ts-' + 'expect-error', '@ts-' + 'ignore'].join('|');
  const bare = sources('{node,gateway,protocol,test,scripts}/**/*.{ts,js}').flatMap((path) =>
    read(path)
      .split('\n')
      .filter((line) => new RegExp(`(${marks})(?! \\S+: \\S)`).test(line))
      .map((line) => `${path}: ${line.trim()}`),
  );
  assert.equal(bare, []);
});

test.run();
