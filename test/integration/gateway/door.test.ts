// Who is let in, what is said to those who are not, and what the door withstands.
import type { Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Door } from '../../support/door.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const test = suite<{ door: Door }>('door');
test.before.each(async (context) => {
  context.door = await Door.open();
});
test.after.each(async ({ door }) => {
  await door.close();
});

const COMMAND = { schema: 'skein.jobspec/1', command: ['true'] };

test('without a key of this mesh nothing is told, and the answer is the same for any wrong one', async ({ door }) => {
  for (const key of [null, 'wrong', 'x'.repeat(600), '']) {
    const answer = await door.ask('/v1/jobs', { key });
    assert.equal([answer.status, answer.json.type], [401, '/problems/unauthenticated']);
    assert.match(answer.headers['www-authenticate'] ?? '', /^Bearer/);
  }
  const basic = await door.ask('/v1/jobs', { key: null, headers: { authorization: 'Basic YTpi' } });
  assert.is(basic.status, 401);
});

test('a body is not read before the key is judged', async ({ door }) => {
  const socket = await door.socket();
  socket.write('POST /v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9999\r\n\r\n');
  assert.match(await heard(socket), /^HTTP\/1\.1 401/);
  socket.destroy();
});

test('a key does what its scope includes and no more', async ({ door }) => {
  door.mesh.addKey('r', 'reader', 'read');
  door.mesh.addKey('s', 'submitter', 'submit');
  const as = async (key: string, path: string, body?: unknown) => (await door.ask(path, { key, body })).status;
  assert.equal([await as('r', '/v1/jobs'), await as('s', '/v1/jobs')], [200, 200]);
  assert.equal([await as('r', '/v1/jobs', COMMAND), await as('s', '/v1/jobs', COMMAND)], [403, 201]);
  assert.equal([await as('r', '/v1/keys'), await as('s', '/v1/keys')], [403, 403]);
  const refused = await door.ask('/v1/tickets', { key: 's', body: { secretHash: 'a'.repeat(64), roles: ['worker'] } });
  assert.equal([refused.status, refused.json.type], [403, '/problems/forbidden']);
});

test("another project's job is as if it were not there", async ({ door }) => {
  door.mesh.addKey('o', 'other', 'admin', 'other');
  const jobId = await door.submit();
  assert.is((await door.ask(`/v1/jobs/${jobId}`, { key: 'o' })).status, 404);
  assert.is((await door.ask(`/v1/jobs/${jobId.slice(0, 8)}`, { key: 'o' })).status, 404);
  assert.is((await door.ask(`/v1/jobs/${jobId}/cancel`, { key: 'o', body: {} })).status, 404);
  assert.is((await door.ask('/v1/jobs', { key: 'o' })).json.items.length, 0);
});

test('a revoked key is out, and the last admin key stays', async ({ door }) => {
  const keyHash = 'c'.repeat(64);
  const made = await door.ask('/v1/keys', { body: { name: 'ci', scope: 'submit', keyHash } });
  assert.equal([made.status, made.json.id, made.json.name], [201, keyHash.slice(0, 16), 'ci']);
  assert.is((await door.ask('/v1/keys', { body: { name: 'ci', scope: 'submit', keyHash } })).status, 201);
  assert.is((await door.ask('/v1/keys')).json.items.length, 2);
  const revoked = await door.ask('/v1/keys/ci', { method: 'DELETE' });
  assert.equal([revoked.status, typeof revoked.json.revokedAt], [200, 'string']);
  const again = await door.ask('/v1/keys/ci', { method: 'DELETE' });
  assert.equal([again.status, again.json], [200, revoked.json], 'also where the first answer was lost');
  const last = await door.ask('/v1/keys/admin', { method: 'DELETE' });
  assert.equal([last.status, last.json.type], [409, '/problems/state-conflict']);
  assert.is((await door.ask('/v1/keys/nobody', { method: 'DELETE' })).status, 404);
});

test('a key replaces itself, and the old one is out at once', async ({ door }) => {
  const { createHash } = await import('node:crypto');
  door.mesh.addKey('old', 'ci', 'submit');
  const keyHash = createHash('sha256').update('new').digest('hex');
  const rotated = await door.ask('/v1/keys/ci/rotate', { key: 'old', body: { keyHash } });
  assert.equal([rotated.status, rotated.json.name, rotated.json.scope], [201, 'ci', 'submit']);
  assert.equal(
    [(await door.ask('/v1/jobs', { key: 'old' })).status, (await door.ask('/v1/jobs', { key: 'new' })).status],
    [401, 200],
  );
  const foreign = await door.ask('/v1/keys/admin/rotate', { key: 'new', body: { keyHash: 'd'.repeat(64) } });
  assert.is(foreign.status, 403);
});

