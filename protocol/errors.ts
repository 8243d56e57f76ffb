// One table of every failure that a user or a program can meet, and the error that carries one.
// A code is for ever: tests, clients and people match codes, never prose.

/** Whether trying the same thing again, unchanged, may succeed. */
interface Failure {
  readonly status: number;
  readonly retriable: boolean;
  readonly title: string;
}

export const failures = {
  'invalid-request': { status: 400, retriable: false, title: 'The request is not of the documented form' },
  'bad-cursor': { status: 400, retriable: false, title: 'The cursor is not one of this mesh' },
  unauthenticated: { status: 401, retriable: false, title: 'No valid key was sent' },
  forbidden: { status: 403, retriable: false, title: 'The key does not allow this' },
  'not-found': { status: 404, retriable: false, title: 'There is no such thing' },
  'method-not-allowed': { status: 405, retriable: false, title: 'That path does not take this method' },
  'state-conflict': { status: 409, retriable: false, title: 'The state forbids it' },
  'blobs-missing': { status: 409, retriable: true, title: 'The job names blobs that are not here' },
  'bad-offset': { status: 409, retriable: true, title: 'The upload continues at another offset' },
  gone: { status: 410, retriable: false, title: 'It was kept no longer' },
  'precondition-failed': { status: 412, retriable: false, title: 'It changed since it was read' },
  'too-large': { status: 413, retriable: false, title: 'It is larger than the limit' },
  'unsupported-media-type': { status: 415, retriable: false, title: 'The content type is not taken here' },
  'range-not-satisfiable': { status: 416, retriable: false, title: 'The range lies outside' },
  'digest-mismatch': { status: 422, retriable: true, title: 'The bytes do not have the hash they are named by' },
  'idempotency-mismatch': { status: 422, retriable: false, title: 'The idempotency key was used for another body' },
  'runtime-unknown': { status: 422, retriable: false, title: 'No such runtime' },
  'too-many-requests': { status: 429, retriable: true, title: 'Too many requests' },
  'internal-error': { status: 500, retriable: false, title: 'skein met a bug' },
  'request-timeout': { status: 408, retriable: true, title: 'The request did not arrive in time' },
  'no-leader': { status: 503, retriable: true, title: 'No leader is known' },
  'no-quorum': { status: 503, retriable: true, title: 'Too few voters answer' },
  'outcome-unknown': { status: 503, retriable: true, title: 'It was proposed; whether it committed is not known' },
  'not-durable': { status: 503, retriable: true, title: 'The bytes could not be kept on enough gateways' },
  'disk-full': { status: 507, retriable: true, title: 'The disk is full' },
  'version-refused': {
    status: 400,
    retriable: false,
    title: 'The other side is of a version that this one does not know',
  },
  'too-busy': { status: 503, retriable: true, title: 'The gateway has too much to do' },

  // What only the CLI and a starting node meet. `status` is what the HTTP door would say.
  usage: { status: 400, retriable: false, title: 'The command line is not of the documented form' },
  'not-in-this-version': { status: 400, retriable: false, title: 'Not in this version' },
  'config-invalid': { status: 400, retriable: false, title: 'The configuration is not of the documented form' },
  'file-missing': { status: 404, retriable: false, title: 'There is no such file' },
  'file-unreadable': { status: 403, retriable: false, title: 'The file cannot be read' },
  'no-match': { status: 404, retriable: false, title: 'The pattern matches nothing' },
  'port-in-use': { status: 409, retriable: true, title: 'The port is taken' },
  'folder-locked': { status: 409, retriable: true, title: 'Another node uses the data folder' },
  'folder-newer': { status: 409, retriable: false, title: 'The data folder is of a newer version' },
  'folder-damaged': { status: 500, retriable: false, title: 'The data folder is damaged' },
  'folder-unusable': { status: 403, retriable: false, title: 'The data folder cannot be used' },
  'ticket-malformed': { status: 400, retriable: false, title: 'That is not a whole ticket' },
  'ticket-refused': { status: 403, retriable: false, title: 'The ticket is not valid any more' },
  'join-failed': { status: 503, retriable: true, title: 'No member could be reached' },
  unreachable: { status: 503, retriable: true, title: 'No gateway answers' },
  'certificate-changed': { status: 403, retriable: false, title: 'The gateway shows another certificate' },
  'transfer-failed': { status: 503, retriable: true, title: 'A file could not be transferred' },
  'runtime-failed': { status: 500, retriable: true, title: 'The attempt could not be started' },
  'no-answer': { status: 504, retriable: true, title: 'No answer in time' },
} as const satisfies Record<string, Failure>;

export type ErrorCode = keyof typeof failures;

export interface SkeinErrorOptions {
  /** What the user can do next, as one sentence or command. */
  readonly fix?: string;
  readonly cause?: unknown;
  readonly retryAfterMs?: number;
  /** Machine-readable additions to the problem document, for instance the missing blobs. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

/** An operating failure with a stable code. The message says what happened, to what, and why. */
export class SkeinError extends Error {
  override readonly name = 'SkeinError';
  readonly code: ErrorCode;
  readonly fix: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly extra: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: SkeinErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.fix = options.fix;
    this.retryAfterMs = options.retryAfterMs;
    this.extra = options.extra ?? {};
  }

  get retriable(): boolean {
    return failures[this.code].retriable;
  }
}

/** Marks a `switch` as complete: the compiler refuses it while a case is missing. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`);
}

/** A bug, not a failure: a node that cannot trust its own state must stop. */
export function assert(condition: boolean, reason: string): asserts condition {
  if (!condition) throw new Error(`bug: ${reason}`);
}
