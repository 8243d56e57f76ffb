// Pages of lists: their parameters, and the link to the next one.
import { Type } from 'typebox';
import type { Reply, Request } from './context.ts';

export const Page = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500, description: '50 unless told' })),
  cursor: Type.Optional(Type.String({ maxLength: 512, description: '`next` of the page before' })),
};

/** Says where the next page is as RFC 8288 has it, too. */
export function linkNext(request: Request, reply: Reply, next: string | null): void {
  if (next === null) return;
  const [path = '', search = ''] = request.url.split('?', 2);
  const query = new URLSearchParams(search);
  query.set('cursor', next);
  reply.header('link', `<${path}?${query}>; rel="next"`);
}
