// The API's description of itself: valid and complete. That it is kept, conformance.test.ts asks.
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
  readonly responses: object;
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
