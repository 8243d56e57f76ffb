// Keys as the command line makes them: the text here, its hash to the mesh, and one string for whoever shall use it.
import { createHash } from 'node:crypto';
import type { WhoAmI } from '../../protocol/api/mesh.ts';
import { dialable } from '../config/dialable.ts';
import { encodeLogin } from '../config/login.ts';
import type { Call } from './call.ts';
import type { Mesh } from './mesh.ts';

const KEY_BYTES = 32;

export interface NewKey {
  readonly text: string;
  readonly hash: string;
}

export function makeKey(call: Call): NewKey {
  const text = `skein-${Buffer.from(call.world.random.bytes(KEY_BYTES)).toString('base64url')}`;
  return { text, hash: createHash('sha256').update(text).digest('hex') };
}

/** Gateways with their pins, the mesh and the key in one word. */
export function loginOf(mesh: Mesh, { meshId, meshName }: WhoAmI, key: string): string {
  const gateways = mesh.gateways.map(({ url, pin }) => dialable(url) + (pin === null ? '' : `#sha256=${pin}`));
  return encodeLogin({ meshId, meshName, gateways, key });
}

export const isLoopback = (url: string): boolean => /^(localhost|127(\.\d+){3}|\[::1\])$/.test(new URL(url).hostname);

export async function warnLoopback(call: Call, mesh: Mesh): Promise<void> {
  if (!mesh.gateways.every(({ url }) => isLoopback(url))) return;
  await call.screen.say('only this machine can use it: the gateway listens on loopback (skein up --http HOST:PORT)');
}
