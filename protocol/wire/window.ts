// The head of the queue as the leader announces it, with the leader's beacon. Soft: a stale window costs time, not work.
import { type Static, Type } from 'typebox';
import { Needs } from '../api/jobspec.ts';
import { type Codec, codec } from './codec.ts';
import { Count, closed, EpochIdShape, JobIdShape, PeerIdShape, Sha256Shape } from './shapes.ts';

export const windowMaxEntries = 128;

export const WindowEntry = Type.Object(
  {
    jobId: JobIdShape,
    /** Tasks of this job that wait. */
    open: Count,
    priority: Type.Integer({ minimum: -100, maximum: 100 }),
    needs: Type.Union([Needs, Type.Null()]),
    runtime: Type.Union([Type.Literal('process'), Type.Literal('noop')]),
    /** What every task of it needs here before it can begin; large ones first. */
    blobs: Type.Array(Sha256Shape, { maxItems: 8 }),
  },
  closed,
);
export type WindowEntry = Static<typeof WindowEntry>;

/** Best first. */
export const WindowEntries = Type.Array(WindowEntry, { maxItems: windowMaxEntries });

const Beacon = Type.Object(
  {
    epochId: EpochIdShape,
    leader: PeerIdShape,
    term: Count,
    commitIndex: Count,
    voters: Type.Object({ total: Count, healthy: Count, needed: Count }, closed),
    heartbeatMs: Count,
    leaseMs: Count,
    window: WindowEntries,
  },
  closed,
);
/** What the leader gossips on topic `window`. */
export type Beacon = Static<typeof Beacon>;
export const beaconCodec: Codec<Beacon> = codec('a beacon', Beacon, 60_000);
