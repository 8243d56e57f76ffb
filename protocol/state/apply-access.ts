// Tickets and keys. Only hashes are in the log; the secrets stay with those who made them.
import type { Command, Outcome } from './command.ts';
import type { Draft } from './draft.ts';
import { done, refused } from './outcome.ts';
import { keys } from './rows.ts';

type Of<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>;

/** A second creation under the same hash is the same request again: it changes nothing. */
export function createTicket(draft: Draft, command: Of<'ticket.created'>): Outcome {
  const rowKey = keys.ticket(command.secretHash);
  if (draft.get(rowKey) === undefined) {
    draft.put(rowKey, {
      roles: command.roles,
      usesLeft: command.uses,
      expiresAt: command.expiresAt,
      createdBy: command.by,
      redeemedBy: [],
    });
  }
  return done({ ticketId: command.secretHash.slice(0, 16), expiresAt: command.expiresAt });
}

export function createKey(draft: Draft, command: Of<'key.created'>): Outcome {
  const rowKey = keys.key(command.keyHash);
  if (draft.get(rowKey) !== undefined) return done({ keyHash: command.keyHash });
  if (command.replaces !== null) {
    const old = draft.get(keys.key(command.replaces));
    if (old === undefined || old.revokedAt !== null) return refused('not-found', 'the key to replace is not in force');
    draft.put(keys.key(command.replaces), { ...old, revokedAt: command.at });
  }
  draft.put(rowKey, {
    name: command.name,
    scope: command.scope,
    project: command.project,
    createdAt: command.at,
    revokedAt: null,
  });
  return done({ keyHash: command.keyHash });
}

export function revokeKey(draft: Draft, command: Of<'key.revoked'>): Outcome {
  const row = draft.get(keys.key(command.keyHash));
  if (row === undefined) return refused('not-found', 'there is no such key');
  draft.put(keys.key(command.keyHash), { ...row, revokedAt: row.revokedAt ?? command.at });
  return done();
}
