// `skein key rotate` against a gateway that loses answers: whatever happens, a key that opens stays at hand.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { decodeLogin } from '../../../node/config/login.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import { Cli } from '../../support/cli.ts';
import { Door } from '../../support/door.ts';
import { ADMIN_KEY } from '../../support/fake-mesh.ts';

const test = suite<{ door: Door; cli: Cli; file: string; env: Record<string, string> }>('key rotate');
test.before.each(async (context) => {
  context.door = await Door.open();
  context.cli = new Cli(mkdtempSync(join(tmpdir(), 'skein-rotate-')));
  context.file = join(context.cli.place('keys'), 'my.key');
  writeFileSync(context.file, `${ADMIN_KEY}\n`);
  context.env = { SKEIN_GATEWAY: context.door.url };
});
test.after.each(async ({ door, cli }) => {
  await door.close();
  rmSync(cli.folder, { recursive: true });
});

const opens = async (door: Door, key: string): Promise<boolean> =>
  (await door.ask('/v1/whoami', { key: key.trim() })).status === 200;

test('the new key is in the file, also where the answer was lost and the old one is out', async (context) => {
  const { door, cli, file, env } = context;
  door.mesh.losesNextAnswer = true;
  const { code, out, err } = await cli.run(['key', 'rotate', '--key-file', file], { env });
  assert.is(code, 0, err);
  const key = readFileSync(file, 'utf8');
  assert.is(await opens(door, key), true);
  assert.is(await opens(door, ADMIN_KEY), false);
  assert.match(out, /^[0-9a-f]{16}\n$/);
  assert.equal(readdirSync(join(file, '..')), ['my.key']);
});

test('a refusal leaves the old key', async ({ door, cli, file, env }) => {
  const { id } = (await door.ask('/v1/keys')).json.items[0];
  door.mesh.failing = new SkeinError('state-conflict', 'not now');
  const { code } = await cli.run(['key', 'rotate', '--key-file', file], { env });
  door.mesh.failing = undefined;
  assert.is(code, 5);
  assert.is(readFileSync(file, 'utf8'), `${ADMIN_KEY}\n`);
  assert.equal(readdirSync(join(file, '..')), ['my.key']);
  assert.is((await door.ask('/v1/whoami')).json.keyId, id);
});

test('where nobody can tell, both keys are kept and named', async ({ door, cli, file, env }) => {
  door.mesh.failing = new SkeinError('internal-error', 'nobody knows');
  const { code, err } = await cli.run(['key', 'rotate', '--key-file', file], { env });
  door.faults.length = 0;
  assert.is(code, 8, err);
  assert.ok(err.includes(`${file} holds the new key, ${file}.old the old one`), err);
  assert.is(readFileSync(`${file}.old`, 'utf8'), `${ADMIN_KEY}\n`);
  assert.is.not(readFileSync(file, 'utf8'), `${ADMIN_KEY}\n`);
});

test('a key from the environment is printed, also where its answer was lost', async ({ door, cli, env }) => {
  door.mesh.losesNextAnswer = true;
  const { code, out, err } = await cli.run(['key', 'rotate'], { env: { ...env, SKEIN_KEY: ADMIN_KEY } });
  assert.is(code, 0, err);
  assert.is(await opens(door, decodeLogin(out.trim()).key), true);
});

test.run();
