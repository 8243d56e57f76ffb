// The API's description of itself: valid, complete, and kept: what is answered has the form that it promises.
import { Ajv } from 'ajv';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { failures } from '../../../protocol/errors.ts';
import { Door } from '../../support/door.ts';

const test = suite<{ door: Door }>('description');
test.before.each(async (context) => {
  context.door = await Door.open();
});
test.after.each(async ({ door }) => {
  await door.close();
  assert.equal(door.faults, []);
});

/** The contract, by hand: a route that is forgotten in the description is missed here. */
const CONTRACT = [
  'POST /v1/jobs',
  'GET /v1/jobs',
  'GET /v1/jobs/{id}',
  'PATCH /v1/jobs/{id}',
  'GET /v1/jobs/{id}/wait',
  'GET /v1/jobs/{id}/explain',
  'POST /v1/jobs/{id}/cancel',
  'POST /v1/jobs/{id}/retry',
  'GET /v1/jobs/{id}/tasks',
  'GET /v1/jobs/{id}/tasks/{n}',
  'GET /v1/jobs/{id}/attempts',
  'GET /v1/jobs/{id}/events',
  'GET /v1/jobs/{id}/tasks/{n}/logs',
  'GET /v1/jobs/{id}/tasks/{n}/outputs',
  'GET /v1/jobs/{id}/tasks/{n}/outputs/{path}',
  'HEAD /v1/jobs/{id}/tasks/{n}/outputs/{path}',
  'GET /v1/jobs/{id}/outputs.tar',
  'HEAD /v1/jobs/{id}/outputs.tar',
  'POST /v1/blobs/check',
  'GET /v1/blobs/{sha256}',
  'HEAD /v1/blobs/{sha256}',
  'PUT /v1/blobs/{sha256}',
  'HEAD /v1/blobs/{sha256}/upload',
  'PATCH /v1/blobs/{sha256}/upload',
  'GET /v1/events',
  'GET /v1/peers',
  'POST /v1/peers/{peer}/drain',
  'GET /v1/members',
  'GET /v1/runtimes',
  'POST /v1/tickets',
  'GET /v1/keys',
  'POST /v1/keys',
  'DELETE /v1/keys/{key}',
  'POST /v1/keys/{key}/rotate',
  'GET /v1/whoami',
  'GET /healthz',
  'GET /readyz',
  'GET /metrics',
  'GET /problems',
  'GET /problems/{type}',
];

interface Operation {
  readonly parameters?: readonly { readonly in: string; readonly name: string }[];
  readonly responses: Readonly<Record<string, { content?: Record<string, { schema: object }> }>>;
}
type Paths = Readonly<Record<string, Readonly<Record<string, Operation>>>>;

async function described(door: Door) {
  const { json } = await door.ask('/openapi.json', { key: null });
  return json as { openapi: string; info: { version: string }; paths: Paths; components: { schemas: object } };
}

test('it is OpenAPI 3.1, needs no key, and names every route once', async ({ door }) => {
  const { openapi, info, paths } = await described(door);
  assert.match(openapi, /^3\.1\./);
  assert.is(info.version, '1.2.3');
  const routes = Object.entries(paths).flatMap(([path, of]) =>
    Object.keys(of).map((verb) => `${verb.toUpperCase()} ${path}`),
  );
  assert.equal(routes.toSorted(), CONTRACT.toSorted());
});

test('every parameter of a path is declared, and every reference leads somewhere', async ({ door }) => {
  const document = await described(door);
  for (const [path, operations] of Object.entries(document.paths)) {
    const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    for (const operation of Object.values(operations)) {
      const declared = (operation.parameters ?? []).filter((one) => one.in === 'path').map((one) => one.name);
      assert.equal(declared.toSorted(), named.toSorted(), path);
      assert.ok(Object.keys(operation.responses).length > 0, path);
    }
  }
  for (const [, name = ''] of JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)) {
    const target = name
      .slice(2)
      .split('/')
      .reduce<unknown>((at, part) => (at as Record<string, unknown>)?.[part], document);
    assert.ok(name.startsWith('#/') && target !== undefined, name);
  }
});

