// How fresh an answer is: linearizable unless the client takes what this gateway's replica holds.
import { Type } from 'typebox';
import { oneOf } from '../protocol/api/shape.ts';
import type { Context, Reply, Request } from './context.ts';

export const Consistency = {
  consistency: Type.Optional(
    oneOf(['linearizable', 'stale'], {
      description: 'stale: what this gateway holds, with Skein-Index and Skein-Age-Ms; answers without a quorum too',
    }),
  ),
};

/** Before a read: waits until the rows here hold all that was committed before the request, or says how old they are. */
export async function fresh(
  { mesh }: Pick<Context, 'mesh'>,
  request: Request & { readonly query: { readonly consistency?: string } },
  reply: Reply,
): Promise<void> {
  if (request.query.consistency !== 'stale') return mesh.readBarrier();
  const { appliedIndex, leader, self, ageMs } = mesh.status();
  reply.header('skein-index', appliedIndex);
  const age = leader === self ? 0 : ageMs;
  if (age !== undefined && age !== null) reply.header('skein-age-ms', Math.round(age));
}
