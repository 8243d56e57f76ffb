// Members: how they come, change incarnation, die and leave, and what that does to the grants they hold.
import type { Fence, PeerId } from '../ids.ts';
import { makeFence } from '../ids.ts';
import { close, dropHold } from './close.ts';
import type { Command, Outcome } from './command.ts';
import type { Draft } from './draft.ts';
import { done, once, refused } from './outcome.ts';
import type { Place } from './place.ts';
import { type AttemptEnd, type Begun, type Hold, keys, type MemberRow, type Role } from './rows.ts';

type Of<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>;

export const DEFAULT_SETTINGS = { leaseMs: 15_000, heartbeatMs: 1_000, keepMs: 30 * 24 * 3_600_000 } as const;
const MESH_VERSION = 1;

export function createMesh(draft: Draft, command: Of<'mesh.created'>): Outcome {
  if (draft.get(keys.mesh) !== undefined) return refused('state-conflict', 'this log holds a mesh already');
  draft.put(keys.mesh, {
    meshId: command.meshId,
    name: command.name,
    createdAt: command.at,
    meshVersion: MESH_VERSION,
    founder: command.founder,
    epoch: { number: 1, id: command.epochId },
  });
  draft.put(keys.settings, DEFAULT_SETTINGS);
  return done();
}

export function setSettings(draft: Draft, command: Of<'settings.set'>): Outcome {
  draft.put(keys.settings, { ...(draft.get(keys.settings) ?? DEFAULT_SETTINGS), ...command.settings });
  return done();
}

export function join(draft: Draft, command: Of<'member.joined'>): Outcome {
  const before = draft.get(keys.member(command.peerId));
  if (before !== undefined && redeemed(draft, command, before)) return welcome(before);
  const roles = admit(draft, command);
  if ('kind' in roles) return roles;
  const name = freeName(draft, command.name, command.peerId);
  if (before !== undefined && before.name !== name) draft.delete(keys.name(before.name));
  draft.put(keys.name(name), { peerId: command.peerId });
  const member: MemberRow = {
    peerId: command.peerId,
    name,
    roles: roles.roles,
    boxKey: command.boxKey,
    observer: command.observer,
    incarnation: before?.incarnation ?? 0,
    // Only `adopted` brings a dead incarnation's node back, and only `undrain` ends a drain.
    state: before === undefined || before.state === 'left' ? 'alive' : before.state,
    joinedAt: before?.joinedAt ?? command.at,
    ticket: command.ticket,
  };
  draft.put(keys.member(command.peerId), member);
  draft.emit('peer.state', `${name} joined as ${member.roles.join(', ')}`, {
    peerId: command.peerId,
    fields: { state: member.state, name },
  });
  return welcome(member);
}

const welcome = ({ name, roles, incarnation }: MemberRow): Outcome => done({ name, roles, incarnation });

/** Redeeming again by the same peer gives the same answer and changes nothing. */
function redeemed(draft: Draft, { peerId, ticket }: Of<'member.joined'>, before: MemberRow): boolean {
  if (ticket === null || before.state === 'left') return false;
  // An expired ticket's row goes in time; who came by it stays.
  if (before.ticket === ticket) return true;
  return draft.get(keys.ticket(ticket))?.redeemedBy.includes(peerId) ?? false;
}

/** Judges the ticket: single-use unless made for more. */
function admit(draft: Draft, command: Of<'member.joined'>): { readonly roles: readonly Role[] } | Outcome {
  if (command.ticket === null) {
    if (draft.get(keys.mesh)?.founder === command.peerId) return { roles: command.roles };
    return refused('ticket-refused', 'only the founder of a mesh joins it without a ticket');
  }
  const ticket = draft.get(keys.ticket(command.ticket));
  if (ticket === undefined) return refused('ticket-refused', 'this mesh has made no such ticket');
  const roles = command.roles.length === 0 ? ticket.roles : command.roles;
  const excess = roles.find((role) => !ticket.roles.includes(role));
  if (excess !== undefined) return refused('ticket-refused', `the ticket does not allow the role ${excess}`);
  if (command.at >= ticket.expiresAt) return refused('ticket-refused', 'the ticket has expired');
  if (ticket.usesLeft < 1) return refused('ticket-refused', 'the ticket has been used');
  draft.put(keys.ticket(command.ticket), {
    ...ticket,
    usesLeft: ticket.usesLeft - 1,
    redeemedBy: [...ticket.redeemedBy, command.peerId],
  });
  return { roles };
}

function freeName(draft: Draft, wanted: string, peerId: PeerId): string {
  const isFree = (name: string): boolean => (draft.get(keys.name(name))?.peerId ?? peerId) === peerId;
  let name = wanted;
  for (let n = 1; !isFree(name); n++) {
    const suffix = peerId.slice(-6).toLowerCase();
    name = n === 1 ? `${wanted}-${suffix}` : `${wanted}-${suffix}-${n}`;
  }
  return name;
}

