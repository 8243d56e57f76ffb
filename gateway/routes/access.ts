// Tickets and keys. The client makes every secret; what comes here is its hash.
import { Type } from 'typebox';
import { rfc3339, rfc3339OrNull } from '../../protocol/api/instant.ts';
import {
  KeyList,
  type KeyListItem,
  KeyRequest,
  KeyRotation,
  KeyView,
  TicketRequest,
  TicketView,
  WhoAmI,
} from '../../protocol/api/mesh.ts';
import { SkeinError } from '../../protocol/errors.ts';
import type { Command } from '../../protocol/state/command.ts';
import { type KeyRow, keys } from '../../protocol/state/rows.ts';
import { callerIn, requires } from '../auth.ts';
import type { App, Context, Reply } from '../context.ts';
import { about, IdempotencyHeader, query, refusals } from '../described.ts';
import { answerOf, idempotencyOf } from '../idempotency.ts';
import type { MeshPort } from '../port.ts';
import { Consistency, fresh } from '../reads.ts';

const TICKET_TTL_MS = 15 * 60_000;
const ID_LENGTH = 16;
type TicketTerm = 'roles' | 'uses' | 'expiresAt';
const KeyParam = Type.Object({
  key: Type.String({ minLength: 1, maxLength: 100, description: "a key's id or its name" }),
});

export function accessRoutes(app: App, context: Context): void {
  const { mesh } = context;
  const admin = requires(mesh, 'admin');
  app.post(
    '/v1/tickets',
    {
      schema: {
        ...about({
          tag: 'access',
          summary: 'Make a ticket',
          description: 'The same secret again gives the same ticket.',
          scope: 'admin',
        }),
        headers: IdempotencyHeader,
        body: TicketRequest,
        response: { 201: TicketView, ...refusals },
      },
      onRequest: admin,
    },
    async (request, reply) => {
      const { secretHash, roles, uses = 1, ttlMs = TICKET_TTL_MS } = request.body;
      const at = mesh.now();
      const { name: by, project } = callerIn(request).key;
      const idempotency = idempotencyOf(request, 'ticket', { secretHash, roles, uses, ttlMs });
      const { outcome } = await mesh.propose({
        kind: 'ticket.created',
        secretHash,
        roles,
        uses,
        expiresAt: at + ttlMs,
        by,
        project,
        idempotency,
        at,
      });
      const made = answerOf(outcome, reply) as Pick<Extract<Command, { kind: 'ticket.created' }>, TicketTerm>;
      const { addresses, peerIds, notes } = await mesh.ticketAddresses();
      const { meshId, meshName, epochId } = mesh.status();
      reply.status(201);
      return {
        schema: 'skein.ticket/1' as const,
        id: secretHash.slice(0, ID_LENGTH),
        meshId,
        meshName,
        epochId,
        addresses: [...addresses],
        peerIds: [...peerIds],
        roles: [...made.roles],
        uses: made.uses,
        expiresAt: rfc3339(made.expiresAt),
        notes: [...notes],
      };
    },
  );
  app.get(
    '/v1/keys',
    {
      schema: {
        ...about({ tag: 'access', summary: 'The keys, those revoked included', scope: 'admin' }),
        querystring: query(Consistency),
        response: { 200: KeyList, ...refusals },
      },
      onRequest: admin,
    },
    async (request, reply) => {
      await fresh(context, request, reply);
      const items: KeyListItem[] = [];
      for (const { hash, row } of await allKeys(mesh)) items.push(keyFields(hash, row));
      return { schema: 'skein.keylist/1' as const, items, next: null };
    },
  );
  app.post(
    '/v1/keys',
    {
      schema: {
        ...about({
          tag: 'access',
          summary: 'Make a key',
          description: "It is of the caller's project. The same secret again gives the same key.",
          scope: 'admin',
        }),
        headers: IdempotencyHeader,
        body: KeyRequest,
        response: { 201: KeyView, ...refusals },
      },
      onRequest: admin,
    },
    async (request, reply) => {
      const { name, scope, keyHash } = request.body;
      const { project } = callerIn(request).key;
      const idempotency = idempotencyOf(request, 'key', request.body);
      return createKey(mesh, reply, { name, scope, project, keyHash, idempotency, replaces: null });
    },
  );
  app.delete(
    '/v1/keys/:key',
    {
      schema: {
        ...about({ tag: 'access', summary: 'Revoke a key', scope: 'admin' }),
        params: KeyParam,
        response: { 200: KeyView, ...refusals },
      },
      onRequest: admin,
    },
    async (request, reply) => {
      await mesh.readBarrier();
      const { hash, row } = await keyOf(mesh, request.params.key);
      answerOf((await mesh.propose({ kind: 'key.revoked', keyHash: hash, at: mesh.now() })).outcome, reply);
      return keyView(hash, mesh.view.get(keys.key(hash)) ?? row);
    },
  );
  app.post(
    '/v1/keys/:key/rotate',
    {
      schema: {
        ...about({
          tag: 'access',
          summary: 'Replace a key by another of the same name and scope',
          description: 'The old one ends with it. Any key may replace itself; another one takes an admin.',
          scope: 'read',
        }),
        headers: IdempotencyHeader,
        params: KeyParam,
        body: KeyRotation,
        response: { 201: KeyView, ...refusals },
      },
      onRequest: requires(mesh, 'read'),
    },
    async (request, reply) => {
      await mesh.readBarrier();
      const caller = callerIn(request);
      const { hash, row } = await keyOf(mesh, request.params.key);
      if (hash !== caller.keyHash && caller.key.scope !== 'admin') {
        throw new SkeinError('forbidden', `only an admin may replace the key ${row.name}`);
      }
      const { keyHash } = request.body;
      // By what was asked for: a name means another key once it is done.
      const idempotency = idempotencyOf(request, `rotate ${request.params.key}`, request.body);
      const { name, scope, project } = row;
      return createKey(mesh, reply, { name, scope, project, keyHash, idempotency, replaces: hash });
    },
  );
  app.get(
    '/v1/whoami',
    {
      schema: {
        ...about({ tag: 'access', summary: 'Whose key this is, and which mesh answers', scope: 'read' }),
        response: { 200: WhoAmI, ...refusals },
      },
      onRequest: requires(mesh, 'read'),
    },
    async (request) => {
      const { keyHash, key } = callerIn(request);
      const { meshId, meshName, epochId, self } = mesh.status();
      return {
        schema: 'skein.whoami/1' as const,
        keyId: keyHash.slice(0, ID_LENGTH),
        name: key.name,
        scope: key.scope,
        project: key.project,
        meshId,
        meshName,
        epochId,
        gateway: { peerId: self, version: context.version },
      };
    },
  );
}

