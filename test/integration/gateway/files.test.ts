// Blobs and outputs over HTTP: whole, in parts, and as one archive.
import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';
import { Readable } from 'node:stream';
import { extract } from 'tar-stream';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { JobId } from '../../../protocol/ids.ts';
import { Door } from '../../support/door.ts';
import { ADMIN_KEY } from '../../support/fake-mesh.ts';

const test = suite<{ door: Door }>('files');
test.before.each(async (context) => {
  context.door = await Door.open();
});
test.after.each(async ({ door }) => {
  await door.close();
  assert.equal(door.faults, []);
});

const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

function send(door: Door, method: string, path: string, bytes: Buffer, headers: Record<string, string> = {}) {
  return door.ask(path, { method, headers: { 'content-length': String(bytes.length), ...headers }, raw: bytes });
}

test('a check tells which blobs are missing and where their uploads go on', async ({ door }) => {
  const here = door.mesh.blobs.keep('here');
  const bytes = randomBytes(100);
  await send(door, 'PATCH', `/v1/blobs/${sha(bytes)}/upload`, bytes.subarray(0, 40), {
    'upload-offset': '0',
    'upload-length': '100',
  });
  const { json } = await door.ask('/v1/blobs/check', { body: { sha256: [here, sha(bytes), 'f'.repeat(64)] } });
  assert.equal(json.missing, [
    { sha256: sha(bytes), offset: 40 },
    { sha256: 'f'.repeat(64), offset: 0 },
  ]);
  const many = await door.ask('/v1/blobs/check', { body: { sha256: Array.from({ length: 1001 }, () => here) } });
  assert.is(many.status, 400);
});

test('a blob is put, whatever its type says, and then it is there', async ({ door }) => {
  for (const headers of [{}, { 'content-type': 'application/json' }, { 'content-type': 'text/x-python' }]) {
    const bytes = randomBytes(5000);
    const path = `/v1/blobs/${sha(bytes)}`;
    assert.is((await send(door, 'PUT', path, bytes, headers)).status, 201);
    assert.is((await send(door, 'PUT', path, bytes, headers)).status, 200);
    assert.ok((await door.ask(path)).bytes.equals(bytes));
  }
  const empty = Buffer.alloc(0);
  assert.is((await send(door, 'PUT', `/v1/blobs/${sha(empty)}`, empty)).status, 201);
  assert.is((await door.ask(`/v1/blobs/${sha(empty)}`)).bytes.length, 0);
});

test('bytes of another hash are refused, and so is what is no hash', async ({ door }) => {
  const wrong = await send(door, 'PUT', `/v1/blobs/${'a'.repeat(64)}`, Buffer.from('x'));
  assert.equal([wrong.status, wrong.json.type], [422, '/problems/digest-mismatch']);
  assert.is((await send(door, 'PUT', '/v1/blobs/..%2fetc', Buffer.from('x'))).status, 400);
});

test('an upload goes on where it was cut off, and nowhere else', async ({ door }) => {
  const bytes = randomBytes(10_000);
  const path = `/v1/blobs/${sha(bytes)}/upload`;
  const part = (offset: number, to: number) =>
    send(door, 'PATCH', path, bytes.subarray(offset, to), {
      'upload-offset': String(offset),
      'upload-length': '10000',
    });
  const offsetNow = async () => (await door.ask(path, { method: 'HEAD' })).headers['upload-offset'];
  assert.is(await offsetNow(), '0');
  assert.is((await part(0, 4000)).status, 204);
  assert.is(await offsetNow(), '4000');
  const gap = await part(5000, 10_000);
  assert.equal([gap.status, gap.json.type, gap.json.offset], [409, '/problems/bad-offset', 4000]);
  const last = await part(4000, 10_000);
  assert.equal([last.status, last.headers['upload-offset']], [201, '10000']);
  assert.is(await offsetNow(), '10000');
  const unsaid = await send(door, 'PATCH', path, bytes, { 'upload-offset': 'x', 'upload-length': '1' });
  assert.equal([unsaid.status, unsaid.json.field], [400, 'upload-offset']);
});

test('a client that goes away in the middle leaves what it sent for the next', async ({ door }) => {
  const bytes = randomBytes(300_000);
  const path = `/v1/blobs/${sha(bytes)}/upload`;
  const headers = {
    authorization: `Bearer ${ADMIN_KEY}`,
    'upload-offset': '0',
    'upload-length': '300000',
    'content-length': '300000',
  };
  const request = http.request(door.url + path, { method: 'PATCH', headers });
  request.on('error', () => undefined);
  request.write(bytes.subarray(0, 200_000));
  const offsetNow = async () => Number((await door.ask(path, { method: 'HEAD' })).headers['upload-offset']);
  const deadline = performance.now() + 5000;
  while ((await offsetNow()) < 200_000 && performance.now() < deadline);
  request.destroy();
  const offset = await offsetNow();
  assert.is(offset, 200_000);
  const rest = { 'upload-offset': String(offset), 'upload-length': '300000' };
  assert.is((await send(door, 'PATCH', path, bytes.subarray(offset), rest)).status, 201);
});

