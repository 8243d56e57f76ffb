// The mesh itself: its peers as gossip shows them, its members as the log has them, and taking one out of work.
import { Type } from 'typebox';
import { rfc3339 } from '../../protocol/api/instant.ts';
import { Drained, DrainRequest, MemberList, PeerList, RuntimeList } from '../../protocol/api/mesh.ts';
import { SkeinError } from '../../protocol/errors.ts';
import type { PeerId } from '../../protocol/ids.ts';
import { keys, type MemberRow } from '../../protocol/state/rows.ts';
import { callerIn, requires } from '../auth.ts';
import { emptyBody } from '../bodies.ts';
import type { App, Context } from '../context.ts';
import { about, IdempotencyHeader, query, refusals } from '../described.ts';
import { answerOf, idempotencyOf } from '../idempotency.ts';
import type { MeshPort } from '../port.ts';
import { Consistency, fresh } from '../reads.ts';

export function meshRoutes(app: App, context: Context): void {
  const { mesh } = context;
  const onRequest = requires(mesh, 'read');
  app.get(
    '/v1/peers',
    {
      schema: {
        ...about({
          tag: 'mesh',
          summary: 'The peers as they are now',
          description: 'From gossip as this gateway hears it: it needs no quorum.',
          scope: 'read',
        }),
        response: { 200: PeerList, ...refusals },
      },
      onRequest,
    },
    async () => peers(mesh),
  );
  app.get(
    '/v1/members',
    {
      schema: {
        ...about({ tag: 'mesh', summary: 'The members as the log has them', scope: 'read' }),
        querystring: query(Consistency),
        response: { 200: MemberList, ...refusals },
      },
      onRequest,
    },
    async (request, reply) => {
      await fresh(context, request, reply);
      const items: MemberList['items'] = [];
      for await (const [, row] of mesh.scan<MemberRow>('member/')) {
        const { peerId, name, roles, state, incarnation, joinedAt } = row;
        items.push({ peerId, name, roles: [...roles], state, incarnation, joinedAt: rfc3339(joinedAt) });
      }
      return { schema: 'skein.members/1' as const, items, next: null };
    },
  );
  app.post(
    '/v1/peers/:peer/drain',
    {
      schema: {
        ...about({
          tag: 'mesh',
          summary: 'Let a worker take no more work, or let it again',
          description: '`draining: false` undoes it. Asking for what is so already changes nothing.',
          scope: 'admin',
        }),
        headers: IdempotencyHeader,
        params: Type.Object({ peer: Type.String({ maxLength: 256, description: "a peer's id or its name" }) }),
        body: DrainRequest,
        response: { 202: Drained, ...refusals },
      },
      preValidation: emptyBody,
      onRequest: requires(mesh, 'admin'),
    },
    async (request, reply) => {
      await mesh.readBarrier();
      const peerId = await memberOf(mesh, request.params.peer);
      const draining = request.body.draining ?? true;
      const { project } = callerIn(request).key;
      const idempotency = idempotencyOf(request, `drain ${peerId}`, { draining });
      const command = { kind: 'member.draining', peerId, draining, project, idempotency, at: mesh.now() } as const;
      answerOf((await mesh.propose(command)).outcome, reply);
      reply.status(202);
      return { schema: 'skein.drain/1' as const, peerId, draining };
    },
  );
  app.get(
    '/v1/runtimes',
    {
      schema: {
        ...about({ tag: 'mesh', summary: 'What a script can run in', scope: 'read' }),
        response: { 200: RuntimeList, ...refusals },
      },
      onRequest,
    },
    async () => ({
      schema: 'skein.runtimes/1' as const,
      items: [
        { name: 'process', description: "a process on the worker, with the worker's own programs" },
        { name: 'noop', description: 'nothing is run: for measuring' },
      ],
      next: null,
    }),
  );
}

function peers(mesh: MeshPort): PeerList {
  const { leader, term, commitIndex, voters } = mesh.status();
  const items = mesh.peers().map((peer) => ({ ...peer, roles: [...peer.roles] }));
  return { schema: 'skein.peers/1', leader, term, commitIndex, voters, source: 'gateway', items, next: null };
}

async function memberOf(mesh: MeshPort, wanted: string): Promise<PeerId> {
  if (mesh.view.get(keys.member(wanted as PeerId)) !== undefined) return wanted as PeerId;
  for await (const [, row] of mesh.scan<MemberRow>('member/')) {
    if (row.name === wanted && row.state !== 'left') return row.peerId;
  }
  throw new SkeinError('not-found', `no member is named ${wanted.slice(0, 80)}`, { fix: 'skein peers names them' });
}
