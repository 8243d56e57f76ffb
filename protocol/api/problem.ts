// The one form of an error outside a process: RFC 9457, in HTTP answers and on the command line's stderr alike.
import { type ErrorCode, failures, SkeinError } from '../errors.ts';

/** `type` is `/problems/NAME`; `detail` is the sentence again, for clients that know RFC 9457 alone. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly sentence: string;
  readonly fix: string;
  readonly retryAfterMs: number | null;
  readonly requestId: string | null;
  readonly [extra: string]: unknown;
}

const PREFIX = '/problems/';
const own = new Set(['type', 'title', 'status', 'detail', 'sentence', 'fix', 'retryAfterMs', 'requestId']);

/** The document of an error. `extra` of the error rides along as fields of its own. */
export function problemOf(error: SkeinError, requestId: string | null): Problem {
  const failure = failures[error.code];
  return {
    ...error.extra,
    type: PREFIX + error.code,
    title: failure.title,
    status: failure.status,
    detail: error.message,
    sentence: error.message,
    fix: error.fix ?? failure.fix,
    retryAfterMs: error.retryAfterMs ?? null,
    requestId,
  };
}

/** The error of a document, or undefined where it is none that this version knows. */
export function errorOf(document: unknown): SkeinError | undefined {
  if (typeof document !== 'object' || document === null) return undefined;
  const fields = document as Readonly<Record<string, unknown>>;
  const code = typeof fields.type === 'string' ? codeOf(fields.type) : undefined;
  if (code === undefined || typeof fields.sentence !== 'string') return undefined;
  return new SkeinError(code, fields.sentence, {
    ...(typeof fields.fix === 'string' ? { fix: fields.fix } : {}),
    ...(typeof fields.retryAfterMs === 'number' ? { retryAfterMs: fields.retryAfterMs } : {}),
    extra: Object.fromEntries(Object.entries(fields).filter(([name]) => !own.has(name))),
  });
}

/** The code at the end of a problem's type, or undefined. */
export function codeOf(type: string): ErrorCode | undefined {
  const name = type.slice(type.lastIndexOf('/') + 1);
  return Object.hasOwn(failures, name) ? (name as ErrorCode) : undefined;
}
