// Ids and fences: their text forms.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type EpochId, isJobId, isSha256, makeFence, makeJobId, parseFence } from '../../protocol/ids.ts';

const epochId = '0123456789abcdef'.repeat(2) as EpochId;

test('a job id spells all 80 bits of its chance', () => {
  assert.is(makeJobId(new Uint8Array(10)), 'j-aaaaaaaaaaaaaaaa');
  assert.is(makeJobId(new Uint8Array(10).fill(255)), 'j-7777777777777777');
  const ids = new Set<string>();
  for (let bit = 0; bit < 80; bit++) {
    const bytes = new Uint8Array(10);
    bytes[bit >> 3] = 1 << (bit & 7);
    ids.add(makeJobId(bytes));
  }
  assert.is(ids.size, 80);
  assert.ok([...ids].every(isJobId));
});

test('a job id takes no more than the first ten bytes', () => {
  assert.is(makeJobId(new Uint8Array(16).fill(7)), makeJobId(new Uint8Array(10).fill(7)));
});

test('a text that is not quite a job id is none', () => {
  for (const text of [
    '',
    'j-',
    'j-aaaaaaaaaaaaaaa',
    'j-aaaaaaaaaaaaaaaaa',
    'j-aaaaaaaaaaaaaaa1',
    'J-aaaaaaaaaaaaaaaa',
  ]) {
    assert.not.ok(isJobId(text), text);
  }
  assert.not.ok(isJobId('j-aaaaaaaaaaaaaaaa\n'));
});

test('a fence says its epoch and its index', () => {
  assert.is(makeFence(epochId, 42), `${epochId}.42`);
  assert.equal(parseFence(makeFence(epochId, 42)), { epochId, index: 42 });
});

test('a text that is not quite a fence is none', () => {
  const { length } = epochId;
  const wrong = ['', '.', epochId, `${epochId}.`, `${epochId}.0`, `${epochId}.01`, `${epochId}.-1`, `${epochId}.1.2`];
  for (const text of [...wrong, `${epochId.slice(0, length - 1)}.1`, `${epochId.toUpperCase()}.1`, ` ${epochId}.1`]) {
    assert.is(parseFence(text), undefined, text);
  }
});

test('a sha-256 is 64 lower-case hex digits', () => {
  assert.ok(isSha256('0a'.repeat(32)));
  for (const text of ['', '0a'.repeat(31), `${'0a'.repeat(32)}0`, '0A'.repeat(32), `${'0a'.repeat(31)}0g`]) {
    assert.not.ok(isSha256(text), text);
  }
});

test.run();
