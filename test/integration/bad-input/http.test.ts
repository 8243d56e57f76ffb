// What a real gateway answers to requests that are malformed, oversized, nested, slow or idle, and to places in lists and files
// that do not exist; meanwhile and afterwards it serves.
import { connect, type Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Mesh, until } from '../../support/mesh.ts';

const test = suite<{ mesh: Mesh; port: number }>('bad requests');

test.before(async (context) => {
  context.mesh = new Mesh();
  await context.mesh.up();
  context.port = Number(new URL(context.mesh.gateway.ready.url ?? '').port);
});
test.after(async ({ mesh }) => {
  const { jobId } = await mesh.shell('echo works');
  assert.is((await mesh.untilEnded(jobId)).state, 'completed');
  const faults = mesh.gateway.log().filter(({ level }) => Number(level) >= 50);
  await mesh[Symbol.asyncDispose]();
  assert.equal(faults, [], 'nothing of this is a bug of the gateway');
});

/** @returns the status, the problem's name and whether it says what happened. */
async function ask(
  mesh: Mesh,
  method: string,
  path: string,
  { body, headers = {} }: { body?: string | Uint8Array<ArrayBuffer>; headers?: Record<string, string> } = {},
): Promise<readonly [number, string]> {
  const type = body === undefined ? {} : { 'content-type': 'application/json' };
  const answer = await mesh.request(method, path, body, { ...type, ...headers });
  const problem = (await answer.json()) as { type: string; sentence: string; requestId: string | null };
  assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/, `${method} ${path}`);
  assert.ok(problem.sentence.length > 10 && problem.sentence.length < 1_000, problem.sentence);
  assert.not.match(problem.sentence, /\.ts|node:|\n/);
  return [answer.status, problem.type.replace('/problems/', '')];
}

async function open(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  // Being cut off is what some of these are owed.
  socket.on('error', () => undefined);
  await new Promise((resolve) => socket.once('connect', resolve).once('close', resolve));
  return socket;
}

/** Everything that comes until the other side ends it. */
async function whole(socket: Socket, withinMs: number): Promise<string> {
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await until('the gateway ends the connection', () => socket.closed, { withinMs, seen: () => text });
  return text;
}

test('bodies that are malformed, nested, too large, of another type, or lie about their length', async ({ mesh }) => {
  const bodies: readonly (readonly [body: string, answer: readonly [number, string]])[] = [
    ['{"schema":', [400, 'invalid-request']],
    ['null', [400, 'invalid-request']],
    ['[]', [400, 'invalid-request']],
    ['"text"', [400, 'invalid-request']],
    ['\u0000\u0001', [400, 'invalid-request']],
    [`{"schema":"skein.jobspec/1","command":["a"],"args":${'['.repeat(100_000)}`, [400, 'invalid-request']],
    [`{"a":`.repeat(50_000), [400, 'invalid-request']],
    ['{"schema":"skein.jobspec/1","command":["true"],"__proto__":{"x":1}}', [400, 'invalid-request']],
    ['{"schema":"skein.jobspec/1","command":[""]}', [400, 'invalid-request']],
    ['{"schema":"skein.jobspec/1","command":["a\\u0000b"]}', [400, 'invalid-request']],
    ['{"schema":"skein.jobspec/9","command":["true"]}', [400, 'invalid-request']],
    ['{"schema":"skein.jobspec/1","command":["true"],"runtime":"docker"}', [422, 'runtime-unknown']],
    [
      '{"schema":"skein.jobspec/1","command":["true"],"items":{"range":{"from":1,"to":9007199254740991}}}',
      [400, 'invalid-request'],
    ],
    ['{"schema":"skein.jobspec/1","command":["true"],"needs":{"cpu":1e309}}', [400, 'invalid-request']],
    [`{"schema":"skein.jobspec/1","command":["true"],"name":"${'x'.repeat(300)}"}`, [400, 'invalid-request']],
    [' '.repeat(33 * 1024 * 1024), [413, 'too-large']],
  ];
  for (const [body, answer] of bodies) {
    assert.equal(await ask(mesh, 'POST', '/v1/jobs', { body }), answer, body.slice(0, 80));
  }
  const text = { 'content-type': 'text/plain' };
  const body = '{"schema":"skein.jobspec/1","command":["true"]}';
  assert.equal(await ask(mesh, 'POST', '/v1/jobs', { body, headers: text }), [415, 'unsupported-media-type']);
  const form = { 'content-type': 'multipart/form-data; boundary=x' };
  assert.equal(await ask(mesh, 'POST', '/v1/jobs', { body, headers: form }), [415, 'unsupported-media-type']);
  const key = { 'idempotency-key': 'k'.repeat(129) };
  assert.equal(await ask(mesh, 'POST', '/v1/jobs', { body, headers: key }), [400, 'invalid-request']);
  const latin = new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]);
  assert.equal(await ask(mesh, 'POST', '/v1/jobs', { body: latin }), [400, 'invalid-request']);
});

