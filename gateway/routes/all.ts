// Every route of the API, for the server that answers and for the description of it.
import type { RouteOptions } from 'fastify';
import type { App, Context } from '../context.ts';
import { query } from '../described.ts';
import { accessRoutes } from './access.ts';
import { actRoutes } from './acts.ts';
import { blobRoutes, uploadRoutes } from './blobs.ts';
import { eventRoutes } from './events.ts';
import { jobRoutes } from './jobs.ts';
import { logRoutes } from './logs.ts';
import { meshRoutes } from './mesh.ts';
import { outputRoutes } from './outputs.ts';
import { ownRoutes } from './own.ts';
import { submitRoute } from './submit.ts';
import { taskRoutes } from './tasks.ts';

const JSON_BYTES_MAX = 1024 * 1024;

/** Two paths take bodies of their own kind, so they have scopes of their own. */
export function allRoutes(app: App, context: Context): void {
  app.addHook('onRoute', refuseQuery);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', (request, _payload, done) => {
    context.bodies.read(request.raw, JSON_BYTES_MAX, done);
  });
  for (const routes of [
    jobRoutes,
    actRoutes,
    taskRoutes,
    logRoutes,
    outputRoutes,
    eventRoutes,
    blobRoutes,
    meshRoutes,
    accessRoutes,
    ownRoutes,
  ]) {
    routes(app, context);
  }
  for (const routes of [submitRoute, uploadRoutes]) {
    app.register(async (scope) => routes(scope as App, context));
  }
}

/** A path without parameters takes none: `?dryRun=1` where there is no such thing must not act in earnest. */
function refuseQuery(route: RouteOptions): void {
  if (route.url.startsWith('/v1/')) route.schema = { querystring: query({}), ...route.schema };
}
