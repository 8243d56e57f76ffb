// A worker's heartbeat with its claim, and the leader's answer to it.
import { type Static, Type } from 'typebox';
import { SkeinError } from '../errors.ts';
import { fencesMax, prefetchMax, slotsMax } from './bounds.ts';
import { type Codec, codec } from './codec.ts';
import {
  Addresses,
  BegunShape,
  Count,
  closed,
  EpochIdShape,
  Fences,
  JobIdShape,
  PeerIdShape,
  RolesShape,
  Text,
} from './shapes.ts';
import { WindowEntries } from './window.ts';
import { PackedGrants, type PushedGrant, packGrants, unpackGrants } from './work.ts';

export const heartbeatMaxBytes = 60_000;

const Claim = Type.Object(
  {
    incarnation: Count,
    sequence: Count,
    /** Total capacity; room is this and `prefetch` less the open grants in the log. */
    slots: Type.Integer({ minimum: 0, maximum: slotsMax }),
    /** How many further grants it will hold unbegun. */
    prefetch: Type.Integer({ minimum: 0, maximum: prefetchMax }),
    memBytes: Count,
    /** Best first; empty means anything of the window. */
    wants: Type.Array(Type.Object({ jobId: JobIdShape }, closed), { maxItems: 128 }),
  },
  closed,
);
/** A standing offer: in force until one with a higher (incarnation, sequence) is heard. */
export type Claim = Static<typeof Claim>;

const Heartbeat = Type.Object(
  {
    peerId: PeerIdShape,
    name: Text(255),
    roles: RolesShape,
    incarnation: Count,
    sequence: Count,
    version: Text(64),
    draining: Type.Boolean(),
    /** Its daemon starts again in place and is silent meanwhile: the leader waits for it beyond the lease. */
    restarting: Type.Boolean(),
    /** What this incarnation has begun and not seen settled. */
    begun: Type.Array(BegunShape, { maxItems: fencesMax }),
    claim: Claim,
    slots: Type.Object({ busy: Count, total: Count }, closed),
    load1: Type.Number({ minimum: 0 }),
    memFreeBytes: Count,
    memTotalBytes: Count,
    cpus: Count,
    /** The longest that the event loop was late since the last heartbeat. */
    loopDelayMs: Type.Number({ minimum: 0 }),
    blobs: Type.Object({ count: Count, bytes: Count }, closed),
    reach: Type.Union([Type.Literal('direct'), Type.Literal('relayed'), Type.Literal('dials-out')]),
    addresses: Addresses,
    /** Clock.uptime() of the sender: it counts its lease from here. */
    sentAtUptimeMs: Type.Number({ minimum: 0 }),
  },
  closed,
);
export type Heartbeat = Static<typeof Heartbeat>;
export const heartbeatCodec: Codec<Heartbeat> = codec('a heartbeat', Heartbeat, heartbeatMaxBytes);

const Answer = Type.Object(
  {
    incarnation: Count,
    /** Of the heartbeat that this answers; a worker ignores an answer older than its last. */
    sequence: Count,
    appliedIndex: Count,
    /** 0 where no lease is given. */
    leaseMs: Count,
    /** What the log grants this incarnation at `appliedIndex`. */
    fences: Fences,
    grants: PackedGrants,
    window: WindowEntries,
    /** Where the member list stands: a worker behind it asks for `members`. */
    members: Type.Union([
      Type.Object({ epochId: EpochIdShape, epochNumber: Count, index: Count }, closed),
      Type.Null(),
    ]),
    /** The incarnation that was declared dead, where the sender's was; then nothing else of the answer counts. */
    dead: Type.Union([Count, Type.Null()]),
  },
  closed,
);
export interface Answer extends Omit<Static<typeof Answer>, 'grants'> {
  /** Grants among `fences` that the worker did not list as begun: sent again, as the push may have been lost. */
  readonly grants: readonly PushedGrant[];
}
const packedCodec = codec('an answer', Answer);

/** Encoding leaves out grants that do not fit: they ride in the next answer. */
export const answerCodec: Codec<Answer> = {
  encode(answer) {
    for (let count = answer.grants.length; ; count >>= 1) {
      try {
        return packedCodec.encode({ ...answer, grants: packGrants(answer.grants.slice(0, count)) });
      } catch (error) {
        if (count === 0 || !(error instanceof SkeinError) || error.code !== 'too-large') throw error;
      }
    }
  },
  decode(bytes) {
    const answer = packedCodec.decode(bytes);
    return { ...answer, grants: unpackGrants(answer.grants) };
  },
};

/** Whether (incarnation, sequence) of `a` is after that of `b`. */
export function isLater(
  a: { readonly incarnation: number; readonly sequence: number },
  b: { readonly incarnation: number; readonly sequence: number },
): boolean {
  return a.incarnation > b.incarnation || (a.incarnation === b.incarnation && a.sequence > b.sequence);
}
