// The small shapes that several message families share.
import { type Static, Type } from 'typebox';
import type { EpochId, Fence, JobId, MeshId, PeerId, Sha256 } from '../ids.ts';
import type { Begun, Role } from '../state/rows.ts';
import { fencesMax } from './bounds.ts';

const closed = { additionalProperties: false } as const;

export const Text = (maxLength: number) => Type.String({ maxLength });
export const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
export const PeerIdShape = Type.Unsafe<PeerId>(Type.String({ pattern: '^[0-9A-Za-z]{1,100}$' }));
export const JobIdShape = Type.Unsafe<JobId>(Type.String({ pattern: '^j-[a-z2-7]{16}$' }));
export const MeshIdShape = Type.Unsafe<MeshId>(Type.String({ pattern: '^[0-9a-f]{32}$' }));
export const EpochIdShape = Type.Unsafe<EpochId>(Type.String({ pattern: '^[0-9a-f]{32}$' }));
export const Sha256Shape = Type.Unsafe<Sha256>(Type.String({ pattern: '^[0-9a-f]{64}$' }));
export const FenceShape = Type.Unsafe<Fence>(Type.String({ pattern: '^[0-9a-f]{32}\\.[1-9][0-9]{0,15}$' }));
export const RoleShape = Type.Union([Type.Literal('worker'), Type.Literal('gateway'), Type.Literal('voter')]);
export const RolesShape = Type.Unsafe<readonly Role[]>(Type.Array(RoleShape, { maxItems: 3 }));
export const BegunShape = Type.Unsafe<Begun>(Type.Tuple([FenceShape, Count]));
export const Fences = Type.Array(FenceShape, { maxItems: fencesMax });
export const Address = Text(1024);
export const Addresses = Type.Array(Address, { maxItems: 16 });

export const Located = Type.Object({ peerId: PeerIdShape, addresses: Addresses }, closed);
/** A peer and the multiaddrs under which it may be dialled. */
export type Located = Static<typeof Located>;

export { closed };
