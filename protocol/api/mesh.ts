// What the HTTP door says of the mesh itself: peers, members, tickets, keys, health.
import { type Static, Type } from 'typebox';
import { body, Hash, list, oneOf, oneOfOrNull, orNull, Text, Time, Whole } from './shape.ts';

export const roles = ['worker', 'gateway', 'voter'] as const;
export const scopes = ['submit', 'read', 'admin'] as const;

const Voters = Type.Object({ total: Whole, healthy: Whole, needed: Whole });
export const peerStates = ['alive', 'suspect', 'draining', 'dead', 'left'] as const;

export const PeerView = Type.Object({
  peerId: Text,
  name: Text,
  roles: Type.Array(Text),
  state: oneOf(peerStates),
  /** null where it has not been heard. */
  reach: oneOfOrNull(['direct', 'relayed', 'dials-out']),
  version: orNull(Text),
  slots: orNull(Type.Object({ busy: Whole, total: Whole })),
  load1: orNull(Type.Number()),
  memFreeBytes: orNull(Whole),
  heartbeatAgeMs: orNull(Whole),
  leaseLeftMs: orNull(Whole),
  loopDelayMs: orNull(Type.Number()),
  blobs: orNull(Type.Object({ count: Whole, bytes: Whole })),
  rented: Type.Unsafe<null>({ type: 'null' }),
});
export type PeerView = Static<typeof PeerView>;

export const PeerList = Type.Object({
  schema: Type.Literal('skein.peers/1'),
  leader: orNull(Text),
  term: orNull(Whole),
  commitIndex: orNull(Whole),
  voters: orNull(Voters),
  source: oneOf(['gateway', 'gossip']),
  items: Type.Array(PeerView),
  next: orNull(Text),
});
export type PeerList = Static<typeof PeerList>;

export const MemberView = Type.Object({
  peerId: Text,
  name: Text,
  roles: Type.Array(oneOf(roles)),
  state: oneOf(['alive', 'draining', 'dead', 'left']),
  incarnation: Whole,
  joinedAt: Time,
});
export type MemberView = Static<typeof MemberView>;
export const MemberList = list('skein.members/1', MemberView);
export type MemberList = Static<typeof MemberList>;

export const TicketRequest = body({
  secretHash: Hash,
  roles: Type.Array(oneOf(roles), { minItems: 1, maxItems: 3, uniqueItems: true }),
  uses: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000, description: '1 unless told' })),
  ttlMs: Type.Optional(Type.Integer({ minimum: 1000, maximum: 31_536_000_000, description: '15 min unless told' })),
});
export type TicketRequest = Static<typeof TicketRequest>;

/** All of a ticket but its secret, which the client alone has. */
export const TicketView = Type.Object({
  schema: Type.Literal('skein.ticket/1'),
  id: Text,
  meshId: Text,
  meshName: Text,
  epochId: Text,
  addresses: Type.Array(Text),
  peerIds: Type.Array(Text),
  roles: Type.Array(oneOf(roles)),
  uses: Whole,
  expiresAt: Time,
  /** Sentences for people: where only this machine could use it, or which port was opened. */
  notes: Type.Array(Text),
});
export type TicketView = Static<typeof TicketView>;

export const KeyRequest = body({
  name: Type.String({
    minLength: 1,
    maxLength: 100,
    pattern: '^[^\\p{Cc}]*$',
    description: 'without control characters',
  }),
  scope: oneOf(scopes),
  keyHash: Hash,
});
export type KeyRequest = Static<typeof KeyRequest>;
export const KeyRotation = body({ keyHash: Hash });
export type KeyRotation = Static<typeof KeyRotation>;

const keyFields = {
  id: Type.String({ description: "the first 16 digits of the sha-256 of the key's text" }),
  name: Text,
  scope: oneOf(scopes),
  project: Text,
  createdAt: Time,
  revokedAt: orNull(Time),
};
export const KeyView = Type.Object({ schema: Type.Literal('skein.key/1'), ...keyFields });
export type KeyView = Static<typeof KeyView>;
export const KeyListItem = Type.Object(keyFields);
export type KeyListItem = Static<typeof KeyListItem>;
export const KeyList = list('skein.keylist/1', KeyListItem);
export type KeyList = Static<typeof KeyList>;

export const WhoAmI = Type.Object({
  schema: Type.Literal('skein.whoami/1'),
  keyId: Text,
  name: Text,
  scope: oneOf(scopes),
  project: Text,
  meshId: Text,
  meshName: Text,
  epochId: Text,
  gateway: Type.Object({ peerId: Text, version: Text }),
});
export type WhoAmI = Static<typeof WhoAmI>;

export const DrainRequest = body({ draining: Type.Optional(Type.Boolean({ description: 'true unless told' })) });
export type DrainRequest = Static<typeof DrainRequest>;
export const Drained = Type.Object({ schema: Type.Literal('skein.drain/1'), peerId: Text, draining: Type.Boolean() });
export type Drained = Static<typeof Drained>;

export const RuntimeList = list('skein.runtimes/1', Type.Object({ name: Text, description: Text }));
export type RuntimeList = Static<typeof RuntimeList>;

export const Health = Type.Object({ status: oneOf(['ok']), version: Text });
export type Health = Static<typeof Health>;
export const Readiness = Type.Object({
  ready: Type.Boolean(),
  leader: orNull(Text),
  term: Whole,
  commitIndex: Whole,
  appliedIndex: Whole,
  voters: Voters,
  disk: oneOfOrNull(['ok', 'full', 'failed']),
});
export type Readiness = Static<typeof Readiness>;