test('one key for two bodies, a blob that is not what it is called, an upload at a wrong place', async ({ mesh }) => {
  const headers = { 'idempotency-key': 'twice' };
  await mesh.submit({ command: ['true'] }, 'twice');
  const body = '{"schema":"skein.jobspec/1","command":["false"]}';
  assert.equal(await ask(mesh, 'POST', '/v1/jobs', { body, headers }), [422, 'idempotency-mismatch']);
  const wrong = 'ab'.repeat(32);
  const bytes = { headers: { 'content-type': 'application/octet-stream' } };
  assert.equal(await ask(mesh, 'PUT', `/v1/blobs/${wrong}`, { body: 'other', ...bytes }), [422, 'digest-mismatch']);
  assert.equal(await ask(mesh, 'PUT', '/v1/blobs/nohash', { body: 'x', ...bytes }), [400, 'invalid-request']);
  const at = { 'content-type': 'application/octet-stream', 'upload-offset': '7', 'upload-length': '9' };
  assert.equal(await ask(mesh, 'PATCH', `/v1/blobs/${wrong}/upload`, { body: 'x', headers: at }), [409, 'bad-offset']);
  assert.equal(await ask(mesh, 'GET', `/v1/blobs/${wrong}`), [404, 'not-found']);
  const script = { path: 'a.sh', sha256: wrong };
  const lacking = JSON.stringify({ schema: 'skein.jobspec/1', script });
  assert.equal(await ask(mesh, 'POST', '/v1/jobs', { body: lacking }), [409, 'blobs-missing']);
});

test('forged cursors, ids and numbers that name nothing, ranges that lie outside', async ({ mesh }) => {
  const { jobId } = await mesh.shell('printf 0123456789 > out.txt; printf abc');
  await mesh.untilEnded(jobId);
  const genuine = (await mesh.get<{ next: string }>('/v1/jobs?limit=1')).next;
  const altered = Buffer.from(Buffer.from(genuine, 'base64url').toString().replace(/\d+$/, '1')).toString('base64url');
  for (const cursor of [
    altered,
    'x',
    '%00',
    `${genuine}x`,
    Buffer.from('a b c 1').toString('base64url'),
    'x'.repeat(100),
  ]) {
    assert.equal(await ask(mesh, 'GET', `/v1/jobs?cursor=${cursor}`), [400, 'bad-cursor'], cursor.slice(0, 60));
  }
  // One list's cursor is none of another's.
  assert.equal(await ask(mesh, 'GET', `/v1/jobs/${jobId}/tasks?cursor=${genuine}`), [400, 'bad-cursor']);
  const nothing: readonly (readonly [path: string, answer: readonly [number, string]])[] = [
    ['/v1/jobs/j-zzzzzzzzzzzzzzzz', [404, 'not-found']],
    ['/v1/jobs/..%2f..%2fetc', [404, 'not-found']],
    ['/v1/jobs/%00', [404, 'not-found']],
    ['/v1/jobs/%zz', [400, 'invalid-request']],
    [`/v1/jobs/${'x'.repeat(5_000)}`, [400, 'invalid-request']],
    [`/v1/jobs/${jobId}/tasks/0`, [400, 'invalid-request']],
    [`/v1/jobs/${jobId}/tasks/2`, [404, 'not-found']],
    [`/v1/jobs/${jobId}/tasks/99999999999999999999`, [404, 'not-found']],
    [`/v1/jobs/${jobId}/tasks/x`, [400, 'invalid-request']],
    [`/v1/jobs/${jobId}/tasks/1/outputs/nope`, [404, 'not-found']],
    [`/v1/jobs/${jobId}/tasks/1/outputs/..%2f..%2fetc%2fpasswd`, [404, 'not-found']],
    [`/v1/jobs/${jobId}/tasks/1/logs?stream=x`, [400, 'invalid-request']],
    [`/v1/jobs/${jobId}/tasks/1/logs?attempt=7`, [404, 'not-found']],
    ['/v1/jobs?limit=0', [400, 'invalid-request']],
    ['/v1/jobs?limit=501', [400, 'invalid-request']],
    ['/v1/jobs?state=frob', [400, 'invalid-request']],
    ['/v1/nothing', [404, 'not-found']],
  ];
  for (const [path, answer] of nothing) assert.equal(await ask(mesh, 'GET', path), answer, path.slice(0, 80));
  assert.equal(await ask(mesh, 'DELETE', `/v1/jobs/${jobId}`), [405, 'method-not-allowed']);
  for (const path of [`/v1/jobs/${jobId}/tasks/1/outputs/out.txt`, `/v1/jobs/${jobId}/tasks/1/logs`]) {
    for (const range of ['bytes=100-', 'bytes=-0', 'bytes=99-100']) {
      assert.equal(await ask(mesh, 'GET', path, { headers: { range } }), [416, 'range-not-satisfiable'], range);
    }
    // What is no single range of bytes is as if it were not there (RFC 9110).
    for (const range of ['lines=1-2', 'bytes=x-y', 'bytes=5-2', 'bytes=0-1,3-4', 'bytes=', '-']) {
      const answer = await mesh.request('GET', path, undefined, { range });
      assert.is(answer.status, 200, `${path} ${range}`);
      await answer.arrayBuffer();
    }
  }
});

