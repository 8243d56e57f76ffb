import { chmodSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadConfig } from '../../../node/config/config.ts';
import { type Connection, findConnection, parseGateway } from '../../../node/config/connection.ts';
import type { Surroundings } from '../../../node/config/folders.ts';
import { decodeLogin, encodeLogin } from '../../../node/config/login.ts';
import { readNodeEntries, removeNodeEntry, writeNodeEntry } from '../../../node/config/nodes.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import { type TestFolder, testFolder } from '../../support/folder.ts';

const MESH_A = 'a'.repeat(32);
const MESH_B = 'b'.repeat(32);
/** Above any pid that Linux gives out. */
const NOBODY = 2 ** 22 + 1;

const inside = (folder: TestFolder, env: Record<string, string> = {}): Surroundings => ({
  env: { XDG_CONFIG_HOME: folder.at('config'), XDG_STATE_HOME: folder.at('state'), ...env },
  cwd: folder.path,
  home: folder.path,
  uid: 1000,
});

async function node(
  folder: TestFolder,
  name: string,
  more: { meshId?: string; meshName?: string; pid?: number; url?: string | null } = {},
): Promise<string> {
  folder.write({ [`${name}/admin.key`]: `key-of-${name}\n` });
  const entry = {
    url: `http://127.0.0.1:70${name.length}0`,
    pid: process.pid,
    meshId: MESH_A,
    meshName: 'alpha',
    ...more,
  };
  return writeNodeEntry({ ...entry, name, dataFolder: folder.at(name) }, inside(folder));
}

async function found(
  folder: TestFolder,
  flags: Record<string, string> = {},
  env: Record<string, string> = {},
): Promise<Connection> {
  const from = inside(folder, env);
  return findConnection(await loadConfig(flags, from), from);
}

async function failure(promise: Promise<unknown>): Promise<SkeinError> {
  const error = await promise.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  assert.instance(error, SkeinError);
  return error as SkeinError;
}

test('with nothing configured it is the mesh local', async () => {
  using folder = testFolder();
  assert.equal(await found(folder), { kind: 'local' });
});

test('a node of this machine is found with its key, and its mesh by name or id', async () => {
  using folder = testFolder();
  await node(folder, 'one');
  const expected = {
    kind: 'gateway',
    gateways: [{ url: 'http://127.0.0.1:7030', pin: null }],
    key: 'key-of-one',
    keyFile: folder.at('one/admin.key'),
    meshName: 'alpha',
    dataFolder: folder.at('one'),
  };
  assert.equal(await found(folder), expected);
  assert.equal(await found(folder, { mesh: 'alpha' }), expected);
  assert.equal(await found(folder, { mesh: MESH_A.slice(0, 8) }), expected);
  assert.equal(await found(folder, { mesh: 'local' }), { kind: 'local' });
  assert.is((await failure(found(folder, { mesh: 'beta' }))).code, 'not-found');
});

test('nodes of one mesh count as one, those that run first', async () => {
  using folder = testFolder();
  await node(folder, 'gone', { pid: NOBODY });
  await node(folder, 'there');
  await node(folder, 'worker', { url: null });
  const connection = await found(folder);
  assert.is(connection.kind === 'gateway' && connection.key, 'key-of-there');
});

test('several meshes are an error that names --mesh', async () => {
  using folder = testFolder();
  await node(folder, 'one');
  await node(folder, 'three', { meshId: MESH_B, meshName: 'beta' });
  const error = await failure(found(folder));
  assert.is(error.code, 'config-invalid');
  assert.match(error.message, /alpha, beta/);
  assert.match(error.fix ?? '', /--mesh NAME/);
  const connection = await found(folder, { mesh: 'beta' });
  assert.is(connection.kind === 'gateway' && connection.key, 'key-of-three');
});

