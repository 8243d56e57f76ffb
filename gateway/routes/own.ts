// What a gateway tells of itself without a version in the path: health, figures, its own description, its problems.
import { Type } from 'typebox';
import { Health, Readiness } from '../../protocol/api/mesh.ts';
import { type ErrorCode, failures, SkeinError } from '../../protocol/errors.ts';
import { requires } from '../auth.ts';
import type { App, Context } from '../context.ts';
import { about, raw, refusals } from '../described.ts';

const ProblemKind = Type.Object({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  retriable: Type.Boolean({ description: 'whether the same request, unchanged, may succeed later' }),
  fix: Type.String({ description: 'what to do next, where a problem does not say better' }),
});

const kindOf = (code: ErrorCode) => ({ type: `/problems/${code}`, ...failures[code] });

export function ownRoutes(app: App, context: Context): void {
  const { mesh, version } = context;
  app.get(
    '/healthz',
    { schema: { ...about({ tag: 'gateway', summary: 'Whether it runs', scope: null }), response: { 200: Health } } },
    async () => ({ status: 'ok' as const, version }),
  );
  app.get(
    '/readyz',
    {
      schema: {
        ...about({ tag: 'gateway', summary: 'Whether it takes submissions', scope: null }),
        response: { 200: Readiness, 503: Readiness },
      },
    },
    async (_request, reply) => {
      const { ready, leader, term, commitIndex, appliedIndex, voters, disk } = mesh.status();
      reply.status(ready ? 200 : 503);
      return { ready, leader, term, commitIndex, appliedIndex, voters, disk };
    },
  );
  app.get(
    '/metrics',
    {
      schema: {
        ...about({
          tag: 'gateway',
          summary: 'Figures for Prometheus',
          description: 'Bound to loopback it needs no key.',
          scope: 'read',
        }),
        response: { 200: raw('Figures', 'text/plain'), ...refusals },
      },
      ...(context.loopback ? {} : { onRequest: requires(mesh, 'read') }),
    },
    async (_request, reply) => {
      const { text, type } = await context.metrics.page(mesh.status(), mesh.quiet());
      return reply.header('content-type', type).send(text);
    },
  );
  app.get(
    '/problems',
    {
      schema: {
        ...about({ tag: 'gateway', summary: 'All kinds of problems', scope: null }),
        response: { 200: Type.Array(ProblemKind) },
      },
    },
    async () => (Object.keys(failures) as ErrorCode[]).map(kindOf),
  );
  app.get(
    '/problems/:type',
    {
      schema: {
        ...about({ tag: 'gateway', summary: 'One kind of problem', scope: null }),
        params: Type.Object({ type: Type.String({ maxLength: 100 }) }),
        response: { 200: ProblemKind, ...refusals },
      },
    },
    async (request) => {
      const { type } = request.params;
      if (!Object.hasOwn(failures, type)) throw new SkeinError('not-found', `there is no kind of problem ${type}`);
      return kindOf(type as ErrorCode);
    },
  );
}
