// `skein key rotate [ID]`: replaces a key by a new one of the same name and scope. The caller's own is changed in the
// file that it lies in; another's is printed as a login string.
import { open, readFile, rename } from 'node:fs/promises';
import { SkeinError } from '../../../protocol/errors.ts';
import type { Call, Command } from '../call.ts';
import { loginOf, makeKey, type NewKey, warnLoopback } from '../keys.ts';
import { type Mesh, openMesh } from '../mesh.ts';

export const command: Command = async (call: Call) => {
  const [named] = call.args;
  const mesh = await openMesh(call);
  const me = await mesh.client.whoami();
  const isOwn = named === undefined || named === me.name || me.keyId.startsWith(named);
  const key = makeKey(call);
  if (isOwn && mesh.keyFile !== null) {
    const view = await rotateInFile(mesh, me.keyId, key, mesh.keyFile);
    await call.screen.answer(call.flags.json === true ? JSON.stringify(view) : view.id);
    await call.screen.say(`the key ${me.name} is a new one, in ${mesh.keyFile}; the old one has ended`);
    return 0;
  }
  const view = await mesh.client.rotateKey(isOwn ? me.keyId : named, key.hash);
  const login = loginOf(mesh, me, key.text);
  await call.screen.answer(call.flags.json === true ? JSON.stringify({ ...view, login }) : login);
  await call.screen.say(`the key ${view.name} is a new one, ${view.id}; the old one has ended`);
  await warnLoopback(call, mesh);
  return 0;
};

/**
 * The file first: a crash in between leaves a key that a node, at its start, makes known again; the other way round it
 * would leave a file that opens nothing. A refusal puts the old one back.
 */
async function rotateInFile(
  mesh: Mesh,
  id: string,
  key: NewKey,
  file: string,
): ReturnType<Mesh['client']['rotateKey']> {
  const before = await readFile(file, 'utf8');
  await replace(file, `${key.text}\n`);
  try {
    return await mesh.client.rotateKey(id, key.hash);
  } catch (error) {
    const unknown = error instanceof SkeinError && ['outcome-unknown', 'unreachable'].includes(error.code);
    if (!unknown) await replace(file, before);
    throw error;
  }
}

async function replace(file: string, text: string): Promise<void> {
  const half = `${file}.${process.pid}`;
  {
    await using handle = await open(half, 'w', 0o600);
    await handle.writeFile(text);
    await handle.sync();
  }
  await rename(half, file);
}
