// `skein key create NAME --scope S`: a key for a person or program; prints one login string.
import { SkeinError } from '../../../protocol/errors.ts';
import { type Call, type Command, flag } from '../call.ts';
import { newIdempotencyKey } from '../idempotency-key.ts';
import { loginOf, makeKey, warnLoopback } from '../keys.ts';
import { openMesh } from '../mesh.ts';

const SCOPES = ['submit', 'read', 'admin'] as const;

export const command: Command = async (call: Call) => {
  const [name = ''] = call.args;
  const scope = SCOPES.find((each) => each === flag(call, 'scope'));
  if (scope === undefined)
    throw new SkeinError('usage', 'a key has a scope', { fix: 'add --scope submit, read or admin' });
  const mesh = await openMesh(call);
  const { text, hash } = makeKey(call);
  const view = await mesh.client.createKey({ name, scope, keyHash: hash }, newIdempotencyKey(call));
  const login = loginOf(mesh, await mesh.client.whoami(), text);
  if (call.flags.json === true) await call.screen.answer(JSON.stringify({ ...view, login }));
  else await call.screen.answer(login);
  await call.screen.say(`key ${view.id} (${name}, ${scope}); who has this string has the key: skein login - reads it`);
  await warnLoopback(call, mesh);
  return 0;
};
