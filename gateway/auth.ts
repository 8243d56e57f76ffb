// Who may ask what: the Bearer key of a request, looked up by its hash in the replicated rows.
import { hash } from 'node:crypto';
import { SkeinError } from '../protocol/errors.ts';
import { type KeyRow, keys, type Scope } from '../protocol/state/rows.ts';
import type { Caller, Reply, Request } from './context.ts';
import type { MeshPort } from './port.ts';

const KEY_LENGTH_MAX = 512;

/** What each scope includes. A submitter must read too: it follows what it submitted. */
const includes: Readonly<Record<Scope, readonly Scope[]>> = {
  read: ['read'],
  submit: ['submit', 'read'],
  admin: ['admin', 'submit', 'read'],
};

export const hashOfKey = (text: string): string => hash('sha256', text, 'hex');

type Hook = (request: Request, reply: Reply, done: (error?: Error) => void) => void;

/** A hook that lets a request pass whose key has the scope, before anything of its body is read. */
export function requires(mesh: MeshPort, scope: Scope): Hook {
  return (request, _reply, done) => {
    const caller = callerOf(mesh, request.headers.authorization);
    if (caller instanceof SkeinError) return done(caller);
    if (!includes[caller.key.scope].includes(scope)) return done(forbidden(caller.key, scope));
    request.caller = caller;
    done();
  };
}

/** Why the key that a request came with opens nothing any more. */
export function whyOut(mesh: MeshPort, request: Request): SkeinError | undefined {
  const caller = callerOf(mesh, request.headers.authorization);
  return caller instanceof SkeinError ? caller : undefined;
}

function forbidden(key: KeyRow, scope: Scope): SkeinError {
  return new SkeinError('forbidden', `the key ${key.name} has the scope ${key.scope}; this needs ${scope}`, {
    fix: `ask an admin of the mesh for a key: skein key create NAME --scope ${scope}`,
  });
}

/** A key is found by its hash, so the time this takes tells nothing about any key that exists. */
function callerOf(mesh: MeshPort, header: string | undefined): Caller | SkeinError {
  const text = bearer(header);
  if (text === undefined) return unauthenticated('no key was sent');
  const keyHash = hashOfKey(text);
  const key = mesh.view.get(keys.key(keyHash));
  if (key === undefined) return unauthenticated('the key is not one of this mesh');
  if (key.revokedAt !== null) return unauthenticated(`the key ${key.name} has been revoked`);
  return { keyHash, key };
}

function bearer(header: string | undefined): string | undefined {
  if (header === undefined || header.length > KEY_LENGTH_MAX || !/^bearer /i.test(header)) return undefined;
  const text = header.slice(7).trim();
  return text === '' ? undefined : text;
}

function unauthenticated(sentence: string): SkeinError {
  return new SkeinError('unauthenticated', sentence, {
    fix: 'send a key of this mesh as "Authorization: Bearer KEY" (skein: SKEIN_KEY or --key-file); skein key create makes one, admin.key in a gateway\'s data folder is one',
  });
}

/** The caller of a route that requires one. */
export function callerIn(request: Request): Caller {
  if (request.caller === null) throw new Error('bug: a route that needs a caller has no scope');
  return request.caller;
}
