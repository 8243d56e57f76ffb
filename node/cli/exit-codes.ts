// What a failure exits with (UX.md section 3): 125 and its kin in the verbs that pass a script's exit code on,
// small numbers everywhere else.
import { type ErrorCode, SkeinError, type SkeinErrorOptions } from '../../protocol/errors.ts';

/** A script that cannot be run: 126 where it may not be, 127 where it is not there. */
export class ScriptError extends SkeinError {
  readonly exitCode: 126 | 127;

  constructor(code: ErrorCode, message: string, exitCode: 126 | 127, options: SkeinErrorOptions = {}) {
    super(code, message, options);
    this.exitCode = exitCode;
  }
}

export const EXIT = {
  cancelled: 121,
  stillGoing: 122,
  failed: 125,
  detached: 130,
  stdoutClosed: 141,
} as const;

/** Verbs whose exit code is the script's own. */
const PASSING_ON = new Set(['run', 'attach', 'wait', 'retry']);
export const passesOn = (verb: string | undefined): boolean => verb !== undefined && PASSING_ON.has(verb);

const OTHER: Readonly<Partial<Record<ErrorCode, number>>> = {
  usage: 2,
  'not-in-this-version': 2,
  'config-invalid': 2,
  'invalid-request': 2,
  'bad-cursor': 2,
  'ticket-malformed': 2,
  'not-found': 3,
  'file-missing': 3,
  'no-match': 3,
  gone: 3,
  'method-not-allowed': 3,
  'runtime-unknown': 3,
  unauthenticated: 4,
  forbidden: 4,
  'file-unreadable': 4,
  'folder-unusable': 4,
  'ticket-refused': 4,
  'certificate-changed': 4,
  'too-large': 7,
  'too-many-requests': 7,
  'disk-full': 7,
  'state-conflict': 5,
  'idempotency-mismatch': 5,
  'precondition-failed': 5,
  'port-in-use': 5,
  'folder-locked': 5,
  'folder-newer': 5,
  'folder-damaged': 5,
  'version-refused': 5,
  'runtime-failed': 5,
  unreachable: 6,
  'no-leader': 6,
  'no-quorum': 6,
  'join-failed': 6,
  'transfer-failed': 6,
  'not-durable': 6,
  'too-busy': 6,
  'no-answer': 8,
  'request-timeout': 8,
  'outcome-unknown': 8,
};

/** The exit code of a failed verb. What is no SkeinError is a bug of skein. */
export function exitCodeOf(error: unknown, verb: string | undefined): number {
  if (passesOn(verb)) return error instanceof ScriptError ? error.exitCode : EXIT.failed;
  return error instanceof SkeinError ? (OTHER[error.code] ?? 6) : 6;
}