type NewKey = Omit<Extract<Command, { kind: 'key.created' }>, 'kind' | 'at'>;

async function createKey(mesh: MeshPort, reply: Reply, key: NewKey): Promise<KeyView> {
  const at = mesh.now();
  const { outcome } = await mesh.propose({ kind: 'key.created', ...key, at });
  answerOf(outcome, reply);
  const row = mesh.view.get(keys.key(key.keyHash)) ?? { ...key, createdAt: at, revokedAt: null };
  reply.status(201);
  return keyView(key.keyHash, row);
}

interface FoundKey {
  readonly hash: string;
  readonly row: KeyRow;
}

async function allKeys(mesh: MeshPort): Promise<FoundKey[]> {
  const found: FoundKey[] = [];
  for await (const [key, row] of mesh.scan<KeyRow>('key/')) found.push({ hash: key.slice('key/'.length), row });
  return found;
}

/**
 * By the beginning of its hash, or by its name where only one key in force has it. Where none has it any more, the one
 * that was revoked last: who revokes it again, because an answer was lost, hears that it is done.
 */
async function keyOf(mesh: MeshPort, wanted: string): Promise<FoundKey> {
  const all = await allKeys(mesh);
  const byId = /^[0-9a-f]{16,64}$/.test(wanted) ? all.filter(({ hash }) => hash.startsWith(wanted)) : [];
  const byName = all.filter(({ row }) => row.name === wanted);
  const inForce = byName.filter(({ row }) => row.revokedAt === null);
  const revoked = byName.toSorted((a, b) => (b.row.revokedAt ?? 0) - (a.row.revokedAt ?? 0)).slice(0, 1);
  const found = [byId, inForce, revoked].find((some) => some.length > 0) ?? [];
  const [only, ...others] = found;
  if (only === undefined) throw new SkeinError('not-found', `there is no key ${wanted}`, { fix: 'skein key list' });
  if (others.length > 0) {
    throw new SkeinError('state-conflict', `${found.length} keys are named ${wanted}`, {
      fix: 'name it by its id',
      extra: { candidates: found.map(({ hash }) => hash.slice(0, ID_LENGTH)) },
    });
  }
  return only;
}

function keyFields(hash: string, row: KeyRow): KeyListItem {
  return {
    id: hash.slice(0, ID_LENGTH),
    name: row.name,
    scope: row.scope,
    project: row.project,
    createdAt: rfc3339(row.createdAt),
    revokedAt: rfc3339OrNull(row.revokedAt),
  };
}

const keyView = (hash: string, row: KeyRow): KeyView => ({ schema: 'skein.key/1', ...keyFields(hash, row) });
