// Requests on channel `work`: what gateways and workers say to each other about grants and attempts.
// `heartbeat` carries a signed envelope and is answered with an Answer; both are in heartbeat.ts.
import { type Static, Type } from 'typebox';
import { ItemEntry, JobSpec } from '../api/jobspec.ts';
import { SkeinError } from '../errors.ts';
import type { JobId } from '../ids.ts';
import type { Result } from '../state/result.ts';
import { type AttemptEnd, type StopSignal, stopSignals } from '../state/rows.ts';
import { fencesMax } from './bounds.ts';
import { type Codec, codec } from './codec.ts';
import { ResultShape } from './result.ts';
import { BegunShape, Count, closed, FenceShape, Fences, JobIdShape, Text } from './shapes.ts';

/** Method names on channel `work`. The arrow says who asks whom. */
export const workMethods = {
  /** worker → gateway */
  heartbeat: 'heartbeat',
  finished: 'finished',
  ended: 'ended',
  adopt: 'adopt',
  members: 'members',
  /** gateway → worker */
  grants: 'grants',
  cancel: 'cancel',
  /** Asks for unbegun grants back, so that they can begin elsewhere; begun ones are left alone. */
  recall: 'recall',
  logRead: 'log.read',
} as const;

/** Items of one batch; callers split what is more. */
export const batchMax = 1024;

const grantShape = {
  fence: FenceShape,
  jobId: JobIdShape,
  task: Count,
  /** The only incarnation that may begin it. */
  incarnation: Count,
  /** 1 for the first attempt. */
  attempt: Count,
  taskCount: Count,
  entry: Type.Union([ItemEntry, Type.Null()]),
  /** Why the leader cannot say what the task is: its holder reports that as the attempt's end, and runs nothing. */
  fault: Type.Optional(Text(4096)),
};
const PushedGrant = Type.Object({ ...grantShape, spec: JobSpec }, closed);
/** `spec` comes without `items`: the task's own is in `entry`. */
export type PushedGrant = Static<typeof PushedGrant>;

/** Grants of one job share its spec on the wire: a burst of 200 tasks carries it once. */
export const PackedGrants = Type.Object(
  {
    specs: Type.Array(JobSpec, { maxItems: batchMax }),
    grants: Type.Array(Type.Object({ ...grantShape, spec: Type.Integer({ minimum: 0, maximum: batchMax }) }, closed), {
      maxItems: batchMax,
    }),
  },
  closed,
);
type PackedGrants = Static<typeof PackedGrants>;

export function packGrants(grants: readonly PushedGrant[]): PackedGrants {
  const specs: JobSpec[] = [];
  const places = new Map<JobId, number>();
  const packed = grants.map((grant) => {
    let place = places.get(grant.jobId);
    if (place === undefined) {
      place = specs.push(grant.spec) - 1;
      places.set(grant.jobId, place);
    }
    return { ...grant, spec: place };
  });
  return { specs, grants: packed };
}

/** Fails with `invalid-request` where a grant names a spec that is not there. */
export function unpackGrants({ specs, grants }: PackedGrants): readonly PushedGrant[] {
  return grants.map((grant) => {
    const spec = specs[grant.spec];
    if (spec === undefined) throw new SkeinError('invalid-request', 'a grant without its job');
    return { ...grant, spec };
  });
}

const packedCodec = codec('a push of grants', PackedGrants);

/** The bodies of as few pushes as hold them all. Fails with `too-large` where a single one does not fit. */
export function encodeGrants(grants: readonly PushedGrant[]): readonly Uint8Array[] {
  if (grants.length > batchMax) return halves(grants);
  try {
    return [packedCodec.encode(packGrants(grants))];
  } catch (error) {
    if (grants.length > 1 && error instanceof SkeinError && error.code === 'too-large') return halves(grants);
    throw error;
  }
}

const halves = (grants: readonly PushedGrant[]): readonly Uint8Array[] => {
  const middle = grants.length >> 1;
  return [...encodeGrants(grants.slice(0, middle)), ...encodeGrants(grants.slice(middle))];
};

export const decodeGrants = (bytes: Uint8Array): readonly PushedGrant[] => unpackGrants(packedCodec.decode(bytes));

const attempt = { fence: FenceShape, jobId: JobIdShape, task: Count, incarnation: Count };