test('whoami names the key, the mesh and the gateway', async ({ door }) => {
  const { json } = await door.ask('/v1/whoami');
  assert.equal([json.name, json.scope, json.meshName, json.gateway.version], ['admin', 'admin', 'fake', '1.2.3']);
});

test('a ticket is made from the hash of its secret, and twice the same is one', async ({ door }) => {
  const body = { secretHash: 'a'.repeat(64), roles: ['worker'], ttlMs: 60_000 };
  const made = await door.ask('/v1/tickets', { body });
  assert.is(made.status, 201);
  assert.equal(made.json.addresses, ['/ip4/127.0.0.1/tcp/7071']);
  assert.is(made.json.expiresAt, '2026-11-24T12:01:00.000Z');
  door.mesh.nowMs += 30_000;
  assert.equal((await door.ask('/v1/tickets', { body })).json, made.json);
  const wrong = await door.ask('/v1/tickets', { body: { ...body, roles: ['king'] } });
  assert.equal([wrong.status, wrong.json.field], [400, 'roles.0']);
});

test('what makes or acts is done once under one Idempotency-Key', async ({ door }) => {
  const secret = { secretHash: 'a'.repeat(64), roles: ['worker'] };
  const key = { name: 'ci', scope: 'read', keyHash: 'b'.repeat(64) };
  const cases: [string, object, object][] = [
    ['/v1/tickets', secret, { ...secret, uses: 2 }],
    ['/v1/keys', key, { ...key, scope: 'admin' }],
    ['/v1/keys/ci/rotate', { keyHash: 'c'.repeat(64) }, { keyHash: 'd'.repeat(64) }],
    ['/v1/peers/one/drain', {}, { draining: false }],
  ];
  for (const [path, body, other] of cases) {
    const headers = { 'idempotency-key': path };
    const first = await door.ask(path, { body, headers });
    assert.is(first.headers['idempotency-replayed'], undefined, path);
    const again = await door.ask(path, { body, headers });
    assert.equal([again.status, again.headers['idempotency-replayed']], [first.status, 'true'], path);
    assert.equal(again.json, first.json);
    const mismatch = await door.ask(path, { body: other, headers });
    assert.equal([mismatch.status, mismatch.json.type], [422, '/problems/idempotency-mismatch'], path);
  }
});

test('members, peers and drain', async ({ door }) => {
  assert.is((await door.ask('/v1/members')).json.items[0].name, 'one');
  const peers = (await door.ask('/v1/peers')).json;
  assert.equal([peers.schema, peers.source, peers.leader], ['skein.peers/1', 'gateway', 'peer-one']);
  const drained = await door.ask('/v1/peers/one/drain', { method: 'POST' });
  assert.equal([drained.status, drained.json.draining], [202, true]);
  assert.is((await door.ask('/v1/members')).json.items[0].state, 'draining');
  await door.ask('/v1/peers/peer-one/drain', { body: { draining: false } });
  assert.is((await door.ask('/v1/members')).json.items[0].state, 'alive');
  assert.is((await door.ask('/v1/peers/two/drain', { method: 'POST' })).status, 404);
});

test('no such path, another method and another type are problems, too', async ({ door }) => {
  const none = await door.ask('/v1/nothing');
  assert.equal([none.status, none.json.type], [404, '/problems/not-found']);
  const method = await door.ask('/v1/jobs', { method: 'DELETE' });
  assert.equal([method.status, method.json.type], [405, '/problems/method-not-allowed']);
  assert.equal(method.headers.allow?.split(', '), ['GET', 'HEAD', 'POST']);
  const type = await door.ask('/v1/jobs', { method: 'POST', body: 'a=b', headers: { 'content-type': 'text/plain' } });
  assert.equal([type.status, type.json.type], [415, '/problems/unsupported-media-type']);
  const path = await door.ask('/v1/jobs/%zz');
  assert.equal([path.status, path.json.type], [400, '/problems/invalid-request']);
});

test('a malformed, an oversized and a deeply nested body are told apart', async ({ door }) => {
  const post = async (body: string) => (await door.ask('/v1/jobs', { body })).json.type;
  assert.is(await post('{"schema":'), '/problems/invalid-request');
  assert.is(await post('['.repeat(100_000)), '/problems/invalid-request');
  assert.is(await post('null'), '/problems/invalid-request');
  assert.is(await post('"text"'), '/problems/invalid-request');
  const large = await door.ask('/v1/blobs/check', { body: { sha256: ['x'.repeat(1024 * 1024)] } });
  assert.equal([large.status, large.json.type], [413, '/problems/too-large']);
  const huge = { 'content-length': String(33 * 1024 * 1024), 'content-type': 'application/json' };
  const socket = await door.socket();
  const head = Object.entries({ authorization: 'Bearer admin-key-of-the-tests', host: 'x', ...huge });
  socket.write(`POST /v1/jobs HTTP/1.1\r\n${head.map(([name, value]) => `${name}: ${value}`).join('\r\n')}\r\n\r\n`);
  assert.match(await heard(socket), /^HTTP\/1\.1 413/);
  socket.destroy();
});

