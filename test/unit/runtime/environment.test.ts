// The environment of a task.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type TaskEnvironment, taskEnvironment } from '../../../node/runtime/environment.ts';

const BASE: TaskEnvironment = {
  path: '/usr/bin:/bin',
  virtualEnv: null,
  homeFolder: '/a/home',
  tmpFolder: '/a/tmp',
  lang: 'C.UTF-8',
  job: 'j-abc',
  task: 3,
  attempt: 2,
  item: null,
  workFolder: '/a/work',
  cpus: 1,
  env: {},
};

test('a task sees these variables and no others', () => {
  const env = taskEnvironment(BASE);
  const threads = Object.keys(env).filter((name) => /_THREADS$|GOMAXPROCS/.test(name));
  assert.ok(threads.includes('OMP_NUM_THREADS') && threads.every((name) => env[name] === '1'));
  const rest = Object.fromEntries(Object.entries(env).filter(([name]) => !threads.includes(name)));
  assert.equal(rest, {
    PATH: '/usr/bin:/bin',
    HOME: '/a/home',
    TMPDIR: '/a/tmp',
    LANG: 'C.UTF-8',
    SKEIN_JOB: 'j-abc',
    SKEIN_TASK: '3',
    SKEIN_ATTEMPT: '2',
    SKEIN_WORK: '/a/work',
  });
});

test('an item is there where there is one, the empty one too', () => {
  assert.is(taskEnvironment({ ...BASE, item: '' }).SKEIN_ITEM, '');
  assert.not('SKEIN_ITEM' in taskEnvironment(BASE));
});

test('libraries use as many threads as whole cpus were granted, at least one', () => {
  const threads = (cpus: number) => taskEnvironment({ ...BASE, cpus }).OPENBLAS_NUM_THREADS;
  assert.equal([0.5, 1, 2.9, 16].map(threads), ['1', '1', '2', '16']);
});

test('an active virtual environment comes first on the path, once', () => {
  const env = taskEnvironment({ ...BASE, virtualEnv: '/v', path: '/usr/bin:/v/bin:/bin' });
  assert.is(env.PATH, '/v/bin:/usr/bin:/bin');
  assert.is(env.VIRTUAL_ENV, '/v');
  assert.not('VIRTUAL_ENV' in taskEnvironment(BASE));
});

test('what the job sets wins', () => {
  const env = taskEnvironment({ ...BASE, env: { LANG: 'de_DE.UTF-8', OMP_NUM_THREADS: '8', MINE: '' } });
  assert.equal([env.LANG, env.OMP_NUM_THREADS, env.MINE], ['de_DE.UTF-8', '8', '']);
});

test.run();
