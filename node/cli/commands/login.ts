// `skein login URL|STRING|-`: keeps a connection and its key for this user. A key is read, never taken from a flag.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { SkeinClient } from '../../../gateway/client/client.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import { loadConfig } from '../../config/config.ts';
import { parseGateway, readKey } from '../../config/connection.ts';
import { storeMesh } from '../../config/edit.ts';
import { configFolder } from '../../config/folders.ts';
import { decodeLogin, isLogin } from '../../config/login.ts';
import { type Call, type Command, flag } from '../call.ts';

interface Offered {
  readonly gateways: readonly string[];
  readonly key: string;
  readonly meshId: string | undefined;
}

export const command: Command = async (call: Call) => {
  const { gateways, key, meshId } = await offered(call);
  const { clock, surroundings: from } = call.world;
  const client = new SkeinClient({ gateways: gateways.map(parseGateway), key, clock });
  const me = await client.whoami();
  client.close();
  if (meshId !== undefined && meshId !== me.meshId) {
    throw new SkeinError('forbidden', `another mesh answers there: ${me.meshName}`, {
      fix: 'ask for a new login string',
    });
  }
  const name = flag(call, 'name') ?? me.meshName;
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(name) || name === 'local') {
    throw new SkeinError('usage', `${name} is no name to keep a mesh under`, { fix: 'give another with --name' });
  }
  const folder = join(configFolder(from), 'keys');
  const keyFile = join(folder, `${name}.key`);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(keyFile, `${key}\n`, { mode: 0o600 });
  await storeMesh({ name, meshId: me.meshId, gateways, keyFile }, from);
  if (call.flags.json === true) await call.screen.answer(JSON.stringify({ ...me, storedAs: name }));
  await call.screen.say(`logged in to ${name} as ${me.name} (${me.scope}); from now on: skein --mesh ${name} VERB`);
  return 0;
};

async function offered(call: Call): Promise<Offered> {
  const [said] = call.args;
  const given = (said === '-' ? await text(call.world.stdin) : (said ?? '')).trim();
  if (given === '')
    throw new SkeinError('usage', 'login needs a URL or a login string', { fix: 'skein login - reads one' });
  if (isLogin(given)) return decodeLogin(given);
  parseGateway(given);
  const { connection } = await loadConfig({ keyFile: call.flags.keyFile }, call.world.surroundings);
  const key = connection.key ?? (connection.keyFile === undefined ? undefined : await readKey(connection.keyFile));
  if (key === undefined) {
    throw new SkeinError('unauthenticated', `no key is given for ${given}`, {
      fix: 'set SKEIN_KEY or --key-file FILE, or use the string that skein key create printed',
    });
  }
  return { gateways: [given], key, meshId: undefined };
}
