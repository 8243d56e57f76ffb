// The HTTP door of a node: the server, what every answer carries, and what it does with those who send nonsense.
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import fastify from 'fastify';
import { SkeinError } from '../protocol/errors.ts';
import type { Clock } from '../protocol/time.ts';
import { Bodies } from './bodies.ts';
import type { App, Context, Log } from './context.ts';
import type { Description } from './description.ts';
import { Hub } from './hub.ts';
import { Jobs } from './jobs.ts';
import { isLoopback } from './loopback.ts';
import { Metrics } from './metrics.ts';
import type { MeshPort } from './port.ts';
import { problemHandler, rawProblem, sendProblem } from './problem.ts';
import { allRoutes } from './routes/all.ts';
import { lazyValidators } from './validate.ts';

export interface GatewayParts {
  readonly mesh: MeshPort;
  readonly log: Log;
  readonly clock: Clock;
}

export interface GatewayOptions {
  readonly host: string;
  /** 0 takes any that is free. */
  readonly port: number;
  /** PEM; without it the door speaks plain HTTP. */
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly version: string;
}

export interface Gateway {
  /** Resolves with the URL once it listens. Fails with `port-in-use`. */
  listen(): Promise<string>;
  /** Ends every connection, streams included. */
  close(): Promise<void>;
  /** How long ago the last request ended; 0 while one is being answered, a stream included. */
  idleMs(): number;
}

const HEADERS_TIMEOUT_MS = 10_000;
const CHECK_CONNECTIONS_MS = 2000;
const KEEP_ALIVE_MS = 65_000;
/** No byte in either direction: a stream of events sends a comment more often than that. */
const IDLE_TIMEOUT_MS = 120_000;
const CONNECTIONS_MAX = 4096;
const HEADER_BYTES_MAX = 16 * 1024;

export function createGateway(parts: GatewayParts, options: GatewayOptions): Gateway {
  const stop = new AbortController();
  const { mesh, clock } = parts;
  const hub = new Hub(mesh);
  const context: Context = {
    ...parts,
    version: options.version,
    hub,
    jobs: new Jobs(mesh),
    bodies: new Bodies(clock, stop.signal),
    metrics: new Metrics(clock),
    loopback: isLoopback(options.host),
  };
  const app = build(context, options);
  return {
    async listen() {
      try {
        await app.listen({ host: options.host, port: options.port });
      } catch (cause) {
        throw listenError(cause, options);
      }
      const { port } = app.server.address() as AddressInfo;
      const host = options.host.includes(':') ? `[${options.host}]` : options.host;
      return `${options.tls === undefined ? 'http' : 'https'}://${host}:${port}`;
    },
    async close() {
      stop.abort();
      hub.close();
      await app.close();
    },
    idleMs: () => context.metrics.idleMs(),
  };
}

function build(context: Context, options: GatewayOptions): App {
  const { clock, log, metrics } = context;
  const prefix = `r${clock.now().toString(36)}-`;
  let requests = 0;
  const app = fastify({
    serverFactory: (handler) => makeServer(handler, options, metrics),
    forceCloseConnections: true,
    genReqId: () => prefix + (++requests).toString(36),
    routerOptions: { maxParamLength: 4096, ignoreTrailingSlash: false },
    frameworkErrors: (error, request, reply) => problemHandler(log)(error, request as never, reply as never),
  }) as unknown as App;
  app.setValidatorCompiler(lazyValidators());
  // Bodies are plain values made by pure functions and tested against their schemas: nothing is left to filter.
  app.setSerializerCompiler(() => (value) => JSON.stringify(value));
  app.setErrorHandler(problemHandler(log));
  app.decorateRequest('caller', null);
  app.addHook('onRoute', (route) => {
    const { url } = route;
    // Each route counts for itself: asking a request which route it took costs more than the counting.
    route.onResponse = (request, reply, done) => {
      metrics.count(request.method, url, reply.statusCode, reply.elapsedTime);
      done();
    };
  });
  const paths = new Paths(app);
  app.setNotFoundHandler((request, reply) => {
    const methods = paths.methodsOf(request.url);
    metrics.count(request.method, 'none', methods.length === 0 ? 404 : 405, reply.elapsedTime);
    if (methods.length === 0) {
      return sendProblem(reply, new SkeinError('not-found', 'there is no such path', { fix: 'see /docs' }), request.id);
    }
    reply.header('allow', methods.join(', '));
    const sentence = `that path takes ${methods.join(', ')}, not ${request.method}`;
    return sendProblem(reply, new SkeinError('method-not-allowed', sentence), request.id);
  });
  allRoutes(app, context);
  describeRoutes(app, context);
  return app;
}

