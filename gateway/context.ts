// What every route is handed, and the types of the server they hang on.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { KeyRow } from '../protocol/state/rows.ts';
import type { Clock } from '../protocol/time.ts';
import type { Bodies } from './bodies.ts';
import type { Hub } from './hub.ts';
import type { Jobs } from './jobs.ts';
import type { Metrics } from './metrics.ts';
import type { MeshPort } from './port.ts';

export type App = FastifyInstance<Server, IncomingMessage, ServerResponse, FastifyBaseLogger, TypeBoxTypeProvider>;
export type Request = FastifyRequest;
export type Reply = FastifyReply;

/** The part of a pino logger that the gateway needs. */
export interface Log {
  error(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface Context {
  readonly mesh: MeshPort;
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
  readonly hub: Hub;
  readonly jobs: Jobs;
  readonly bodies: Bodies;
  readonly metrics: Metrics;
  /** Whether the door is open to this machine alone. */
  readonly loopback: boolean;
}

/** Who asks: the row of the key that the request carries. */
export interface Caller {
  readonly keyHash: string;
  readonly key: KeyRow;
}

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller | null;
  }
}
