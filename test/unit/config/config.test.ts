import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadConfig } from '../../../node/config/config.ts';
import { editConfig } from '../../../node/config/edit.ts';
import type { Surroundings } from '../../../node/config/folders.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import { type TestFolder, testFolder } from '../../support/folder.ts';

const inside = (folder: TestFolder, env: Record<string, string> = {}): Surroundings => ({
  env: { XDG_CONFIG_HOME: folder.at('config'), XDG_STATE_HOME: folder.at('state'), ...env },
  cwd: folder.at('work'),
  home: folder.at('home'),
  uid: 1000,
});

async function failure(promise: Promise<unknown>): Promise<SkeinError> {
  const error = await promise.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  assert.instance(error, SkeinError);
  return error as SkeinError;
}

test('a flag wins over SKEIN_*, that over skein.yaml, that over config.yaml', async () => {
  using folder = testFolder();
  folder.write({
    'work/skein.yaml': 'timeout: 2m\nretries: 2\nname: file\n',
    'config/skein/config.yaml': 'timeout: 1m\nretries: 1\nkeep: 7d\nname: user\n',
  });
  const from = inside(folder, { SKEIN_TIMEOUT: '3m', SKEIN_RETRIES: '3' });
  const { job, explain } = await loadConfig({ timeout: '4m' }, from);
  assert.is(job.timeout, 240_000);
  assert.is(job.retries, 3);
  assert.is(job.name, 'file');
  assert.is(job.keep, 7 * 86_400_000);
  assert.equal(
    explain('timeout').map(({ from: place }) => place),
    [
      '--timeout',
      'SKEIN_TIMEOUT',
      `${folder.at('work/skein.yaml')}:1:1 timeout`,
      `${folder.at('config/skein/config.yaml')}:1:1 timeout`,
    ],
  );
  assert.equal(explain('max-lost'), [{ key: 'max-lost', value: null, from: 'default' }]);
});

test('variables, labels and needs of several places are joined key by key', async () => {
  using folder = testFolder();
  folder.write({ 'work/skein.yaml': 'env:\n  A: file\n  B: 2\nneeds:\n  mem: 4g\n' });
  const { job } = await loadConfig({ env: ['A=flag', 'C=x=y'], needs: 'cpu=2', labels: ['team=ml'] }, inside(folder));
  assert.equal(job.env, { A: 'flag', B: '2', C: 'x=y' });
  assert.equal(job.needs, { cpu: 2, memBytes: 4 * 1024 ** 3 });
  assert.equal(job.labels, { team: 'ml' });
});

test('a need that is named twice is no need', async () => {
  using folder = testFolder();
  for (const needs of ['cpu=1,cpu=2', 'mem=1g,memBytes=2g']) {
    assert.match((await failure(loadConfig({ needs }, inside(folder)))).message, /each once/);
  }
});

test('the names of a spec are taken in skein.yaml as well', async () => {
  using folder = testFolder();
  folder.write({
    'work/skein.yaml':
      'schema: skein.jobspec/1\ntimeoutMs: 5m\nkeepMs: 1000\nneeds: {memBytes: 1g, cpu: all}\nretryOn: [1, 75]\n',
  });
  const { job } = await loadConfig({}, inside(folder));
  assert.is(job.timeout, 300_000);
  assert.is(job.keep, 1000);
  assert.equal(job.needs, { memBytes: 1024 ** 3, cpu: 'all' });
  assert.equal(job.retryOn, [1, 75]);
});

test('a wrong value names file, line, column, key and what was expected', async () => {
  using folder = testFolder();
  folder.write({ 'work/skein.yaml': 'name: x\n\ntimeout: soon\n' });
  const error = await failure(loadConfig({}, inside(folder)));
  assert.is(error.code, 'config-invalid');
  assert.is(error.message, `${folder.at('work/skein.yaml')}:3:1 timeout: expected a duration such as 10m`);
});

test('an unknown key is told, with one that it may have meant', async () => {
  using folder = testFolder();
  folder.write({ 'work/skein.yaml': 'timeuot: 10m\n' });
  const error = await failure(loadConfig({}, inside(folder)));
  assert.is(error.code, 'config-invalid');
  assert.match(error.message, /skein\.yaml:1:1 timeuot: expected a setting such as timeout/);
});

test('what is no YAML names line and column', async () => {
  using folder = testFolder();
  folder.write({ 'config/skein/config.yaml': 'timeout: 1m\nname: [oops\n' });
  const error = await failure(loadConfig({}, inside(folder)));
  assert.is(error.code, 'config-invalid');
  assert.match(error.message, /config\.yaml:\d+:\d+: /);
  assert.not.match(error.message, /\n/);
});

test('a connection in skein.yaml is an error that names the line: a copied folder must not draw a key to a stranger', async () => {
  for (const key of ['gateway', 'mesh', 'key', 'key-file', 'keyFile', 'data']) {
    using folder = testFolder();
    folder.write({ 'work/skein.yaml': `timeout: 1m\n${key}: https://evil.example\n` });
    const error = await failure(loadConfig({}, inside(folder)));
    assert.is(error.code, 'config-invalid', key);
    assert.match(error.message, new RegExp(`skein\\.yaml:2:1 ${key}`));
  }
});

test('a wrong flag and a wrong variable name themselves', async () => {
  using folder = testFolder();
  assert.match(
    (await failure(loadConfig({ retries: 'many' }, inside(folder)))).message,
    /^--retries many: expected a whole number/,
  );
  const fromEnv = await failure(loadConfig({}, inside(folder, { SKEIN_PRIORITY: '500' })));
  assert.is(fromEnv.code, 'config-invalid');
  assert.match(fromEnv.message, /^SKEIN_PRIORITY=500: expected a whole number from -100 to 100/);
});

test('connections come from flags, SKEIN_* and config.yaml; the key never from a flag', async () => {
  using folder = testFolder();
  folder.write({ 'config/skein/config.yaml': 'gateway: https://a.example\nmesh: home\n' });
  const { connection } = await loadConfig(
    { mesh: 'work', key: 'leaked' },
    inside(folder, { SKEIN_GATEWAY: 'https://b.example', SKEIN_KEY: ' secret\n' }),
  );
  // A mesh that was asked for is not overruled by a gateway from a place that counts for less.
  assert.equal(connection, { mesh: 'work', key: 'secret' });
});

test('a setting that is kept leaves comments where they were', async () => {
  using folder = testFolder();
  folder.write({ 'config/skein/config.yaml': '# mine\ntimeout: 1m # short\n' });
  await editConfig('max-parallel', '4', inside(folder));
  const text = readFileSync(folder.at('config/skein/config.yaml'), 'utf8');
  assert.match(text, /# mine\ntimeout: 1m # short\n/);
  assert.is((await loadConfig({}, inside(folder))).job.maxParallel, 4);
  assert.is((await failure(editConfig('max-parallel', 'x', inside(folder)))).code, 'usage');
  assert.is((await failure(editConfig('nonsense', 'x', inside(folder)))).code, 'usage');
  for (const gateway of ['nowhere', 'ftp://host', 'https://host#sha256=short']) {
    assert.is((await failure(editConfig('gateway', gateway, inside(folder)))).code, 'config-invalid', gateway);
  }
});

test.run();
