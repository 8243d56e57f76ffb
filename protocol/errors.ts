// One table of every failure that a user or a program can meet, and the error that carries one.
// A code is for ever: tests, clients and people match codes, never prose.

/** Whether trying the same thing again, unchanged, may succeed. */
interface Failure {
  readonly status: number;
  readonly retriable: boolean;
  readonly title: string;
  /** What to do next, where the error itself does not know better. */
  readonly fix: string;
}

export const failures = {
  'invalid-request': {
    status: 400,
    retriable: false,
    title: 'The request is not of the documented form',
    fix: 'the form of every request is in /openapi.json and at /docs',
  },
  'bad-cursor': {
    status: 400,
    retriable: false,
    title: 'The cursor is not one of this mesh',
    fix: 'ask for the list again without a cursor',
  },
  unauthenticated: {
    status: 401,
    retriable: false,
    title: 'No valid key was sent',
    fix: 'send a key of this mesh as "Authorization: Bearer KEY"',
  },
  forbidden: {
    status: 403,
    retriable: false,
    title: 'The key does not allow this',
    fix: 'ask an admin of the mesh for a key that allows it',
  },
  'not-found': {
    status: 404,
    retriable: false,
    title: 'There is no such thing',
    fix: 'check the name; lists show what there is (/docs)',
  },
  'method-not-allowed': {
    status: 405,
    retriable: false,
    title: 'That path does not take this method',
    fix: 'use a method that the header Allow names',
  },
  'state-conflict': {
    status: 409,
    retriable: false,
    title: 'The state forbids it',
    fix: 'look at what it is now, and decide anew',
  },
  'blobs-missing': {
    status: 409,
    retriable: true,
    title: 'The job names blobs that are not here',
    fix: 'upload what is missing and submit again',
  },
  'bad-offset': {
    status: 409,
    retriable: true,
    title: 'The upload continues at another offset',
    fix: 'go on at the offset that is named',
  },
  gone: {
    status: 410,
    retriable: false,
    title: 'It was kept no longer',
    fix: 'run it again where it is still needed; --keep keeps a job longer',
  },
  'precondition-failed': {
    status: 412,
    retriable: false,
    title: 'It changed since it was read',
    fix: 'read it again and decide anew',
  },
  'too-large': {
    status: 413,
    retriable: false,
    title: 'It is larger than the limit',
    fix: 'send less at once',
  },
  'unsupported-media-type': {
    status: 415,
    retriable: false,
    title: 'The content type is not taken here',
    fix: 'send JSON as application/json',
  },
  'range-not-satisfiable': {
    status: 416,
    retriable: false,
    title: 'The range lies outside',
    fix: 'ask for a range inside, or for the whole',
  },
  'digest-mismatch': {
    status: 422,
    retriable: true,
    title: 'The bytes do not have the hash they are named by',
    fix: 'send the bytes again from their start',
  },
  'idempotency-mismatch': {
    status: 422,
    retriable: false,
    title: 'The idempotency key was used for another body',
    fix: 'use a new idempotency key for a new request',
  },
  'runtime-unknown': {
    status: 422,
    retriable: false,
    title: 'No such runtime',
    fix: 'use one that GET /v1/runtimes lists',
  },
  'too-many-requests': {
    status: 429,
    retriable: true,
    title: 'Too many requests',
    fix: 'wait a little and send it again',
  },
  'internal-error': {
    status: 500,
    retriable: false,
    title: 'skein met a bug',
    fix: 'report it, with what the log says at that time',
  },
  'request-timeout': {
    status: 408,
    retriable: true,
    title: 'The request did not arrive in time',
    fix: 'send it again, faster or in parts',
  },
  'no-leader': {
    status: 503,
    retriable: true,
    title: 'No leader is known',
    fix: 'try again in a moment',
  },
  'no-quorum': {
    status: 503,
    retriable: true,
    title: 'Too few voters answer',
    fix: 'start more of the voters; ?consistency=stale reads without them',
  },
  'outcome-unknown': {
    status: 503,
    retriable: true,
    title: 'It was proposed; whether it committed is not known',
    fix: 'send it again under the same Idempotency-Key: that settles it',
  },
  'not-durable': {
    status: 503,
    retriable: true,
    title: 'The bytes could not be kept on enough gateways',
    fix: 'send the bytes again in a moment',
  },
  'disk-full': {
    status: 507,
    retriable: true,
    title: 'The disk is full',
    fix: 'make room on the disk of the gateway; it goes on by itself',
  },
  'version-refused': {
    status: 400,
    retriable: false,
    title: 'The other side is of a version that this one does not know',
    fix: 'bring both sides to one version of skein',
  },
  'too-busy': {
    status: 503,
    retriable: true,
    title: 'The gateway has too much to do',
    fix: 'try again in a moment',
  },

  // What only the CLI and a starting node meet. `status` is what the HTTP door would say.
  usage: {
    status: 400,
    retriable: false,
    title: 'The command line is not of the documented form',
    fix: 'skein VERB --help shows the form',
  },
  'not-in-this-version': {
    status: 400,
    retriable: false,
    title: 'Not in this version',
    fix: 'skein --help lists what there is',
  },
  'config-invalid': {
    status: 400,
    retriable: false,
    title: 'The configuration is not of the documented form',
    fix: 'correct the file',
  },
  'file-missing': {
    status: 404,
    retriable: false,
    title: 'There is no such file',
    fix: 'check the path',
  },
  'file-unreadable': {
    status: 403,
    retriable: false,
    title: 'The file cannot be read',
    fix: 'make it readable for this user',
  },
  'no-match': {
    status: 404,
    retriable: false,
    title: 'The pattern matches nothing',
    fix: 'check the pattern',
  },
  'port-in-use': {
    status: 409,
    retriable: true,
    title: 'The port is taken',
    fix: 'give another port',
  },
  'folder-locked': {
    status: 409,
    retriable: true,
    title: 'Another node uses the data folder',
    fix: 'stop the node that uses it, or give another folder with --data',
  },
  'folder-newer': {
    status: 409,
    retriable: false,
    title: 'The data folder is of a newer version',
    fix: 'start it with the newer skein',
  },
  'folder-damaged': {
    status: 500,
    retriable: false,
    title: 'The data folder is damaged',
    fix: 'restore it from a backup',
  },
  'folder-unusable': {
    status: 403,
    retriable: false,
    title: 'The data folder cannot be used',
    fix: 'use a folder of this user',
  },
  'ticket-malformed': {
    status: 400,
    retriable: false,
    title: 'That is not a whole ticket',
    fix: 'copy the whole ticket',
  },
  'ticket-refused': {
    status: 403,
    retriable: false,
    title: 'The ticket is not valid any more',
    fix: 'make another one: skein ticket',
  },
  'join-failed': {
    status: 503,
    retriable: true,
    title: 'No member could be reached',
    fix: 'check that the addresses of the ticket can be reached from here',
  },
  unreachable: {
    status: 503,
    retriable: true,
    title: 'No gateway answers',
    fix: 'check that the gateway runs, and the address',
  },
  'certificate-changed': {
    status: 403,
    retriable: false,
    title: 'The gateway shows another certificate',
    fix: 'ask who runs the gateway, then log in anew',
  },
  'transfer-failed': {
    status: 503,
    retriable: true,
    title: 'A file could not be transferred',
    fix: 'try again',
  },
  'runtime-failed': {
    status: 500,
    retriable: true,
    title: 'The attempt could not be started',
    fix: 'see the log of the worker',
  },
  'no-answer': {
    status: 504,
    retriable: true,
    title: 'No answer in time',
    fix: 'try again',
  },
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