test('what is no HTTP gets one answer and the end', async ({ door }) => {
  const socket = await door.socket();
  socket.write('\x16\x03\x01 garbage of another protocol\r\n\r\n');
  const answer = await heard(socket, true);
  assert.match(answer, /^HTTP\/1\.1 400/);
  assert.match(answer, /problems\/invalid-request/);
  assert.is((await door.ask('/healthz', { key: null })).status, 200);
});

test('a body that never comes whole is given up, by the clock', async () => {
  const clock = new ManualClock();
  const slow = await Door.open({ clock });
  try {
    const socket = await slow.socket();
    const head = [
      'authorization: Bearer admin-key-of-the-tests',
      'content-type: application/json',
      'content-length: 999',
    ];
    socket.write(`POST /v1/jobs HTTP/1.1\r\nhost: x\r\n${head.join('\r\n')}\r\n\r\n{"sch`);
    const answer = heard(socket);
    // The request is there once another one that came after it has been answered.
    await slow.ask('/healthz', { key: null });
    await clock.advance(19_000);
    await slow.ask('/healthz', { key: null });
    await clock.advance(3000);
    assert.match(await answer, /^HTTP\/1\.1 408[\s\S]*problems\/request-timeout/);
    socket.destroy();
  } finally {
    await slow.close();
  }
});

test('hundreds of idle connections, and as many that stop in the middle of a head, do not hurt', async ({ door }) => {
  const sockets = await Promise.all(Array.from({ length: 600 }, () => door.socket()));
  for (const [at, socket] of sockets.entries()) {
    socket.on('error', () => undefined);
    if (at % 2 === 0) socket.write('GET /v1/jobs HTTP/1.1\r\nx-slow: ');
  }
  for (let n = 0; n < 20; n++) await door.submit();
  assert.is((await door.ask('/v1/jobs')).json.items.length, 20);
  for (const socket of sockets) socket.destroy();
});

test('a bug is answered without its inside, and logged with the id that the client got', async ({ door }) => {
  door.mesh.peers = () => {
    throw new Error('secret place /home/x in the code');
  };
  const answer = await door.ask('/v1/peers');
  assert.equal([answer.status, answer.json.type], [500, '/problems/internal-error']);
  assert.not.match(answer.bytes.toString(), /secret|at .*\.ts/);
  assert.is(door.faults.length, 1);
  assert.ok(door.faults[0]?.includes(answer.json.requestId));
});

test('figures need no key on loopback, and one elsewhere', async ({ door }) => {
  await door.submit();
  const page = await door.ask('/metrics', { key: null });
  assert.match(page.bytes.toString(), /skein_http_requests_total\{method="POST",route="\/v1\/jobs",status="201"\} 1/);
  assert.match(page.bytes.toString(), /skein_duty_age_seconds\{duty="reaper"\} 1\.5/);
  const open = await Door.open({ host: '0.0.0.0' });
  try {
    open.url = `http://127.0.0.1:${open.port}`;
    assert.is((await open.ask('/metrics', { key: null })).status, 401);
    assert.is((await open.ask('/metrics')).status, 200);
    assert.is((await open.ask('/healthz', { key: null })).status, 200);
  } finally {
    await open.close();
  }
});

test('the door knows how long it was quiet', async ({ door }) => {
  const sse = await door.stream('/v1/events');
  assert.is(door.gateway.idleMs(), 0);
  sse.close();
  await door.ask('/docs/', { key: null });
  const deadline = performance.now() + 5000;
  while (door.gateway.idleMs() === 0 && performance.now() < deadline) await new Promise(setImmediate);
  assert.ok(door.gateway.idleMs() > 0);
});

test('a taken port is said so', async ({ door }) => {
  const { createGateway } = await import('../../../gateway/server.ts');
  const parts = { mesh: door.mesh, clock: door.clock, log: { error: () => undefined, warn: () => undefined } };
  const second = createGateway(parts, { host: '127.0.0.1', port: door.port, version: '0' });
  const error = await second.listen().catch((caught: unknown) => caught);
  await second.close();
  assert.is((error as { code: string }).code, 'port-in-use');
});

const HEARD_MS = 5000;

/** The first bytes that come, or all until the end. */
function heard(socket: Socket, whole = false): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const timer = setTimeout(() => reject(new Error(`waited in vain; heard ${JSON.stringify(text)}`)), HEARD_MS);
    const done = () => {
      clearTimeout(timer);
      resolve(text);
    };
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (!whole && text.includes('\r\n\r\n')) done();
    });
    socket.on('close', done);
    socket.on('error', () => undefined);
  });
}

test.run();