test('a node that does not run is out of reach, never a silent run on local', async () => {
  using folder = testFolder();
  await node(folder, 'one', { pid: NOBODY });
  const error = await failure(found(folder));
  assert.is(error.code, 'unreachable');
  assert.match(error.fix ?? '', /skein up --data/);
});

test('an entry whose folder is gone is ignored, and one that another process took over is left', async () => {
  using folder = testFolder();
  const path = await node(folder, 'one');
  await writeNodeEntry(
    { url: null, dataFolder: folder.at('nowhere'), pid: 1, meshId: MESH_B, meshName: 'x', name: 'x' },
    inside(folder),
  );
  assert.equal(
    (await readNodeEntries(inside(folder))).map(({ name }) => name),
    ['one'],
  );
  await removeNodeEntry(path, NOBODY);
  assert.is((await readNodeEntries(inside(folder))).length, 1);
  await removeNodeEntry(path, process.pid);
  assert.is((await readNodeEntries(inside(folder))).length, 0);
});

test('a machine with workers alone asks for a login', async () => {
  using folder = testFolder();
  await node(folder, 'worker', { url: null });
  assert.is((await failure(found(folder))).code, 'unauthenticated');
});

test('a key that this user may not read is forbidden', async () => {
  if (process.getuid?.() === 0) return;
  using folder = testFolder();
  await node(folder, 'one');
  chmodSync(folder.at('one/admin.key'), 0);
  assert.is((await failure(found(folder))).code, 'forbidden');
});

test('a named gateway gets a key from SKEIN_KEY or a file, or the one that was stored with it, never another', async () => {
  using folder = testFolder();
  const pin = 'c'.repeat(64);
  folder.write({
    'stored.key': 'stored\n',
    'config/skein/config.yaml': `meshes:\n  far:\n    gateways: ["https://far.example:7070#sha256=${pin}"]\n    keyFile: ${folder.at('stored.key')}\n`,
  });
  const keyOf = async (url: string, env = {}): Promise<string | undefined> => {
    const connection = await found(folder, { gateway: url }, env);
    return connection.kind === 'gateway' ? connection.key : undefined;
  };
  assert.is(await keyOf('https://any.example', { SKEIN_KEY: 'given' }), 'given');
  assert.is(await keyOf(`https://far.example:7070#sha256=${pin}`), 'stored');
  assert.is((await failure(found(folder, { gateway: 'https://other.example' }))).code, 'unauthenticated');
  assert.is(
    (await failure(found(folder, { gateway: `https://far.example:7070#sha256=${'d'.repeat(64)}` }))).code,
    'unauthenticated',
  );
  const stored = await found(folder);
  assert.equal(stored.kind === 'gateway' && stored.gateways, [{ url: 'https://far.example:7070', pin }]);
});

test('a gateway is http or https with a whole pin', async () => {
  assert.equal(parseGateway('http://127.0.0.1:7070/'), { url: 'http://127.0.0.1:7070', pin: null });
  for (const text of ['nonsense', 'ftp://x', 'https://x#sha256=abc', 'https://x#other']) {
    assert.throws(
      () => parseGateway(text),
      (error: unknown) => error instanceof SkeinError && error.code === 'config-invalid',
    );
  }
  assert.throws(
    () => parseGateway('ssh://box'),
    (error: unknown) => error instanceof SkeinError && error.code === 'not-in-this-version',
  );
});

test('a login string survives being copied with line breaks, and one that was cut is told', () => {
  const login = { meshId: MESH_A, meshName: 'alpha', gateways: ['https://x:1#sha256=y'], key: 'k' };
  const text = encodeLogin(login);
  assert.equal(decodeLogin(`${text.slice(0, 20)}\n ${text.slice(20)}`), login);
  for (const wrong of ['', 'skeinkey1-', text.slice(0, -9), `x${text}`]) {
    assert.throws(
      () => decodeLogin(wrong),
      (error: unknown) => error instanceof SkeinError && error.code === 'usage',
      wrong,
    );
  }
});

test.run();
