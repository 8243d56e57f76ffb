// Turns whatever a request failed with into an RFC 9457 answer. Nothing of the inside leaks: a bug is logged, not sent.
import type { FastifyError } from 'fastify';
import { problemOf } from '../protocol/api/problem.ts';
import { type ErrorCode, failures, SkeinError } from '../protocol/errors.ts';
import type { Log, Reply, Request } from './context.ts';
import { ClientGone } from './gone.ts';

const ofContent = ['etag', 'content-length', 'content-range', 'content-disposition', 'skein-attempt'];

/** Where the failure names no wait of its own. */
const RETRY_AFTER_MS = 1000;
const PROBLEM_TYPE = 'application/problem+json';

/** What Fastify itself refuses, in skein's words. */
const ofFastify: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ['unsupported-media-type', 'the body must be sent as application/json'],
  FST_ERR_CTP_BODY_TOO_LARGE: ['too-large', 'the body is larger than this path takes'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ['invalid-request', 'the body is not as long as Content-Length says'],
  FST_ERR_BAD_URL: ['invalid-request', 'the path is not well-formed'],
  FST_ERR_MAX_PARAM_LENGTH: ['invalid-request', 'a part of the path is too long'],
};

export function problemHandler(log: Log): (error: unknown, request: Request, reply: Reply) => void {
  return (error, request, reply) => {
    const failure = toSkeinError(error);
    if (failure.code === 'internal-error' && !(error instanceof ClientGone)) {
      log.error({ err: error, requestId: request.id, method: request.method, url: request.url }, 'a request failed');
    }
    sendProblem(reply, failure, request.id);
  };
}

/** Sends the problem of an error, with what its status asks for in headers. */
export function sendProblem(reply: Reply, error: SkeinError, requestId: string): void {
  const { status, retriable } = failures[error.code];
  // What was said of the content that did not come is not true of this one, least of all that it never changes.
  for (const name of ofContent) reply.removeHeader(name);
  reply.header('cache-control', 'no-store');
  const wait = error.retryAfterMs ?? (status === 503 && retriable ? RETRY_AFTER_MS : undefined);
  if (wait !== undefined) reply.header('retry-after', Math.max(1, Math.ceil(wait / 1000)));
  // Fastify would close at once, before the client has sent the rest and looks for an answer.
  if (error.code === 'too-large') reply.removeHeader('connection');
  if (status === 401) reply.header('www-authenticate', 'Bearer realm="skein"');
  // RFC 9110 wants the length that there is, so that the client can ask for another part.
  if (status === 416) reply.header('content-range', `bytes */${String(error.extra.totalBytes ?? '*')}`);
  const problem = { ...problemOf(error, requestId), retryAfterMs: wait ?? null };
  reply.status(status).header('content-type', PROBLEM_TYPE).send(JSON.stringify(problem));
}

export function toSkeinError(error: unknown): SkeinError {
  if (error instanceof SkeinError) return error;
  const known = ofFastify[(error as Partial<FastifyError> | null)?.code ?? ''];
  if (known !== undefined) return new SkeinError(known[0], known[1], { cause: error });
  return new SkeinError(
    'internal-error',
    'the gateway met a bug while it answered; the request is in its log by this id',
    {
      cause: error,
    },
  );
}

/** A whole answer as bytes, for a socket that never came as far as a request. */
export function rawProblem(error: SkeinError, version: string): string {
  const body = JSON.stringify(problemOf(error, null));
  const { status } = failures[error.code];
  return [
    `HTTP/1.1 ${status} ${status === 408 ? 'Request Timeout' : 'Bad Request'}`,
    `content-type: ${PROBLEM_TYPE}`,
    `content-length: ${Buffer.byteLength(body)}`,
    `skein-version: ${version}`,
    'connection: close',
    '',
    body,
  ].join('\r\n');
}
