import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Surroundings } from '../../../node/config/folders.ts';
import { type NodeFlags, type NodeOptions, nodeOptions, parseAddress } from '../../../node/config/node-options.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import { type TestFolder, testFolder } from '../../support/folder.ts';

const options = (
  folder: TestFolder,
  flags: NodeFlags = {},
  env: Record<string, string> = {},
  uid = 1000,
): Promise<NodeOptions> => {
  const from: Surroundings = {
    env: { XDG_DATA_HOME: folder.at('data'), ...env },
    cwd: folder.path,
    home: folder.path,
    uid,
  };
  return nodeOptions(flags, undefined, from);
};

async function failure(promise: Promise<unknown>): Promise<SkeinError> {
  const error = await promise.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  assert.instance(error, SkeinError);
  return error as SkeinError;
}

test('a node that is told nothing listens on loopback, and none of it counts as asked for', async () => {
  using folder = testFolder();
  const told = await options(folder);
  assert.is(told.dataFolder, folder.at('data/skein'));
  assert.equal(told.http, { host: '127.0.0.1', port: 7070, explicit: false });
  assert.equal(told.listen, { host: '127.0.0.1', port: 7071, explicit: false });
  assert.is(told.roles, undefined);
  assert.is(told.drainDeadlineMs, 30_000);
  assert.is(told.slotsExplicit, false);
  assert.is((await options(folder, {}, { XDG_DATA_HOME: '' }, 0)).dataFolder, '/var/lib/skein');
});

test('flags win over SKEIN_*, those over node.yaml in the data folder', async () => {
  using folder = testFolder();
  folder.write({ 'd/node.yaml': 'slots: 3\nname: file\nhttp: 0.0.0.0:1\nannounce: [a:1, b:2]\n' });
  const told = await options(folder, { data: 'd', slots: '5' }, { SKEIN_NAME: 'env' });
  assert.is(told.slots, 5);
  assert.is(told.name, 'env');
  assert.equal(told.http, { host: '0.0.0.0', port: 1, explicit: true });
  assert.equal(told.announce, ['a:1', 'b:2']);
});

test('addresses are HOST:PORT, :PORT, PORT or a multiaddr', () => {
  const cases: readonly (readonly [string, { host: string; port: number } | undefined])[] = [
    ['127.0.0.1:7070', { host: '127.0.0.1', port: 7070 }],
    ['0.0.0.0:0', { host: '0.0.0.0', port: 0 }],
    [':80', { host: '0.0.0.0', port: 80 }],
    ['80', { host: 'here', port: 80 }],
    ['[::1]:80', { host: '::1', port: 80 }],
    ['/ip4/10.0.0.1/tcp/7071', { host: '10.0.0.1', port: 7071 }],
    ['/dns/box.example/tcp/1', { host: 'box.example', port: 1 }],
    ['box', undefined],
    ['box:99999', undefined],
    ['', undefined],
    ['/ip4/10.0.0.1/udp/7071', undefined],
  ];
  for (const [text, address] of cases) assert.equal(parseAddress(text, 'here'), address, text);
});

test('what is wrong names its place and what was expected', async () => {
  using folder = testFolder();
  folder.write({ 'd/node.yaml': 'slots: many\n', 'e/node.yaml': 'slotz: 1\n' });
  assert.is((await failure(options(folder, { data: '' }))).code, 'usage');
  assert.match((await failure(options(folder, { http: 'box' }))).message, /^--http: "box" is not HOST:PORT/);
  assert.is((await failure(options(folder, { roles: 'king' }))).code, 'usage');
  for (const slots of ['0', '513']) assert.is((await failure(options(folder, { slots }))).code, 'usage');
  assert.is((await failure(options(folder, { tlsCert: 'x' }))).code, 'usage');
  assert.is((await failure(options(folder, { config: 'nowhere.yaml' }))).code, 'file-missing');
  const inFile = await failure(options(folder, { data: 'd' }));
  assert.is(inFile.code, 'config-invalid');
  assert.match(inFile.message, /d\/node\.yaml:1:1 slots: "many" is not a whole number/);
  assert.match((await failure(options(folder, { data: 'e' }))).message, /node\.yaml:1:1 slotz: expected one of/);
});

test('roles come in one order whatever the order they are said in', async () => {
  using folder = testFolder();
  assert.equal((await options(folder, { roles: 'voter, worker' })).roles, ['worker', 'voter']);
});

test.run();