test('what is answered has the promised form', async ({ door }) => {
  const { paths } = await described(door);
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
  await door.submit();

  const gets = [
    '/v1/jobs',
    `/v1/jobs/${jobId}`,
    `/v1/jobs/${jobId}/tasks`,
    `/v1/jobs/${jobId}/tasks/1`,
    `/v1/jobs/${jobId}/attempts`,
    `/v1/jobs/${jobId}/explain`,
    `/v1/jobs/${jobId}/events`,
    `/v1/jobs/${jobId}/wait`,
    `/v1/jobs/${jobId}/tasks/1/outputs`,
    '/v1/peers',
    '/v1/members',
    '/v1/runtimes',
    '/v1/keys',
    '/v1/whoami',
    '/healthz',
    '/readyz',
    '/problems',
    '/problems/not-found',
  ];
  const posts: [string, unknown][] = [
    ['/v1/jobs', { schema: 'skein.jobspec/1', command: ['true'] }],
    ['/v1/jobs?dryRun=1', { schema: 'skein.jobspec/1', command: ['true'] }],
    [`/v1/jobs/${jobId}/retry`, {}],
    [`/v1/jobs/${jobId}/cancel`, {}],
    ['/v1/blobs/check', { sha256: ['e'.repeat(64)] }],
    ['/v1/tickets', { secretHash: 'a'.repeat(64), roles: ['worker'] }],
    ['/v1/keys', { name: 'x', scope: 'read', keyHash: 'f'.repeat(64) }],
    ['/v1/keys/x/rotate', { keyHash: 'e'.repeat(64) }],
    ['/v1/peers/one/drain', {}],
  ];
  for (const path of gets) promised(paths, 'get', path, await door.ask(path));
  for (const [path, body] of posts) promised(paths, 'post', path, await door.ask(path, { body }));
});

function promised(paths: Paths, verb: string, path: string, answer: { status: number; json: unknown }): void {
  const plain = path.split('?')[0] ?? '';
  const pattern = Object.keys(paths)
    .filter((one) => new RegExp(`^${one.replace(/\{\w+\}/g, '[^/]+')}$`).test(plain))
    .sort((a, b) => a.split('{').length - b.split('{').length)[0];
  const content = paths[pattern ?? '']?.[verb]?.responses[answer.status]?.content;
  assert.ok(content, `${verb} ${path} answered ${answer.status}, which is not described`);
  const check = new Ajv({ strict: false, validateFormats: false }).compile(content['application/json']?.schema ?? {});
  assert.ok(check(answer.json), `${verb} ${path}: ${JSON.stringify(check.errors)} ${JSON.stringify(answer.json)}`);
}

test('every kind of problem has a page', async ({ door }) => {
  for (const [code, { status, title }] of Object.entries(failures)) {
    const { json } = await door.ask(`/problems/${code}`, { key: null });
    assert.equal([json.type, json.status, json.title], [`/problems/${code}`, status, title]);
  }
  assert.is((await door.ask('/problems/toString', { key: null })).status, 404);
});

test('the readable page and all that it loads come from here', async ({ door }) => {
  const page = await door.ask('/docs/', { key: null });
  assert.is(page.status, 200);
  const sources = [...page.bytes.toString().matchAll(/(?:src|href)="([^"]+)"/g)].map(([, source = '']) => source);
  assert.ok(sources.length > 3);
  for (const source of sources) {
    assert.match(source, /^\.\//);
    assert.is((await door.ask(`/docs/${source.slice(2)}`, { key: null })).status, 200, source);
  }
  assert.not.match(String(page.headers['content-security-policy']), /https?:/);
});

test.run();
