// `skein key rotate [ID]`: replaces a key by a new one of the same name and scope. The caller's own is changed in the
// file that it lies in; another's is printed as a login string.
import { open, readFile, rename, rm } from 'node:fs/promises';
import type { KeyView, WhoAmI } from '../../../protocol/api/mesh.ts';
import { failures, SkeinError } from '../../../protocol/errors.ts';
import type { Call, Command } from '../call.ts';
import { newIdempotencyKey } from '../idempotency-key.ts';
import { loginOf, makeKey, type NewKey, warnLoopback } from '../keys.ts';
import { type Mesh, openMesh } from '../mesh.ts';

export const command: Command = async (call: Call) => {
  const [named] = call.args;
  const mesh = await openMesh(call);
  const me = await mesh.client.whoami();
  const isOwn = named === undefined || named === me.name || me.keyId.startsWith(named);
  const id = isOwn ? me.keyId : named;
  if (isOwn && mesh.keyFile !== null) await rotateInFile(call, mesh, id, mesh.keyFile);
  else await rotateInSight(call, mesh, id, me);
  return 0;
};

/** The file first, the old key beside it until the answer is certain: a crash at any point leaves the one that opens. */
async function rotateInFile(call: Call, mesh: Mesh, id: string, file: string): Promise<void> {
  const key = makeKey(call);
  const old = `${file}.old`;
  await write(old, await readFile(file, 'utf8'));
  await write(file, `${key.text}\n`);
  const outcome = await rotate(call, mesh, id, key);
  if (outcome.kind === 'refused') await rename(old, file);
  if (outcome.kind === 'unknown') throw unknown(outcome.error, `${file} holds the new key, ${old} the old one`);
  if (outcome.kind === 'refused') throw outcome.error;
  await rm(old);
  const { view } = outcome;
  await call.screen.answer(call.flags.json === true ? JSON.stringify(view) : view.id);
  await call.screen.say(`the key ${view.name} is a new one, in ${file}; the old one has ended`);
}

/** For keys that lie in no file here: what is printed is all there is of the new one, also where its fate is not known. */
async function rotateInSight(call: Call, mesh: Mesh, id: string, me: WhoAmI): Promise<void> {
  const key = makeKey(call);
  const outcome = await rotate(call, mesh, id, key);
  if (outcome.kind === 'refused') throw outcome.error;
  const login = loginOf(mesh, me, key.text);
  const view = outcome.kind === 'done' ? outcome.view : {};
  await call.screen.answer(call.flags.json === true ? JSON.stringify({ ...view, login }) : login);
  if (outcome.kind === 'unknown') throw unknown(outcome.error, 'what is printed holds the new key');
  await call.screen.say(`the key ${outcome.view.name} is a new one, ${outcome.view.id}; the old one has ended`);
  await warnLoopback(call, mesh);
}

type Rotation =
  | { readonly kind: 'done'; readonly view: KeyView }
  /** The old key is what it was. */
  | { readonly kind: 'refused'; readonly error: unknown }
  | { readonly kind: 'unknown'; readonly error: unknown };

async function rotate(call: Call, mesh: Mesh, id: string, key: NewKey): Promise<Rotation> {
  try {
    return { kind: 'done', view: await mesh.client.rotateKey(id, key.hash, newIdempotencyKey(call)) };
  } catch (error) {
    // An answer that was lost leaves the old key out already, and the request repeated with it refused.
    const view = await askAsNew(call, mesh, key);
    if (view === 'unknown') return { kind: 'unknown', error };
    if (view !== 'not-in-force') return { kind: 'done', view };
    return { kind: isRefusal(error) ? 'refused' : 'unknown', error };
  }
}

/** A key in force may ask for what it came by: it is there, so nothing changes. */
async function askAsNew(call: Call, mesh: Mesh, key: NewKey) {
  const { SkeinClient } = await import('../../../gateway/client/client.ts');
  const client = new SkeinClient({ gateways: mesh.gateways, key: key.text, clock: call.world.clock });
  try {
    return await client.rotateKey((await client.whoami()).keyId, key.hash, newIdempotencyKey(call));
  } catch (error) {
    return error instanceof SkeinError && error.code === 'unauthenticated' ? 'not-in-force' : 'unknown';
  } finally {
    client.close();
  }
}

const isRefusal = (error: unknown): boolean => error instanceof SkeinError && failures[error.code].status < 500;

function unknown(cause: unknown, where: string): SkeinError {
  const why = cause instanceof Error ? `: ${cause.message}` : '';
  return new SkeinError('outcome-unknown', `whether the key was replaced is not known (${where})${why}`, {
    cause,
    fix: 'once the mesh answers, try skein list with each and keep the one that opens',
  });
}

async function write(file: string, text: string): Promise<void> {
  const half = `${file}.${process.pid}`;
  {
    await using handle = await open(half, 'w', 0o600);
    await handle.writeFile(text);
    await handle.sync();
  }
  await rename(half, file);
}