test('a range of a blob is 206, one outside 416, and an unchanged one 304', async ({ door }) => {
  const bytes = Buffer.from('0123456789');
  const sha256 = door.mesh.blobs.keep(bytes);
  const get = (headers: Record<string, string>, method = 'GET') => door.ask(`/v1/blobs/${sha256}`, { method, headers });
  const part = await get({ range: 'bytes=2-4' });
  assert.equal([part.status, part.bytes.toString(), part.headers['content-range']], [206, '234', 'bytes 2-4/10']);
  assert.is((await get({ range: 'bytes=-3' })).bytes.toString(), '789');
  const outside = await get({ range: 'bytes=10-' });
  assert.equal(
    [outside.status, outside.headers['content-range'], outside.json.type],
    [416, 'bytes */10', '/problems/range-not-satisfiable'],
  );
  const whole = await get({});
  assert.is(whole.headers.etag, `"${sha256}"`);
  assert.match(whole.headers['cache-control'] ?? '', /immutable/);
  assert.is((await get({ 'if-none-match': `"${sha256}"` })).status, 304);
  assert.is((await get({ range: 'bytes=2-4', 'if-range': '"other"' })).status, 200);
  assert.is((await get({ range: 'bytes=2-4', 'if-range': `"${sha256}"` })).status, 206);
  assert.is((await get({ 'if-none-match': `"x", W/"${sha256}"` })).status, 304);
  const other = await get({ 'if-match': '"x"' });
  assert.equal([other.status, other.json.type], [412, '/problems/precondition-failed']);
  assert.is((await get({ 'if-match': `"${sha256}"` })).status, 200);
  for (const refused of [outside, other]) {
    assert.equal([refused.headers['cache-control'], refused.headers.etag], ['no-store', undefined]);
  }
  // A range is of what GET brings: HEAD tells of the whole (RFC 9110, 14.2).
  const head = await get({ range: 'bytes=2-4' }, 'HEAD');
  assert.equal([head.status, head.headers['content-length'], head.bytes.length], [200, '10', 0]);
  assert.is((await door.ask(`/v1/blobs/${'f'.repeat(64)}`)).status, 404);
});

/** A job of two tasks whose outputs share one pack. */
async function withOutputs(door: Door): Promise<{ jobId: JobId; pack: Buffer }> {
  const pack = Buffer.from('first filesecond file');
  const blob = door.mesh.blobs.keep(pack);
  const file = (path: string, offset: number, sizeBytes: number, mode = 0o644) => ({
    kind: 'file' as const,
    path,
    mode,
    sha256: sha(pack.subarray(offset, offset + sizeBytes)) as never,
    span: { blob, offset, sizeBytes },
  });
  const jobId = await door.submit({ items: { list: ['a', 'b'] } });
  const first = [
    file('out/b ü.txt', 0, 10),
    file('a.sh', 10, 11, 0o755),
    { kind: 'link' as const, path: 'l', target: 'a.sh' },
  ];
  door.mesh.finish(jobId, 1, door.mesh.grant(jobId, 1), { outputs: { kind: 'inline', files: first } });
  door.mesh.finish(jobId, 2, door.mesh.grant(jobId, 2), { outputs: { kind: 'inline', files: [file('empty', 0, 0)] } });
  return { jobId, pack };
}

test('the manifest of a task is sorted and whole, and empty before there is a result', async ({ door }) => {
  const { jobId, pack } = await withOutputs(door);
  const { json } = await door.ask(`/v1/jobs/${jobId}/tasks/1/outputs`);
  assert.equal(json.items, [
    { path: 'a.sh', kind: 'file', mode: 0o755, bytes: 11, sha256: sha(pack.subarray(10)), target: null },
    { path: 'l', kind: 'link', mode: null, bytes: null, sha256: null, target: 'a.sh' },
    { path: 'out/b ü.txt', kind: 'file', mode: 0o644, bytes: 10, sha256: sha(pack.subarray(0, 10)), target: null },
  ]);
  const waiting = await door.submit();
  assert.equal((await door.ask(`/v1/jobs/${waiting}/tasks/1/outputs`)).json.items, []);
});

