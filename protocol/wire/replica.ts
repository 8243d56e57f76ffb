// Requests on channel `raft`, which is for gateways alone: Raft's own messages go by `step` (raft.ts); here is what a replica
// asks of the leader, and how a snapshot travels.
import { type Static, Type } from 'typebox';
import { COUNT_MAX } from '../raft/message.ts';
import type { Outcome } from '../state/command.ts';
import { type Codec, codec } from './codec.ts';
import { CommandShape } from './command.ts';
import { Count, closed, EpochIdShape, Text } from './shapes.ts';

/** Method names on channel `raft`. */
export const replicaMethods = {
  /** To the leader: commands that another gateway was handed. */
  propose: 'propose',
  /** To the leader: what must be applied before a read that was asked for now (ReadIndex). */
  readIndex: 'read-index',
  /** To the leader: a gateway that holds no replica asks to hold one. */
  enlist: 'enlist',
  /** To a follower: rows of a snapshot, in key order. */
  rows: 'rows',
} as const;

const Index = Type.Integer({ minimum: 0, maximum: COUNT_MAX });
const Id = Type.Integer({ minimum: 1, maximum: COUNT_MAX });

/** Commands of one call. */
export const forwardMax = 512;

const Forward = Type.Object(
  {
    epochId: EpochIdShape,
    commands: Type.Array(CommandShape, { minItems: 1, maxItems: forwardMax }),
    /** How long those who asked will still wait. */
    timeoutMs: Count,
  },
  closed,
);
export const forwardCodec: Codec<Static<typeof Forward>> = codec('forwarded commands', Forward);

/** What became of one forwarded command: applied under an index, or the failure. */
const Forwarded = Type.Union([
  Type.Object({ index: Index, outcome: Type.Unsafe<Outcome>(Type.Object({ kind: Text(16) })) }, closed),
  Type.Object({ code: Text(64), message: Text(8192), retryAfterMs: Type.Optional(Count) }, closed),
]);
export type Forwarded = Static<typeof Forwarded>;
/** One for each command, in order. */
export const forwardedCodec: Codec<Forwarded[]> = codec(
  'an answer to forwarded commands',
  Type.Array(Forwarded, { maxItems: forwardMax }),
);

const ReadIndex = Type.Object({ epochId: EpochIdShape, timeoutMs: Count }, closed);
export const readIndexCodec: Codec<Static<typeof ReadIndex>> = codec('a question for the read index', ReadIndex);
const ReadAt = Type.Object({ index: Index }, closed);
export const readAtCodec: Codec<Static<typeof ReadAt>> = codec('a read index', ReadAt);

const Enlist = Type.Object({ epochId: EpochIdShape }, closed);
export const enlistCodec: Codec<Static<typeof Enlist>> = codec('a request to hold a replica', Enlist);
const Enlisted = Type.Object({ epochId: EpochIdShape, epochNumber: Count, voterId: Id }, closed);
/** The replica that the asker is from now on. Its log begins empty. */
export const enlistedCodec: Codec<Static<typeof Enlisted>> = codec('a replica’s name', Enlisted);

const Ids = Type.Array(Id, { maxItems: 64 });
const Row = Type.Unsafe<readonly [string, unknown]>(Type.Tuple([Text(4096), Type.Unknown()]));
const Rows = Type.Object(
  {
    epochId: EpochIdShape,
    /** The sender's term, and the replicas of sender and addressee. */
    term: Index,
    from: Id,
    to: Id,
    index: Index,
    /** The last key before these rows; null where they are the first. */
    after: Type.Union([Text(4096), Type.Null()]),
    rows: Type.Array(Row, { maxItems: 4096 }),
    /** With the last rows: what makes the whole a snapshot. */
    end: Type.Union([
      Type.Object(
        {
          term: Index,
          configuration: Type.Object({ voters: Ids, learners: Ids }, closed),
          stateHash: Text(128),
        },
        closed,
      ),
      Type.Null(),
    ]),
  },
  closed,
);
export type SnapshotRows = Static<typeof Rows>;
export const rowsCodec: Codec<SnapshotRows> = codec('rows of a snapshot', Rows);

const RowsTaken = Type.Object(
  {
    /** Up to this key the rows are here; null where none is. Rows that do not follow it are dropped. */
    lastKey: Type.Union([Text(4096), Type.Null()]),
    /** Whether the snapshot is whole here, or needed no more. */
    whole: Type.Boolean(),
  },
  closed,
);
export type RowsTaken = Static<typeof RowsTaken>;
export const rowsTakenCodec: Codec<RowsTaken> = codec('an answer to rows of a snapshot', RowsTaken);
