// Lines between daemon and runner, and the record of an end.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { encodeLine, LineReader, parseExitRecord, parseMessage, type ToRunner } from '../../../node/runtime/wire.ts';
import type { Fence } from '../../../protocol/ids.ts';

const RECORD = {
  fence: 'f.1' as Fence,
  folder: '/a',
  exit: { code: 1, signal: null },
  reason: 'exited',
  detail: null,
  startedAt: 1,
  endedAt: 2,
  bootId: 'this one',
} as const;

test('lines come out whole, however they were cut', () => {
  const messages: ToRunner[] = [{ kind: 'kill', graceMs: 5, signal: 'SIGINT' }, { kind: 'leave' }];
  const text = messages.map(encodeLine).join('');
  for (let cut = 0; cut <= text.length; cut++) {
    const reader = new LineReader();
    const lines = [...reader.push(text.slice(0, cut)), ...reader.push(text.slice(cut))];
    assert.equal(lines.map(parseMessage), messages);
  }
});

test('a line without end is not gathered for ever', () => {
  const reader = new LineReader();
  const chunk = 'x'.repeat(16 * 1024 * 1024);
  assert.throws(() => {
    for (let i = 0; i < 4; i++) reader.push(chunk);
  });
});

test('what is no message is none', () => {
  for (const line of ['', '{', 'null', '7', '[]', '{"kind":3}']) assert.is(parseMessage(line), undefined);
});

test('a record is taken whole, of this boot, or not at all', () => {
  const text = JSON.stringify(RECORD);
  assert.equal(parseExitRecord(text, 'this one'), RECORD);
  assert.is(parseExitRecord(text, 'another'), undefined);
  for (let cut = 0; cut < text.length; cut++) assert.is(parseExitRecord(text.slice(0, cut), 'this one'), undefined);
  for (const key of ['fence', 'exit', 'reason', 'startedAt', 'endedAt']) {
    assert.is(parseExitRecord(JSON.stringify({ ...RECORD, [key]: undefined }), 'this one'), undefined, key);
  }
});

test.run();
