import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { SkeinError } from '../../../protocol/errors.ts';
import { encodeAnswer, encodeFailure, encodeRequest, type Frame, FrameReader } from '../../../protocol/wire/frame.ts';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const whole = (...frames: (readonly Uint8Array[])[]): Uint8Array =>
  Uint8Array.from(frames.flat().flatMap((part) => [...part]));

function readInPieces(stream: Uint8Array, size: number): Frame[] {
  const reader = new FrameReader();
  const frames: Frame[] = [];
  for (let at = 0; at < stream.length; at += size) frames.push(...reader.push(stream.slice(at, at + size)));
  return frames;
}

test('frames come out whole, whatever pieces they arrive in', () => {
  const failure = new SkeinError('bad-offset', 'not here', { fix: 'there', extra: { offset: 3 }, retryAfterMs: 9 });
  const stream = whole(
    encodeRequest(1, 'log.read', bytes(1, 2, 3)),
    encodeAnswer(0xffffffff, bytes()),
    encodeFailure(7, failure),
    encodeRequest(2, 'x', bytes()),
  );
  for (const size of [1, 2, 3, 5, 8, 13, 1000]) {
    const [request, answer, failed, last] = readInPieces(stream, size);
    assert.equal(request, { kind: 'request', id: 1, method: 'log.read', body: bytes(1, 2, 3) });
    assert.equal(answer, { kind: 'answer', id: 0xffffffff, body: bytes() });
    assert.equal(last, { kind: 'request', id: 2, method: 'x', body: bytes() });
    if (failed?.kind !== 'failure') throw new Error('a failure was expected');
    const { code, message, fix, extra, retryAfterMs } = failed.error;
    assert.equal(
      [failed.id, code, message, fix, extra, retryAfterMs],
      [7, 'bad-offset', 'not here', 'there', { offset: 3 }, 9],
    );
  }
});

test('a length beyond the bound is refused before anything of it is kept', () => {
  assert.throws(
    () => new FrameReader().push(bytes(0x7f, 0xff, 0xff, 0xff)),
    (error: SkeinError) => error.code === 'invalid-request',
  );
  assert.throws(
    () => new FrameReader().push(bytes(0, 0, 0, 1, 0)),
    (error: SkeinError) => error.code === 'invalid-request',
  );
});

test('an unknown kind, a cut method and a failure that is no JSON are refused', () => {
  for (const frame of [
    bytes(0, 0, 0, 5, 0, 0, 0, 1, 9),
    bytes(0, 0, 0, 6, 0, 0, 0, 1, 1, 200),
    bytes(0, 0, 0, 6, 0, 0, 0, 1, 3, 0x7b),
  ]) {
    assert.throws(
      () => new FrameReader().push(frame),
      (error: SkeinError) => error.code === 'invalid-request',
    );
  }
});

test('a code that this version does not know becomes internal-error, also one that names a property of every object', () => {
  for (const code of ['from-the-future', 'toString']) {
    const [head, body] = encodeFailure(1, Object.assign(new SkeinError('gone', 'x'), { code }));
    const frame = new FrameReader().push(whole([head, body]))[0];
    assert.is(frame?.kind === 'failure' && frame.error.code, 'internal-error');
  }
});

test('a body over 1 MiB is refused at the writer', () => {
  assert.throws(
    () => encodeAnswer(1, new Uint8Array(1_048_577)),
    (error: SkeinError) => error.code === 'too-large',
  );
});

test.run();
