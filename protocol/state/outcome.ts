// The two outcomes of a command, and the memory that gives a repeated request its first answer again.
import type { Idempotency, Outcome } from './command.ts';
import type { Draft } from './draft.ts';
import { keys } from './rows.ts';

export type Refusal = Extract<Outcome, { kind: 'refused' }>;

export function done(answer: Readonly<Record<string, unknown>> = {}): Outcome {
  return { kind: 'done', answer };
}

export function refused(code: Refusal['code'], sentence: string, fix?: string): Refusal {
  return { kind: 'refused', code, sentence, ...(fix !== undefined && { fix }) };
}

interface Request {
  readonly project: string;
  readonly idempotency: Idempotency | null;
  readonly at: number;
}

/** Runs `act` once per idempotency key: a repetition gets the kept answer, another body under the same key is refused. */
export function once(draft: Draft, request: Request, act: () => Outcome): Outcome {
  if (!request.idempotency) return act();
  const { key, bodyHash } = request.idempotency;
  const rowKey = keys.idempotency(request.project, key);
  const kept = draft.get(rowKey);
  if (kept !== undefined) {
    if (kept.bodyHash === bodyHash) return { kind: 'done', answer: kept.answer, replayed: true };
    return refused('idempotency-mismatch', `the idempotency key ${key} was used before, for another request`);
  }
  const outcome = act();
  if (outcome.kind === 'done') draft.put(rowKey, { bodyHash, at: request.at, answer: outcome.answer });
  return outcome;
}
