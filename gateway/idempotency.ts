// The Idempotency-Key of a request with the hash of what it asked: judged in `apply`, so every gateway agrees.
import { hash } from 'node:crypto';
import { type ErrorCode, failures, SkeinError } from '../protocol/errors.ts';
import type { Idempotency, Outcome } from '../protocol/state/command.ts';
import type { Reply, Request } from './context.ts';

/** @param operation what is asked and of what, so that one key cannot mean two things. */
export function idempotencyOf(request: Request, operation: string, body: unknown): Idempotency | null {
  const key = request.headers['idempotency-key'];
  // Its form is the schema's to judge: every route that reads it describes it.
  if (typeof key !== 'string') return null;
  return { key, bodyHash: hash('sha256', `${operation} ${canonical(body)}`, 'hex') };
}

/** JSON with the names of every object in order: two bodies that mean the same have the same text. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const fields = value as Readonly<Record<string, unknown>>;
  const parts = Object.keys(fields)
    .sort()
    .map((name) => `${JSON.stringify(name)}:${canonical(fields[name])}`);
  return `{${parts.join(',')}}`;
}

/** The answer of a command that was done; a refusal becomes the error that the client gets. */
export function answerOf(outcome: Outcome, reply: Reply): Readonly<Record<string, unknown>> {
  if (outcome.kind === 'done') {
    if (outcome.replayed === true) reply.header('idempotency-replayed', 'true');
    return outcome.answer;
  }
  throw refusal(outcome);
}

function refusal({ code, sentence, fix }: Extract<Outcome, { kind: 'refused' }>): SkeinError {
  return new SkeinError(
    code in failures ? (code as ErrorCode) : 'state-conflict',
    sentence,
    fix === undefined ? {} : { fix },
  );
}