test('one output is fetched by its path, also in part', async ({ door }) => {
  const { jobId, pack } = await withOutputs(door);
  const path = `/v1/jobs/${jobId}/tasks/1/outputs/out/${encodeURIComponent('b ü.txt')}`;
  const whole = await door.ask(path);
  assert.equal([whole.bytes.toString(), whole.headers.etag], ['first file', `"${sha(pack.subarray(0, 10))}"`]);
  assert.is((await door.ask(path, { headers: { range: 'bytes=6-' } })).bytes.toString(), 'file');
  assert.is((await door.ask(path, { headers: { range: 'bytes=10-' } })).status, 416);
  assert.is((await door.ask(path, { method: 'HEAD' })).headers['content-length'], '10');
  assert.is((await door.ask(`/v1/jobs/${jobId}/tasks/2/outputs/empty`)).bytes.length, 0);
  assert.is((await door.ask(`/v1/jobs/${jobId}/tasks/1/outputs/nope`)).status, 404);
  assert.is((await door.ask(`/v1/jobs/${jobId}/tasks/1/outputs/..%2f..%2fetc%2fpasswd`)).status, 404);
  const link = await door.ask(`/v1/jobs/${jobId}/tasks/1/outputs/l`);
  assert.equal([link.status, link.json.target], [409, 'a.sh']);
});

test('an output whose bytes are gone says so', async ({ door }) => {
  const jobId = await door.submit();
  const blob = 'f'.repeat(64) as never;
  const file = { kind: 'file' as const, path: 'a', mode: 0o644, sha256: blob, span: { blob, offset: 0, sizeBytes: 3 } };
  door.mesh.finish(jobId, 1, door.mesh.grant(jobId, 1), { outputs: { kind: 'inline', files: [file] } });
  const answer = await door.ask(`/v1/jobs/${jobId}/tasks/1/outputs/a`);
  assert.equal([answer.status, answer.json.type], [410, '/problems/gone']);
});

test('everything of a job comes as one archive, of a length known beforehand, also in part', async ({ door }) => {
  const { jobId } = await withOutputs(door);
  const path = `/v1/jobs/${jobId}/outputs.tar`;
  const whole = await door.ask(path);
  assert.equal([whole.status, whole.headers['content-type']], [200, 'application/x-tar']);
  assert.is(Number(whole.headers['content-length']), whole.bytes.length);
  assert.equal(await namesIn(whole.bytes), ['1/a.sh', '1/l', '1/out/b ü.txt', '2/empty']);
  assert.equal(await namesIn((await door.ask(`${path}?tasks=2`)).bytes), ['2/empty']);
  assert.equal(await namesIn((await door.ask(`${path}?tasks=1-2&prefix=out/`)).bytes), ['1/out/b ü.txt']);
  const part = await door.ask(path, { headers: { range: 'bytes=500-2000', 'if-range': String(whole.headers.etag) } });
  assert.equal([part.status, part.headers['content-range']], [206, `bytes 500-2000/${whole.bytes.length}`]);
  assert.ok(part.bytes.equals(whole.bytes.subarray(500, 2001)));
  assert.is((await door.ask(path, { headers: { range: 'bytes=999999-' } })).status, 416);
  assert.is((await door.ask(`${path}?tasks=x`)).status, 400);
});

async function namesIn(bytes: Buffer): Promise<string[]> {
  const names: string[] = [];
  const unpack = extract();
  Readable.from([bytes]).pipe(unpack);
  for await (const entry of unpack) {
    names.push(entry.header.name);
    entry.resume();
  }
  return names;
}

test('an archive of tasks or paths that are not there is a problem, one of a job that left nothing is empty', async ({
  door,
}) => {
  const jobId = await door.submit({ items: { list: ['x', 'y'] } });
  const tar = async (query: string) => {
    const { status, json } = await door.ask(`/v1/jobs/${jobId}/outputs.tar${query}`);
    return status === 200 ? 200 : [status, json.type];
  };
  assert.is(await tar(''), 200);
  assert.is(await tar('?tasks=1-2'), 200);
  for (const query of ['?tasks=3', '?tasks=2-3', '?prefix=nothing']) {
    assert.equal(await tar(query), [404, '/problems/not-found'], query);
  }
  assert.equal(await tar('?tasks=2-1'), [400, '/problems/invalid-request']);
});

test('a header of an upload that is missing or no number is named as a header', async ({ door }) => {
  const path = `/v1/blobs/${'a'.repeat(64)}/upload`;
  for (const headers of [{ 'upload-offset': '0' }, { 'upload-offset': '0', 'upload-length': '0x10' }]) {
    const { status, json } = await send(door, 'PATCH', path, Buffer.from('x'), headers as Record<string, string>);
    assert.equal([status, json.field], [400, 'upload-length']);
    assert.match(json.sentence, /^the header upload-length (is missing|must be a number of bytes)$/);
  }
});

test.run();
