// The description of the API, OpenAPI 3.1, made from the very schemas that validate, and the page that shows it.
// Made when it is first asked for, by a second server that registers the same routes and listens nowhere.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ProblemShape } from '../protocol/api/shape.ts';
import type { App, Context } from './context.ts';
import { allRoutes } from './routes/all.ts';

export interface Description {
  readonly json: string;
  /** Answers a request below /docs. */
  readonly docs: (request: IncomingMessage, response: ServerResponse) => void;
}

const ABOUT = [
  'Jobs are submitted, followed and fetched here. Every request but those that say otherwise carries a key as',
  '`Authorization: Bearer KEY`. An error is a problem (RFC 9457) with a `sentence`, a `fix` and, where it helps to wait,',
  '`retryAfterMs`. What is not known is `null` and never missing; times are RFC 3339 in UTC; fields are only ever added.',
].join(' ');

const tags = [
  { name: 'jobs', description: 'Submit, look, act' },
  { name: 'tasks', description: 'The units of a job and each try at running one' },
  { name: 'logs', description: 'What scripts wrote' },
  { name: 'outputs', description: 'The files that scripts left' },
  { name: 'events', description: 'What happens, as it happens' },
  { name: 'blobs', description: 'Files under the sha-256 of their bytes' },
  { name: 'mesh', description: 'Peers and members' },
  { name: 'access', description: 'Tickets and keys' },
  { name: 'gateway', description: 'This gateway itself' },
];

/** Nothing of the page comes from anywhere else, and nothing is upgraded: loopback speaks plain HTTP. */
const CSP =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; frame-ancestors 'self'";

interface Described {
  readonly params?: { readonly properties: Readonly<Record<string, unknown>>; readonly required: readonly string[] };
}

/** OpenAPI has no name for "the rest of the path": here it is `path`. */
function nameRest(schema: Described, url: string) {
  if (schema.params === undefined || !url.endsWith('/*')) return { schema, url };
  const { '*': rest, ...properties } = schema.params.properties;
  const required = schema.params.required.map((name) => (name === '*' ? 'path' : name));
  const params = { ...schema.params, properties: { ...properties, path: rest }, required };
  return { schema: { ...schema, params }, url: url.replace('/*', '/:path') };
}

export async function describe(context: Context): Promise<Description> {
  const [{ default: fastify }, { default: swagger }, { default: swaggerUi }] = await Promise.all([
    import('fastify'),
    import('@fastify/swagger'),
    import('@fastify/swagger-ui'),
  ]);
  const app = fastify({ exposeHeadRoutes: false }) as unknown as App;
  // Nothing is validated or answered here but the page.
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => (value) => JSON.stringify(value));
  app.addSchema({ $id: 'Problem', ...ProblemShape });
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'skein', description: ABOUT, version: context.version, license: { name: 'Apache-2.0' } },
      tags,
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer', description: 'A key of this mesh' } } },
    },
    exposeHeadRoutes: true,
    transform: ({ schema, url }) => nameRest(schema as Described, url),
    refResolver: { buildLocalReference: (json, _base, _fragment, at) => String(json.$id ?? `def-${at}`) },
  });
  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: CSP });
  allRoutes(app, context);
  await app.ready();
  return { json: JSON.stringify(app.swagger()), docs: (request, response) => app.routing(request, response) };
}
