// What /openapi.json promises, asked for: every operation once, its answer held against the description of it, and each with
// no key, with lesser keys and with parameters that it does not have.
import { createHash } from 'node:crypto';
import http from 'node:http';
import { Ajv } from 'ajv';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { JobId } from '../../../protocol/ids.ts';
import { type Answer, type Ask, Door } from '../../support/door.ts';
import { ADMIN_KEY } from '../../support/fake-mesh.ts';

const test = suite<{ door: Door; description: Description; jobId: JobId }>('conformance');

interface Content {
  readonly schema: object;
}
interface Operation {
  readonly parameters?: readonly { readonly in: string; readonly name: string }[];
  readonly security: readonly { readonly key?: readonly string[] }[];
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, Content>>; readonly headers?: object }>
  >;
}
interface Description {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const PART = sha256('part');
const SSE = { accept: 'text/event-stream' };

interface Case extends Ask {
  readonly path: string;
  readonly status: number;
  /** Never ends: only its head is looked at. */
  readonly endless?: boolean;
}

/** One request of each operation, in an order in which none spoils the next. */
const cases = (jobId: JobId, live: JobId): Readonly<Record<string, Case>> => ({
  'POST /v1/jobs': { path: '/v1/jobs', body: { command: ['true'] }, status: 201 },
  'GET /v1/jobs': { path: '/v1/jobs?limit=1', status: 200 },
  'GET /v1/jobs/{id}': { path: `/v1/jobs/${jobId}`, status: 200 },
  'PATCH /v1/jobs/{id}': { path: `/v1/jobs/${jobId}`, status: 400 },
  'GET /v1/jobs/{id}/wait': { path: `/v1/jobs/${jobId}/wait`, status: 200 },
  'GET /v1/jobs/{id}/explain': { path: `/v1/jobs/${live}/explain`, status: 200 },
  'GET /v1/jobs/{id}/tasks': { path: `/v1/jobs/${jobId}/tasks`, status: 200 },
  'GET /v1/jobs/{id}/tasks/{n}': { path: `/v1/jobs/${jobId}/tasks/2`, status: 200 },
  'GET /v1/jobs/{id}/attempts': { path: `/v1/jobs/${jobId}/attempts`, status: 200 },
  'GET /v1/jobs/{id}/events': { path: `/v1/jobs/${jobId}/events`, headers: SSE, status: 200 },
  'GET /v1/jobs/{id}/tasks/{n}/logs': { path: `/v1/jobs/${jobId}/tasks/2/logs?stream=err`, status: 200 },
  'GET /v1/jobs/{id}/tasks/{n}/outputs': { path: `/v1/jobs/${jobId}/tasks/1/outputs`, status: 200 },
  'GET /v1/jobs/{id}/tasks/{n}/outputs/{path}': { path: `/v1/jobs/${jobId}/tasks/1/outputs/a`, status: 200 },
  'HEAD /v1/jobs/{id}/tasks/{n}/outputs/{path}': { path: `/v1/jobs/${jobId}/tasks/1/outputs/a`, status: 200 },
  'GET /v1/jobs/{id}/outputs.tar': {
    path: `/v1/jobs/${jobId}/outputs.tar`,
    headers: { range: 'bytes=0-9' },
    status: 206,
  },
  'HEAD /v1/jobs/{id}/outputs.tar': { path: `/v1/jobs/${jobId}/outputs.tar`, status: 200 },
  'POST /v1/jobs/{id}/retry': { path: `/v1/jobs/${jobId}/retry`, body: {}, status: 202 },
  'POST /v1/jobs/{id}/cancel': { path: `/v1/jobs/${live}/cancel`, body: { reason: 'enough' }, status: 202 },
  'POST /v1/blobs/check': { path: '/v1/blobs/check', body: { sha256: [PART] }, status: 200 },
  'PUT /v1/blobs/{sha256}': { path: `/v1/blobs/${sha256('new')}`, raw: Buffer.from('new'), status: 201 },
  'GET /v1/blobs/{sha256}': { path: `/v1/blobs/${sha256('new')}`, status: 200 },
  'HEAD /v1/blobs/{sha256}': { path: `/v1/blobs/${sha256('new')}`, status: 200 },
  'PATCH /v1/blobs/{sha256}/upload': {
    path: `/v1/blobs/${PART}/upload`,
    raw: Buffer.from('pa'),
    headers: { 'upload-offset': '0', 'upload-length': '4' },
    status: 204,
  },
  'HEAD /v1/blobs/{sha256}/upload': { path: `/v1/blobs/${PART}/upload`, status: 200 },
  'GET /v1/events': { path: '/v1/events', status: 200, endless: true },
  'GET /v1/peers': { path: '/v1/peers', status: 200 },
  'POST /v1/peers/{peer}/drain': { path: '/v1/peers/one/drain', body: {}, status: 202 },
  'GET /v1/members': { path: '/v1/members', status: 200 },
  'GET /v1/runtimes': { path: '/v1/runtimes', status: 200 },
  'POST /v1/tickets': {
    path: '/v1/tickets',
    body: { secretHash: 'a'.repeat(64), roles: ['worker'] },
    status: 201,
  },
  'POST /v1/keys': { path: '/v1/keys', body: { name: 'x', scope: 'read', keyHash: 'f'.repeat(64) }, status: 201 },
  'POST /v1/keys/{key}/rotate': { path: '/v1/keys/x/rotate', body: { keyHash: 'e'.repeat(64) }, status: 201 },
  'GET /v1/keys': { path: '/v1/keys', status: 200 },
  'DELETE /v1/keys/{key}': { path: '/v1/keys/x', status: 200 },
  'GET /v1/whoami': { path: '/v1/whoami', status: 200 },
  'GET /healthz': { path: '/healthz', status: 200 },
  'GET /readyz': { path: '/readyz', status: 200 },
  'GET /metrics': { path: '/metrics', status: 200 },
  'GET /problems': { path: '/problems', status: 200 },
  'GET /problems/{type}': { path: '/problems/not-found', status: 200 },
});

/** What an operation may answer besides: after the cases, since some follow on them. */
const others = (jobId: JobId): readonly (readonly [name: string, of: Case])[] => {
  const logs = `/v1/jobs/${jobId}/tasks/2/logs?stream=err`;
  const file = `/v1/jobs/${jobId}/tasks/1/outputs/a`;
  const upload = `/v1/blobs/${PART}/upload`;
  const rest = { raw: Buffer.from('rt'), headers: { 'upload-offset': '2', 'upload-length': '4' } };
  return [
    ['POST /v1/jobs', { path: '/v1/jobs?dryRun=1', body: { command: ['true'] }, status: 200 }],
    ['GET /v1/jobs/{id}/events', { path: `/v1/jobs/${jobId}/events`, status: 200 }],
    ['GET /v1/jobs/{id}/tasks/{n}/logs', { path: `${logs}&attempt=1`, headers: SSE, status: 200 }],
    ['GET /v1/jobs/{id}/tasks/{n}/logs', { path: `${logs}&attempt=1`, headers: { range: 'bytes=1-' }, status: 206 }],
    ['GET /v1/jobs/{id}/tasks/{n}/logs', { path: logs, headers: { range: 'bytes=9-' }, status: 416 }],
    ['GET /v1/jobs/{id}/tasks/{n}/logs', { path: logs, headers: { 'if-none-match': '*' }, status: 304 }],
    ['GET /v1/jobs/{id}/tasks/{n}/outputs/{path}', { path: file, headers: { range: 'bytes=0-0' }, status: 206 }],
    ['GET /v1/jobs/{id}/tasks/{n}/outputs/{path}', { path: file, headers: { 'if-match': '"x"' }, status: 412 }],
    ['GET /v1/jobs/{id}/outputs.tar', { path: `/v1/jobs/${jobId}/outputs.tar`, status: 200 }],
    ['PUT /v1/blobs/{sha256}', { path: `/v1/blobs/${sha256('new')}`, raw: Buffer.from('new'), status: 200 }],
    ['PUT /v1/blobs/{sha256}', { path: `/v1/blobs/${sha256('new2')}`, raw: Buffer.from('old'), status: 422 }],
    ['PATCH /v1/blobs/{sha256}/upload', { path: upload, ...rest, status: 201 }],
  ];
};

test.before(async (context) => {
  const door = await Door.open();
  context.door = door;
  for (const scope of ['read', 'submit', 'admin'] as const) door.mesh.addKey(scope, `of scope ${scope}`, scope);
  context.description = (await door.ask('/openapi.json', { key: null })).json as Description;
  context.jobId = await aJob(door);
});
test.after(async ({ door }) => {
  await door.close();
  assert.equal(door.faults, []);
});

/** Of two tasks: one that left files, one that failed with words. */
async function aJob(door: Door): Promise<JobId> {
  const { mesh } = door;
  mesh.peersNow = [
    {
      peerId: mesh.status().self,
      name: 'one',
      roles: ['worker'],
      state: 'alive',
      reach: 'direct',
      version: null,
      slots: { busy: 1, total: 2 },
      load1: 0.5,
      memFreeBytes: 1,
      heartbeatAgeMs: 10,
      leaseLeftMs: null,
      loopDelayMs: 0.1,
      blobs: { count: 1, bytes: 2 },
      rented: null,
    },
  ];
  mesh.waitingNow = { verdict: 'no-room', sentence: 'busy', since: mesh.nowMs };
  const file = { kind: 'file', path: 'a', mode: 0o644, sha256: mesh.blobs.keep('abc') } as const;
  const span = { blob: file.sha256, offset: 0, sizeBytes: 3 };
  const jobId = await door.submit({
    items: { list: ['x', 'y'] },
    labels: { a: 'b' },
    origin: { host: 'h', folder: '/f', outputDir: '/o' },
  });
  const link = { kind: 'link', path: 'l', target: 'a' } as const;
  mesh.finish(jobId, 1, mesh.grant(jobId, 1), { outputs: { kind: 'inline', files: [{ ...file, span }, link] } });
  const fence = mesh.grant(jobId, 2);
  mesh.write(jobId, 2, 1, 'err', 'boom');
  mesh.finish(jobId, 2, fence, { exit: { code: 1, signal: null } });
  return jobId;
}

const operations = ({ paths }: Description): [string, Operation][] =>
  Object.entries(paths).flatMap(([path, of]) =>
    Object.entries(of).map(([verb, operation]): [string, Operation] => [`${verb.toUpperCase()} ${path}`, operation]),
  );

const methodOf = (name: string): string => name.split(' ')[0] ?? '';

/** Holds an answer against the description: its status, the type and form of its body, its headers. */
function promised(description: Description, name: string, operation: Operation, answer: Answer): void {
  const { status, headers } = answer;
  const described = operation.responses[status] ?? operation.responses[`${Math.floor(status / 100)}XX`];
  assert.ok(described, `${name} answered ${status}, which is not described`);
  for (const header of Object.keys(described.headers ?? {}))
    assert.ok(headers[header] !== undefined, `${name}: ${header}`);
  if (methodOf(name) === 'HEAD') return;
  const type = headers['content-type']?.split(';')[0] ?? '';
  if (described.content === undefined && answer.bytes.length === 0) return;
  const content = described.content?.[type];
  assert.ok(content, `${name} answered as ${type}, described is ${Object.keys(described.content ?? {})}`);
  if (!type.includes('json')) return;
  const ajv = new Ajv({ strict: false, validateFormats: false });
  const check = ajv.compile({ ...content.schema, components: description.components });
  assert.ok(check(answer.json), `${name}: ${JSON.stringify(check.errors)} ${JSON.stringify(answer.json)}`);
}

function ask(door: Door, name: string, { path, endless, ...rest }: Case): Promise<Answer> {
  const method = methodOf(name);
  const { headers = {}, raw } = rest;
  const length = raw === undefined ? {} : { 'content-length': String(raw.length) };
  if (endless !== true || rest.key !== undefined || path.includes('frob')) {
    return door.ask(path, { ...rest, method, headers: { ...headers, ...length } });
  }
  return new Promise((resolve, reject) => {
    const sent = { authorization: `Bearer ${ADMIN_KEY}` };
    const request = http.request(door.url + path, { method, headers: sent, agent: false }, (response) => {
      response.destroy();
      resolve({ status: response.statusCode ?? 0, headers: response.headers, bytes: Buffer.alloc(0), json: {} });
    });
    request.on('error', reject).end();
  });
}

test('every operation answers as it is described', async ({ door, description, jobId }) => {
  const live = await door.submit();
  const all = cases(jobId, live);
  const described = new Map(operations(description));
  assert.equal(Object.keys(all).toSorted(), [...described.keys()].toSorted());
  for (const [name, one] of [...Object.entries(all), ...others(jobId)]) {
    const answer = await ask(door, name, one);
    assert.is(answer.status, one.status, `${name}: ${answer.bytes.toString().slice(0, 300)}`);
    promised(description, name, described.get(name) as Operation, answer);
  }
});

test('every operation refuses those without a key, or with one of a lesser scope, as a problem', async (context) => {
  const { door, description, jobId } = context;
  const all = cases(jobId, await door.submit());
  const lesser: Readonly<Record<string, readonly string[]>> = { read: [], submit: ['read'], admin: ['read', 'submit'] };
  const before = door.mesh.proposals;
  for (const [name, operation] of operations(description)) {
    const scope = operation.security[0]?.key?.[0];
    // Bound to loopback, the figures need no key.
    if (scope === undefined || name === 'GET /metrics') continue;
    for (const key of [null, 'wrong', ...(lesser[scope] ?? [])]) {
      const answer = await ask(door, name, { ...(all[name] as Case), key });
      assert.is(answer.status, key === null || key === 'wrong' ? 401 : 403, `${name} with the key ${key}`);
      promised(description, name, operation, answer);
    }
  }
  assert.is(door.mesh.proposals, before, 'nothing of it was done');
});

test('an operation takes no parameter that it does not describe', async ({ door, description, jobId }) => {
  const all = cases(jobId, await door.submit());
  const before = door.mesh.proposals;
  for (const [name, operation] of operations(description)) {
    const one = all[name] as Case;
    if (!one.path.startsWith('/v1/')) continue;
    const path = `${one.path}${one.path.includes('?') ? '&' : '?'}frob=1`;
    const answer = await ask(door, name, { ...one, path });
    assert.is(answer.status, 400, name);
    promised(description, name, operation, answer);
    if (methodOf(name) === 'HEAD') continue;
    assert.equal([answer.json.type, answer.json.field], ['/problems/invalid-request', 'frob'], name);
  }
  assert.is(door.mesh.proposals, before, 'nothing of it was done');
});

test('what an operation reads in headers is described', async ({ description }) => {
  const headersOf = (name: string) =>
    (new Map(operations(description)).get(name)?.parameters ?? [])
      .filter((one) => one.in === 'header')
      .map((one) => one.name);
  assert.equal(headersOf('PATCH /v1/blobs/{sha256}/upload').toSorted(), ['upload-length', 'upload-offset']);
  for (const path of ['/v1/events', '/v1/jobs/{id}/events', '/v1/jobs/{id}/tasks/{n}/logs']) {
    assert.equal(headersOf(`GET ${path}`), ['last-event-id'], path);
  }
  const acts = operations(description).filter(([name]) => methodOf(name) === 'POST' && name !== 'POST /v1/blobs/check');
  assert.ok(acts.length >= 7);
  for (const [name] of acts) assert.equal(headersOf(name), ['idempotency-key'], name);
});

test('what is no task, no text, or in another coding is refused by name', async ({ door, jobId }) => {
  const odd: [string, Ask, number, string, RegExp][] = [
    [`/v1/jobs/${jobId}/explain?task=3`, {}, 404, 'not-found', /no task 3/],
    [`/v1/jobs/${jobId}/tasks/1/logs?attempt=all`, {}, 400, 'invalid-request', /followed/],
    ['/v1/jobs?since=2026', {}, 400, 'invalid-request', /RFC 3339/],
    ['/v1/jobs', { body: [] }, 400, 'invalid-request', /the body must be an object/],
    [`/v1/jobs/${jobId}/retry`, { body: { tasks: [] } }, 400, 'invalid-request', /fewer than 1/],
    ['/v1/jobs', { body: {}, headers: { 'content-encoding': 'gzip' } }, 415, 'unsupported-media-type', /not as gzip/],
    [
      '/v1/jobs',
      {
        method: 'POST',
        raw: Buffer.from('{"command":["\xff"]}', 'latin1'),
        headers: { 'content-type': 'application/json', 'content-length': '17' },
      },
      400,
      'invalid-request',
      /not UTF-8/,
    ],
    [
      '/v1/keys',
      { body: { name: 'a\nb', scope: 'read', keyHash: '9'.repeat(64) } },
      400,
      'invalid-request',
      /control characters/,
    ],
    [
      '/v1/jobs',
      { body: { command: ['a'] }, headers: { 'idempotency-key': 'x'.repeat(200) } },
      400,
      'invalid-request',
      /^the header idempotency-key must be 1 to 128/,
    ],
  ];
  for (const [path, how, status, code, says] of odd) {
    const { json, status: seen } = await door.ask(path, how);
    assert.equal([seen, json.type], [status, `/problems/${code}`], path);
    assert.match(json.sentence, says);
    assert.ok(json.fix.length > 5, path);
  }
});

test.run();
