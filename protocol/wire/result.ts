// The shape of an attempt's result on the wire; its meaning is in state/result.ts.
import { type Static, type TSchema, Type } from 'typebox';
import type { Result } from '../state/result.ts';
import { Count, closed, Sha256Shape, Text } from './shapes.ts';

const orNull = <S extends TSchema>(schema: S) => Type.Union([schema, Type.Null()]);

const SpanShape = Type.Object({ blob: Sha256Shape, offset: Count, sizeBytes: Count }, closed);

export const OutputFileShape = Type.Union([
  Type.Object(
    {
      kind: Type.Literal('file'),
      path: Text(4096),
      mode: Type.Integer({ minimum: 0, maximum: 0o777 }),
      sha256: Sha256Shape,
      span: SpanShape,
    },
    closed,
  ),
  Type.Object({ kind: Type.Literal('link'), path: Text(4096), target: Text(4096) }, closed),
  Type.Object(
    { kind: Type.Literal('folder'), path: Text(4096), mode: Type.Integer({ minimum: 0, maximum: 0o777 }) },
    closed,
  ),
]);

const OutputsShape = Type.Union([
  Type.Object({ kind: Type.Literal('inline'), files: Type.Array(OutputFileShape, { maxItems: 64 }) }, closed),
  Type.Object({ kind: Type.Literal('manifest'), blob: Sha256Shape, files: Count, sizeBytes: Count }, closed),
]);

const exitReasons = [
  'exited',
  'timeout',
  'out-of-memory',
  'not-found',
  'not-executable',
  'input-lost',
  'runtime-failed',
] as const;

export const ResultShape = Type.Object(
  {
    exit: Type.Object({ code: orNull(Type.Integer({ minimum: 0, maximum: 255 })), signal: orNull(Text(32)) }, closed),
    reason: Type.Union(exitReasons.map((reason) => Type.Literal(reason))),
    detail: orNull(Text(4096)),
    startedAt: Count,
    endedAt: Count,
    stdout: orNull(SpanShape),
    stderr: orNull(SpanShape),
    outputs: OutputsShape,
  },
  closed,
);

// The compiler refuses this line when the shape and the type of state/result.ts drift apart.
const same: (parsed: Static<typeof ResultShape>) => Result = (parsed) => parsed;
void same;