test('heads and bodies that come a byte at a time are given up; meanwhile 600 idle connections cost nobody anything', async ({
  mesh,
  port,
}) => {
  const sockets: Socket[] = [];
  try {
    for (let n = 0; n < 600; n += 50) {
      sockets.push(...(await Promise.all(Array.from({ length: 50 }, () => open(port)))));
    }
    // Read, so that the end is seen.
    for (const [at, socket] of sockets.entries())
      if (at % 2 === 0) socket.resume().write('GET /v1/jobs HTTP/1.1\r\nx-slow: ');
    const slowHead = await open(port);
    const slowBody = await open(port);
    const authorization = `authorization: Bearer ${mesh.key}`;
    slowHead.write('GET /v1/jobs HTTP/1.1\r\n');
    slowBody.write(
      `POST /v1/jobs HTTP/1.1\r\nhost: x\r\n${authorization}\r\ncontent-type: application/json\r\ncontent-length: 9999\r\n\r\n`,
    );
    const drip = setInterval(() => {
      if (slowHead.writable) slowHead.write('x');
      if (slowBody.writable) slowBody.write(' ');
    }, 500);
    try {
      const [head, body] = [whole(slowHead, 20_000), whole(slowBody, 30_000)];
      for (let n = 0; n < 10; n++) {
        const { jobId } = await mesh.shell('echo meanwhile');
        assert.is((await mesh.untilEnded(jobId)).state, 'completed');
      }
      assert.match(await head, /^HTTP\/1\.1 408 [\s\S]*problems\/request-timeout/);
      assert.match(await body, /^HTTP\/1\.1 408 [\s\S]*problems\/request-timeout/);
    } finally {
      clearInterval(drip);
    }
    await until(
      'heads that never end are given up',
      () => sockets.every((socket, at) => at % 2 === 1 || socket.closed),
      { seen: () => sockets.filter((socket) => !socket.closed).length },
    );
  } finally {
    for (const socket of sockets) socket.destroy();
  }
});

test('what is no HTTP gets one answer and the end', async ({ mesh, port }) => {
  const rubbish: readonly (readonly [bytes: string | Uint8Array, answer: RegExp])[] = [
    ['\x16\x03\x01 hello\r\n\r\n', /^HTTP\/1\.1 400 /],
    [crypto.getRandomValues(new Uint8Array(50_000)), /^(HTTP\/1\.1 4|$)/],
    [`GET / HTTP/1.1\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`, /^HTTP\/1\.1 4/],
    ['POST /v1/jobs HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n', /^HTTP\/1\.1 400 /],
    ['GET / HTTP/9.9\r\n\r\n', /^HTTP\/1\.1 400 /],
  ];
  for (const [bytes, answer] of rubbish) {
    const socket = await open(port);
    const heard = whole(socket, 20_000);
    socket.write(bytes);
    assert.match(await heard, answer);
  }
  assert.is((await mesh.request('GET', '/healthz')).status, 200);
});

test('an upload that no disk could hold is refused at its head, and one whose client goes away is no fault', async ({
  mesh,
  port,
}) => {
  const head = (sizeBytes: string): string =>
    `PUT /v1/blobs/${'a'.repeat(64)} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${mesh.key}\r\ncontent-length: ${sizeBytes}\r\n\r\nabc`;
  for (const sizeBytes of ['18446744073709551615', '9007199254740993', '999999999999999']) {
    const socket = await open(port);
    let text = '';
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    socket.write(head(sizeBytes));
    await until('it is answered', () => text.endsWith('}'), { seen: () => text });
    assert.match(text, /^HTTP\/1\.1 507 [\s\S]*problems\/disk-full/);
    socket.destroy();
  }
  const socket = await open(port);
  socket.write(head('1000'), () => socket.destroy());
  await until('the connection is closed', () => socket.closed);
});

test('a client that goes away in the middle of its body leaves nothing behind', async ({ mesh, port }) => {
  const before = (await mesh.get<{ items: unknown[] }>('/v1/jobs?limit=500')).items.length;
  for (let n = 0; n < 20; n++) {
    const socket = await open(port);
    socket.write(
      `POST /v1/jobs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${mesh.key}\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{"sche`,
    );
    socket.destroy();
  }
  assert.is((await mesh.get<{ items: unknown[] }>('/v1/jobs?limit=500')).items.length, before);
});

test.run();
