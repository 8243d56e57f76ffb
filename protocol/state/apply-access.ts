// Tickets and keys. Only hashes are in the log; the secrets stay with those who made them.
import type { Command, Outcome } from './command.ts';
import type { Draft } from './draft.ts';
import { done, once, type Refusal, refused } from './outcome.ts';
import { type KeyRow, keys, type Scope } from './rows.ts';

type Of<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>;

/** A second creation under the same hash is the same request again: it changes nothing. */
export function createTicket(draft: Draft, command: Of<'ticket.created'>): Outcome {
  return once(draft, command, () => {
    const rowKey = keys.ticket(command.secretHash);
    const kept = draft.get(rowKey);
    const { roles, usesLeft, expiresAt, redeemedBy } = kept ?? {
      roles: command.roles,
      usesLeft: command.uses,
      expiresAt: command.expiresAt,
      redeemedBy: [],
    };
    if (kept === undefined) draft.put(rowKey, { roles, usesLeft, expiresAt, createdBy: command.by, redeemedBy });
    // As it was made: a repetition must promise neither more nor less than the first one got.
    return done({ roles, uses: usesLeft + redeemedBy.length, expiresAt });
  });
}

export function dropTickets(draft: Draft, command: Of<'tickets.dropped'>): Outcome {
  for (const rowKey of command.secretHashes.map(keys.ticket)) {
    const ticket = draft.get(rowKey);
    if (ticket !== undefined && command.at >= ticket.expiresAt) draft.delete(rowKey);
  }
  return done();
}

/** A key that is there already, as it was asked for, is the same request again: it changes nothing. */
export function createKey(draft: Draft, command: Of<'key.created'>): Outcome {
  return once(draft, command, () => {
    const { keyHash, name, scope, project, replaces, at } = command;
    const kept = draft.get(keys.key(keyHash));
    if (kept !== undefined) {
      const same = kept.name === name && kept.scope === scope && kept.project === project;
      return same ? done({ keyHash }) : refused('state-conflict', `that key is there already, as ${kept.name}`);
    }
    const old = replaces === null ? undefined : draft.get(keys.key(replaces));
    if (replaces !== null) {
      if (old === undefined || old.revokedAt !== null)
        return refused('not-found', 'the key to replace is not in force');
      draft.put(keys.key(replaces), { ...old, revokedAt: at });
    }
    draft.put(keys.key(keyHash), { name, scope, project, createdAt: at, revokedAt: null });
    return countAdmins(draft, old, scope) ?? done({ keyHash });
  });
}

export function revokeKey(draft: Draft, command: Of<'key.revoked'>): Outcome {
  const row = draft.get(keys.key(command.keyHash));
  if (row === undefined) return refused('not-found', 'there is no such key');
  // The first time counts.
  if (row.revokedAt !== null) return done();
  draft.put(keys.key(command.keyHash), { ...row, revokedAt: command.at });
  return countAdmins(draft, row, null) ?? done();
}

/** Refuses what would leave none: a mesh whose last admin key is gone would take no orders any more. */
function countAdmins(draft: Draft, old: KeyRow | undefined, scope: Scope | null): Refusal | undefined {
  const change = Number(scope === 'admin') - Number(old?.scope === 'admin');
  if (change === 0) return undefined;
  const count = (draft.get(keys.admins)?.count ?? 0) + change;
  if (count < 1) {
    const fix = 'make another one first: skein key create NAME --scope admin';
    return refused('state-conflict', `${old?.name} is the last admin key of this mesh`, fix);
  }
  draft.put(keys.admins, { count });
  return undefined;
}
