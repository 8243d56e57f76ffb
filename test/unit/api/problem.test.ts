// Errors as problem documents and back.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf, errorOf, problemOf } from '../../../protocol/api/problem.ts';
import { type ErrorCode, failures, SkeinError } from '../../../protocol/errors.ts';

test('every code of the table survives the way over the wire, with its fix, its wait and its extras', () => {
  for (const code of Object.keys(failures) as ErrorCode[]) {
    const error = new SkeinError(code, 'it went wrong', { fix: 'do this', retryAfterMs: 7, extra: { missing: ['x'] } });
    const back = errorOf(JSON.parse(JSON.stringify(problemOf(error, 'r-1'))));
    assert.is(back?.code, code);
    assert.is(back?.message, 'it went wrong');
    assert.is(back?.fix, 'do this');
    assert.is(back?.retryAfterMs, 7);
    assert.equal(back?.extra, { missing: ['x'] });
  }
});

test('every problem says what to do next, also where the error itself does not', () => {
  for (const code of Object.keys(failures) as ErrorCode[]) {
    assert.ok(problemOf(new SkeinError(code, 'it went wrong'), null).fix.length > 5, code);
  }
});

test('what is no problem of this version is none', () => {
  for (const document of [
    null,
    'x',
    {},
    { type: '/problems/not-found' },
    { type: '/problems/toString', sentence: 'x' },
  ]) {
    assert.is(errorOf(document), undefined);
  }
  assert.is(codeOf('https://example.org/problems/not-found'), 'not-found');
});

test('an extra cannot overwrite what the document itself says', () => {
  const error = new SkeinError('not-found', 'gone fishing', { extra: { status: 200, type: 'x', sentence: 'y' } });
  const problem = problemOf(error, null);
  assert.is(problem.status, 404);
  assert.is(problem.type, '/problems/not-found');
  assert.is(problem.sentence, 'gone fishing');
});

test.run();
