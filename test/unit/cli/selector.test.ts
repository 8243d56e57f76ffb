import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { lastJob, noteJob, ownJobs } from '../../../node/cli/own-jobs.ts';
import { oneTask, parseSelector, select } from '../../../node/cli/selector.ts';
import type { Surroundings } from '../../../node/config/folders.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import { testFolder } from '../../support/folder.ts';

const isUsage = (error: unknown): boolean => error instanceof SkeinError && error.code === 'usage';

test('jobs are named by id, by its beginning, with or without j-, and tasks by number or range', () => {
  assert.equal(parseSelector('j-abcdefghijklmnop'), { job: 'j-abcdefghijklmnop', tasks: undefined });
  assert.equal(parseSelector('j-abcd/17'), { job: 'j-abcd', tasks: { from: 17, to: 17 } });
  assert.equal(parseSelector('abcd/3-9'), { job: 'j-abcd', tasks: { from: 3, to: 9 } });
  assert.equal(parseSelector('@last/2'), { job: '@last', tasks: { from: 2, to: 2 } });
  for (const text of [
    '',
    'j-',
    'j-abc',
    'abc',
    'J-ABCD',
    'j-abcd/0',
    'j-abcd/9-3',
    'j-abcd/x',
    '@first',
    '../etc',
    'j-abcd18',
  ]) {
    assert.throws(() => parseSelector(text), isUsage, text);
  }
  assert.throws(() => oneTask(parseSelector('j-abcd/3-9')), isUsage);
});

test('@last is the last job that this user submitted here', async () => {
  using folder = testFolder();
  const from: Surroundings = { env: { XDG_STATE_HOME: folder.path }, cwd: '/', home: '/', uid: 1 };
  const error = await select('@last', from).then(
    () => undefined,
    (caught: unknown) => caught,
  );
  assert.is(error instanceof SkeinError && error.code, 'not-found');
  await noteJob('j-aaaa', from);
  await noteJob('j-bbbb', from);
  assert.is(await lastJob(from), 'j-bbbb');
  assert.equal(await select('@last/3', from), { job: 'j-bbbb', tasks: { from: 3, to: 3 } });
});

test('the list of own jobs does not grow for ever', async () => {
  using folder = testFolder();
  const from: Surroundings = { env: { XDG_STATE_HOME: folder.path }, cwd: '/', home: '/', uid: 1 };
  folder.write({
    'skein/jobs.list': Array.from({ length: 3000 }, (_, n) => `j-${'a'.repeat(12)}${n + 1000}\n`).join(''),
  });
  await noteJob('j-newest', from);
  const kept = await ownJobs(from);
  assert.is(kept.length, 1000);
  assert.is(kept.at(-1), 'j-newest');
});

test.run();
