// The member list as nodes keep it, and the join that first hands it out.
import { type Static, type TSchema, Type } from 'typebox';
import { type Codec, codec } from './codec.ts';
import { Count, closed, EpochIdShape, Located, MeshIdShape, PeerIdShape, RolesShape, Text } from './shapes.ts';

/** Method names on channel `join`. */
export const joinMethods = { redeem: 'redeem' } as const;

const orNull = <S extends TSchema>(schema: S) => Type.Union([schema, Type.Null()]);

const Member = Type.Object(
  {
    peerId: PeerIdShape,
    name: Text(255),
    roles: RolesShape,
    boxKey: Text(64),
    observer: orNull(PeerIdShape),
    incarnation: Count,
    state: Type.Union([Type.Literal('alive'), Type.Literal('draining'), Type.Literal('dead'), Type.Literal('left')]),
    joinedAt: Count,
    ticket: orNull(Text(128)),
  },
  closed,
);

const MemberList = Type.Object(
  {
    meshId: MeshIdShape,
    meshName: Text(255),
    epochId: EpochIdShape,
    epochNumber: Count,
    /** Applied index at which the list was read: a node never goes back to a lower one of the same epoch. */
    index: Count,
    heartbeatMs: Count,
    leaseMs: Count,
    members: Type.Array(Member, { maxItems: 2000 }),
    /** Gateways with the addresses last heard of them. */
    gateways: Type.Array(Located, { maxItems: 64 }),
  },
  closed,
);
/** Answers `members`, is pushed with the same method to workers, and is kept on every node's disk. */
export type MemberList = Static<typeof MemberList>;
export const memberListCodec: Codec<MemberList> = codec('a member list', MemberList);

const MembersQuery = Type.Object({ epochId: EpochIdShape, index: Count }, closed);
/** What the asking node holds. */
export type MembersQuery = Static<typeof MembersQuery>;
export const membersQueryCodec: Codec<MembersQuery> = codec('a question for members', MembersQuery);

const Redeem = Type.Object(
  {
    meshId: MeshIdShape,
    /** base64url of the ticket's 32 secret bytes. */
    secret: Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' }),
    peerId: PeerIdShape,
    name: Text(255),
    /** Fewer than the ticket gives, or null for all of them. */
    roles: orNull(RolesShape),
    boxKey: Text(64),
    observer: orNull(PeerIdShape),
  },
  closed,
);
/** Redeeming again by the same peer gives the same answer. Fails with `ticket-refused`, `forbidden`. */
export type Redeem = Static<typeof Redeem>;
export const redeemCodec: Codec<Redeem> = codec('a ticket redemption', Redeem);

const Joined = Type.Object({ member: Member, list: MemberList }, closed);
export type Joined = Static<typeof Joined>;
export const joinedCodec: Codec<Joined> = codec('an answer to a ticket', Joined);