function describeRoutes(app: App, context: Context): void {
  let made: Promise<Description> | undefined;
  const description = () => (made ??= import('./description.ts').then(({ describe }) => describe(context)));
  app.get('/openapi.json', { schema: { hide: true } }, async (_request, reply) =>
    reply.header('content-type', 'application/json').send((await description()).json),
  );
  for (const url of ['/docs', '/docs/*']) {
    app.get(url, { schema: { hide: true }, exposeHeadRoute: false }, async (request, reply) => {
      const { docs } = await description();
      reply.hijack();
      docs(request.raw, reply.raw);
    });
  }
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

function makeServer(handler: Handler, { tls, version }: GatewayOptions, metrics: Metrics): Server {
  const limits = {
    headersTimeout: HEADERS_TIMEOUT_MS,
    // A large upload takes as long as it takes; idle sockets and slow JSON bodies have deadlines of their own.
    requestTimeout: 0,
    connectionsCheckingInterval: CHECK_CONNECTIONS_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    maxHeaderSize: HEADER_BYTES_MAX,
    noDelay: true,
  };
  const answer: Handler = (request, response) => {
    response.setHeader('skein-version', version);
    metrics.opened();
    // Also when the client goes away in the middle, which no hook of the framework tells.
    response.once('close', () => metrics.closed());
    handler(request, response);
  };
  const server =
    tls === undefined
      ? createHttpServer(limits, answer)
      : (createHttpsServer({ ...limits, ...tls }, answer) as unknown as Server);
  server.maxConnections = CONNECTIONS_MAX;
  server.setTimeout(IDLE_TIMEOUT_MS);
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => refuse(error, socket, version));
  return server;
}

/** What is not HTTP, or did not come in time, gets one answer and the end of its connection. */
function refuse(error: NodeJS.ErrnoException, socket: Socket, version: string): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const failure =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? new SkeinError('request-timeout', `the request's head was not there within ${HEADERS_TIMEOUT_MS / 1000} s`)
      : new SkeinError('invalid-request', 'that is not a well-formed HTTP request');
  socket.end(rawProblem(failure, version));
}

function listenError(cause: unknown, { host, port }: GatewayOptions): SkeinError {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (code === 'EADDRINUSE') {
    return new SkeinError('port-in-use', `${host}:${port} is taken by another program`, {
      fix: 'give another one: --http HOST:PORT',
      cause,
    });
  }
  return new SkeinError('config-invalid', `cannot listen on ${host}:${port}: ${message}`, { cause });
}

/** Which methods a path takes, asked only where no route answers. */
class Paths {
  readonly #routes: { readonly pattern: RegExp; readonly methods: readonly string[] }[] = [];

  constructor(app: App) {
    app.addHook('onRoute', ({ url, method }) => {
      const source = url
        .replace(/[.]/g, '\\$&')
        .replace(/:[^/.]+/g, '[^/]+')
        .replace('*', '.*');
      this.#routes.push({ pattern: new RegExp(`^${source}$`), methods: [method].flat() });
    });
  }

  methodsOf(url: string): string[] {
    const path = url.split('?', 1)[0] ?? '';
    const methods = this.#routes.filter(({ pattern }) => pattern.test(path)).flatMap((route) => route.methods);
    return [...new Set(methods)].sort();
  }
}
