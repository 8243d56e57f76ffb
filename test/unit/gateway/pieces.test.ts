// The small parts of the door: cursors, ranges, canonical bodies, JSON with bounds.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseJson } from '../../../gateway/bodies.ts';
import { makeCursor, readCursor } from '../../../gateway/cursor.ts';
import { canonical } from '../../../gateway/idempotency.ts';
import { isLoopback } from '../../../gateway/loopback.ts';
import { contentRange, parseRange } from '../../../gateway/range.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import type { EpochId, MeshId } from '../../../protocol/ids.ts';

const mesh = { meshId: 'a'.repeat(32) as MeshId, epochId: 'b'.repeat(32) as EpochId };
const fails = (f: () => unknown, code: string): void =>
  assert.throws(f, (error: unknown) => error instanceof SkeinError && error.code === code);

test('a cursor leads back to its place, on every gateway of the mesh', () => {
  assert.is(readCursor({ ...mesh }, 'jobs', makeCursor(mesh, 'jobs', 1234)), 1234);
});

test('a cursor that is altered, of another list, mesh or epoch is refused', () => {
  const cursor = makeCursor(mesh, 'jobs', 1234);
  for (let at = 0; at < cursor.length; at++) {
    const altered = cursor.slice(0, at) + (cursor[at] === 'A' ? 'B' : 'A') + cursor.slice(at + 1);
    // The last character of base64 may hold bits that say nothing.
    if (Buffer.from(altered, 'base64url').equals(Buffer.from(cursor, 'base64url'))) continue;
    fails(() => readCursor(mesh, 'jobs', altered), 'bad-cursor');
  }
  fails(() => readCursor(mesh, 'tasks/x', cursor), 'bad-cursor');
  fails(() => readCursor({ ...mesh, epochId: 'c'.repeat(32) as EpochId }, 'jobs', cursor), 'bad-cursor');
  fails(() => readCursor({ ...mesh, meshId: 'c'.repeat(32) as MeshId }, 'jobs', cursor), 'bad-cursor');
  for (const nonsense of ['', '%', 'null', '\0']) fails(() => readCursor(mesh, 'jobs', nonsense), 'bad-cursor');
});

test('a range is cut to what there is, and one outside is refused with the length that there is', () => {
  assert.equal(parseRange('bytes=0-0', 10), { offset: 0, sizeBytes: 1 });
  assert.equal(parseRange('bytes=3-', 10), { offset: 3, sizeBytes: 7 });
  assert.equal(parseRange('bytes=3-99', 10), { offset: 3, sizeBytes: 7 });
  assert.equal(parseRange('bytes=3-99999999999999999999', 10), { offset: 3, sizeBytes: 7 });
  assert.equal(parseRange('BYTES=3-', 10), { offset: 3, sizeBytes: 7 });
  assert.equal(parseRange('bytes=-4', 10), { offset: 6, sizeBytes: 4 });
  assert.equal(parseRange('bytes=-99', 10), { offset: 0, sizeBytes: 10 });
  for (const header of ['bytes=10-', 'bytes=99-100', 'bytes=-0', 'bytes=99999999999999999999-'])
    fails(() => parseRange(header, 10), 'range-not-satisfiable');
  fails(() => parseRange('bytes=0-', 0), 'range-not-satisfiable');
  assert.is(contentRange({ offset: 3, sizeBytes: 7 }, 10), 'bytes 3-9/10');
});

test('what is no single range of bytes is answered whole', () => {
  for (const header of [undefined, '', 'bytes=-', 'bytes=5-2', 'bytes=0-1,3-4', 'lines=0-1', 'bytes=a-b']) {
    assert.is(parseRange(header, 10), undefined);
  }
  assert.is(parseRange('bytes=-5', 0), undefined, 'the last bytes of nothing are all of it');
});

test('two bodies that mean the same have one canonical text', () => {
  assert.is(canonical({ b: [1, { d: null, c: 'x' }], a: true }), canonical({ a: true, b: [1, { c: 'x', d: null }] }));
  assert.is.not(canonical({ a: [1, 2] }), canonical({ a: [2, 1] }));
  assert.is.not(canonical({ a: '1' }), canonical({ a: 1 }));
});

test('JSON is bounded in depth, whatever hides in its strings', () => {
  const nested = (levels: number): Buffer => Buffer.from('['.repeat(levels) + ']'.repeat(levels));
  assert.ok(parseJson(nested(64)));
  fails(() => parseJson(nested(65)), 'invalid-request');
  fails(() => parseJson(nested(100_000)), 'invalid-request');
  assert.equal(parseJson(Buffer.from(JSON.stringify({ a: `"${'['.repeat(500)}\\` }))), { a: `"${'['.repeat(500)}\\` });
  fails(() => parseJson(Buffer.from('{"a":')), 'invalid-request');
  assert.equal(parseJson(Buffer.alloc(0)), {});
});

test('loopback is what only this machine can reach', () => {
  for (const host of ['127.0.0.1', '127.1.2.3', '::1', 'localhost']) assert.is(isLoopback(host), true, host);
  for (const host of ['0.0.0.0', '::', '10.0.0.1', '127.0.0.1.example.org', 'example.org', '']) {
    assert.is(isLoopback(host), false, host);
  }
});

test.run();