const Finished = Type.Object({ ...attempt, result: Type.Unsafe<Result>(ResultShape) }, closed);
export type Finished = Static<typeof Finished>;
export const finishedCodec: Codec<readonly Finished[]> = codec(
  'a report of results',
  Type.Array(Finished, { minItems: 1, maxItems: batchMax }),
);

const endReasons = [
  'worker-dead',
  'worker-restarted',
  'drained',
  'runner-died',
  'cancelled',
  'lease-lapsed',
  'unbegun',
  'intact',
] as const;
const Ended = Type.Object(
  {
    ...attempt,
    /** Null where nothing of it ran. */
    startedAt: Type.Union([Count, Type.Null()]),
    reason: Type.Unsafe<AttemptEnd | 'intact'>(Type.Union(endReasons.map((reason) => Type.Literal(reason)))),
  },
  closed,
);
/** Sent once the attempt's whole tree is gone; `intact` on a grant that `dead` closed takes back the blame. */
export type Ended = Static<typeof Ended>;
export const endedCodec: Codec<readonly Ended[]> = codec(
  'a report of ends',
  Type.Array(Ended, { minItems: 1, maxItems: batchMax }),
);

const Settled = Type.Union([
  Type.Object({ kind: Type.Literal('committed'), index: Count }, closed),
  Type.Object({ kind: Type.Literal('refused'), code: Text(64), sentence: Text(4096) }, closed),
  /** Not known to be either: the worker keeps it and sends it again. */
  Type.Object({ kind: Type.Literal('unsettled'), code: Text(64), sentence: Text(4096) }, closed),
]);
export type Settled = Static<typeof Settled>;
/** Answers `finished` and `ended`, one for each item in the same order; and `adopt`, with one. */
export const settledCodec: Codec<readonly Settled[]> = codec(
  'an answer to a report',
  Type.Array(Settled, { maxItems: batchMax }),
);

const Cancel = Type.Object(
  {
    fences: Fences,
    graceMs: Count,
    signal: Type.Unsafe<StopSignal>(Type.Union(stopSignals.map((name) => Type.Literal(name)))),
  },
  closed,
);
/** By fence, never by task. Answered with an empty body at once; the end is reported with `ended`. */
export type Cancel = Static<typeof Cancel>;
export const cancelCodec: Codec<Cancel> = codec('a cancel', Cancel);

const Recall = Type.Object({ fences: Fences }, closed);
/** Answered with an empty body; what is given back is reported with `ended`, reason `unbegun`. */
export type Recall = Static<typeof Recall>;
export const recallCodec: Codec<Recall> = codec('a recall', Recall);

const Adopt = Type.Object(
  {
    incarnation: Count,
    /** What its runners still hold, or what ended and is not reported. */
    fences: Fences,
    /** What else it had begun, as far as its disk says: those attempts are lost. */
    begun: Type.Array(BegunShape, { maxItems: fencesMax }),
  },
  closed,
);
export type Adopt = Static<typeof Adopt>;
export const adoptCodec: Codec<Adopt> = codec('an adopt', Adopt);

export const logChunkMaxBytes = 262_144;
const LogRead = Type.Object(
  {
    fence: FenceShape,
    stream: Type.Union([Type.Literal('out'), Type.Literal('err')]),
    offset: Count,
    maxBytes: Type.Integer({ minimum: 1, maximum: logChunkMaxBytes }),
    /** How long to wait where nothing is beyond `offset` yet. */
    waitMs: Type.Integer({ minimum: 0, maximum: 60_000 }),
  },
  closed,
);
/** Answered with a LogPart; `not-found` where the worker has nothing of that fence. */
export type LogRead = Static<typeof LogRead>;
export const logReadCodec: Codec<LogRead> = codec('a log request', LogRead);

/** `end`: the attempt is over and nothing follows these bytes. */
export interface LogPart {
  readonly end: boolean;
  readonly bytes: Uint8Array;
}

export const logPartCodec: Codec<LogPart> = {
  encode({ end, bytes }) {
    const out = new Uint8Array(1 + bytes.length);
    out[0] = end ? 1 : 0;
    out.set(bytes, 1);
    return out;
  },
  decode(bytes) {
    const flag = bytes[0];
    if (bytes.length > 1 + logChunkMaxBytes || (flag !== 0 && flag !== 1)) {
      throw new SkeinError('invalid-request', 'a log part is not of the known form');
    }
    return { end: flag === 1, bytes: bytes.subarray(1) };
  },
};
