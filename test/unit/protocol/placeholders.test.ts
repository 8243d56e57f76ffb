import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fill, fillArgs, holdsPlaceholder, itemText } from '../../../protocol/api/placeholders.ts';

test('an item stands for {}, its parts for {.} {/} {/.}', () => {
  const cases: readonly (readonly [string, unknown, string])[] = [
    ['{}', 'a/b.tar.gz', 'a/b.tar.gz'],
    ['{.}', 'a/b.tar.gz', 'a/b.tar'],
    ['{/}', 'a/b.tar.gz', 'b.tar.gz'],
    ['{/.}', 'a/b.tar.gz', 'b.tar'],
    ['out/{/.}.json', 'in/x.csv', 'out/x.json'],
    ['{.}', 'a.d/b', 'a.d/b'],
    ['--n={}', 7, '--n=7'],
    ['{}{}', 'x', 'xx'],
    ['{}', '{.}', '{.}'],
    ['plain', 'x', 'plain'],
    ['{ }', 'x', '{ }'],
    ['{name}', 'x', '{name}'],
  ];
  for (const [arg, item, filled] of cases) assert.is(fill(arg, item), filled, arg);
});

test('fields of an object fill {key}, and other braces stay', () => {
  const item = { city: 'Zürich', n: 3, deep: { a: 1 } };
  assert.is(fill('{city}-{n}-{deep}-{none}', item), 'Zürich-3-{"a":1}-{none}');
  assert.is(fill('{toString}', item), '{toString}');
  assert.ok(holdsPlaceholder('{city}', item));
  assert.not.ok(holdsPlaceholder('{none}', item));
  assert.is(itemText(item), '{"city":"Zürich","n":3,"deep":{"a":1}}');
});

test('without a placeholder the item comes last', () => {
  assert.equal(fillArgs(['-v'], 'x'), ['-v', 'x']);
  assert.equal(fillArgs([], 5), ['5']);
  assert.equal(fillArgs(['{/}', '-v'], 'a/x'), ['x', '-v']);
});

test.run();
