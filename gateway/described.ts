// What the descriptions of all routes have in common: parameters by name, and the answers that any of them may give.
import { type TObject, type TProperties, Type } from 'typebox';
import type { Scope } from '../protocol/state/rows.ts';

export const JobParam = { id: Type.String({ maxLength: 64, description: "a job's id or a unique prefix of it" }) };
export const TaskParam = { ...JobParam, n: Type.Integer({ minimum: 1, description: 'the number of a task, from 1' }) };
export const HashParam = { sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }) };
export const Bytes = (description: string) => Type.String({ pattern: '^\\d{1,15}$', description });

const problem = (description: string) => ({
  description,
  content: { 'application/problem+json': { schema: { $ref: 'Problem#' } } },
});

/** Every path that needs a key may give these. */
export const refusals = {
  '4xx': problem('A problem of the request (RFC 9457): /problems lists the kinds'),
  '5xx': problem('A problem of the mesh or this gateway (RFC 9457)'),
};

interface About {
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  readonly scope: Scope | null;
}

/** The words of a route's entry in the API description. */
export function about({ tag, summary, description, scope }: About) {
  const needs = scope === null ? 'Needs no key.' : `Needs a key of scope ${scope}.`;
  return {
    tags: [tag],
    summary,
    description: description === undefined ? needs : `${description}\n\n${needs}`,
    security: scope === null ? [] : [{ key: [scope] }],
  };
}

export const query = <P extends TProperties>(properties: P): TObject<P> =>
  Type.Object(properties, { additionalProperties: false });

/** An answer that is not JSON. */
export const raw = (description: string, type = 'application/octet-stream') => ({
  description,
  content: { [type]: { schema: { type: 'string', format: 'binary' } } },
});

/** To If-None-Match. */
export const unchanged = Type.Null({ description: 'It is what the client has' });

export const stream = (description: string) => ({
  description,
  content: { 'text/event-stream': { schema: { type: 'string' } } },
});

export const IdempotencyHeader = {
  type: 'object',
  properties: {
    'idempotency-key': {
      type: 'string',
      pattern: '^[\\x21-\\x7e]{1,128}$',
      description: 'The same key with the same body acts once',
    },
  },
};

export const ResumeHeader = {
  type: 'object',
  properties: { 'last-event-id': { type: 'string', description: 'the id of the last event seen: the stream goes on' } },
};