/** A starting node's new incarnation takes the grants it still holds along; the others go back. */
export function adopt(draft: Draft, command: Of<'member.adopted'>, place: Place): Outcome {
  const member = draft.get(keys.member(command.peerId));
  if (member === undefined || member.state === 'left') return refused('not-member', 'the sender is no member');
  if (command.incarnation <= member.incarnation) {
    return refused('stale-incarnation', `incarnation ${member.incarnation} of ${member.name} is in force`);
  }
  const state = draft.get(keys.drain(command.peerId)) === undefined ? 'alive' : 'draining';
  draft.put(keys.member(command.peerId), { ...member, incarnation: command.incarnation, state });
  const kept = new Set<Fence>(command.fences);
  const isKept = (hold: Hold): boolean => kept.has(makeFence(place.epochId, hold.index));
  const held = draft.get(keys.holds(command.peerId))?.grants ?? [];
  for (const hold of held.filter(isKept)) move(draft, hold, command.incarnation);
  const rest = held.filter((hold) => !isKept(hold));
  release(draft, rest, command, place, 'worker-restarted');
  draft.emit('peer.state', `${member.name} is alive (incarnation ${command.incarnation})`, {
    peerId: command.peerId,
    fields: { state, name: member.name, incarnation: command.incarnation },
  });
  return done({ incarnation: command.incarnation });
}

function move(draft: Draft, hold: Hold, incarnation: number): void {
  const task = draft.get(keys.task(hold.jobId, hold.task));
  if (task?.open?.index !== hold.index) return;
  draft.put(keys.task(hold.jobId, hold.task), { ...task, open: { ...task.open, incarnation } });
}

/** Does nothing unless the incarnation named is the one in force: a late verdict must not kill the node that came back. */
export function bury(draft: Draft, command: Of<'member.dead'>, place: Place): Outcome {
  const member = draft.get(keys.member(command.peerId));
  if (member === undefined) return refused('not-member', 'there is no such member');
  if (member.incarnation !== command.incarnation || member.state === 'dead' || member.state === 'left') {
    return refused('stale-incarnation', `incarnation ${command.incarnation} of ${member.name} has ended already`);
  }
  draft.put(keys.member(command.peerId), { ...member, state: 'dead' });
  release(draft, draft.get(keys.holds(command.peerId))?.grants ?? [], command, place, 'worker-dead');
  draft.emit('peer.state', `${member.name} is dead: ${command.reason}`, {
    peerId: command.peerId,
    fields: { state: 'dead', name: member.name, reason: command.reason },
  });
  return done();
}

export function drain(draft: Draft, command: Of<'member.draining'>): Outcome {
  return once(draft, command, () => {
    const member = draft.get(keys.member(command.peerId));
    if (member === undefined || member.state === 'left') return refused('not-found', 'there is no such member');
    if (member.state === 'dead') return refused('state-conflict', `${member.name} is dead`);
    const state = command.draining ? 'draining' : 'alive';
    if (command.draining) draft.put(keys.drain(command.peerId), { at: command.at });
    else draft.delete(keys.drain(command.peerId));
    draft.put(keys.member(command.peerId), { ...member, state });
    draft.emit('peer.state', `${member.name} is ${state}`, {
      peerId: command.peerId,
      fields: { state, name: member.name },
    });
    return done({ state });
  });
}

/** A grant closes by its holder's word, its death or an adoption alone: who still holds some drains first. */
export function leave(draft: Draft, command: Of<'member.left'>): Outcome {
  const member = draft.get(keys.member(command.peerId));
  if (member === undefined) return refused('not-found', 'there is no such member');
  const held = draft.get(keys.holds(command.peerId))?.grants.length ?? 0;
  if (held > 0) return refused('state-conflict', `${member.name} still holds ${held} grants; drain it first`);
  draft.put(keys.member(command.peerId), { ...member, state: 'left' });
  draft.delete(keys.name(member.name));
  draft.delete(keys.drain(command.peerId));
  draft.emit('peer.state', `${member.name} left`, {
    peerId: command.peerId,
    fields: { state: 'left', name: member.name },
  });
  return done();
}

interface Release {
  readonly peerId: PeerId;
  readonly begun: readonly Begun[] | null;
  readonly at: number;
}

const UNBEGUN = { kind: 'handed-back', reason: 'unbegun' } as const;

/** Gives grants back without their holder. What it had begun is blamed; what it had not, or where nobody can tell, is not. */
function release(
  draft: Draft,
  grants: readonly Hold[],
  { peerId, begun, at }: Release,
  place: Place,
  reason: AttemptEnd,
): void {
  const started = begun === null ? null : new Map(begun);
  // Last granted first: each goes to the head, so the first granted ends up foremost.
  for (const hold of grants.toReversed()) {
    const startedAt = started?.get(makeFence(place.epochId, hold.index)) ?? null;
    const blamed = startedAt !== null;
    const how = blamed || started === null ? ({ kind: 'lost', reason } as const) : UNBEGUN;
    const task = draft.get(keys.task(hold.jobId, hold.task));
    if (task?.open?.index === hold.index) close(draft, task, { ...how, blamed, startedAt, at });
    dropHold(draft, peerId, hold.index);
  }
}
