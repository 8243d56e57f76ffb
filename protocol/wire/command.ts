// The forms of commands inside the entries of an append: no more than what `apply` owes its totality to. A command was judged
// where it was proposed; what is committed and cannot be read by a voter would stop that voter for good, so nothing is
// asked here that `apply` can do without, and no form is ever narrowed.
import { type TObject, Type } from 'typebox';
import type { Command } from '../state/command.ts';
import { Count } from './shapes.ts';

const Text = Type.String();
const Texts = Type.Array(Text);
/** A time or a limit: kept and compared, never counted up to. */
const Amount = Type.Number();
const orNull = <S extends Parameters<typeof Type.Optional>[0]>(shape: S) =>
  Type.Optional(Type.Union([shape, Type.Null()]));

/** `apply` walks over a job's tasks. The door lets in a tenth of it. */
const TASKS_MAX = 10_000_000;

const idempotency = orNull(Type.Object({ key: Text, bodyHash: Text }));
const member = { peerId: Text, incarnation: Count };
const grant = { ...member, jobId: Text, task: Count };
const Begun = Type.Array(Type.Tuple([Text, Amount]));

const Spec = Type.Object({
  retries: Type.Optional(Amount),
  retryOn: Type.Optional(Type.Array(Amount)),
  maxLost: Type.Optional(Amount),
  maxFails: Type.Optional(Amount),
});

const Result = Type.Object({
  exit: Type.Object({ code: orNull(Amount), signal: orNull(Text) }),
  reason: Text,
  startedAt: Amount,
  endedAt: Amount,
});

const Settings = Type.Object({
  leaseMs: Type.Optional(Amount),
  heartbeatMs: Type.Optional(Amount),
  keepMs: Type.Optional(Amount),
});

const fields: Record<Command['kind'], Parameters<typeof Type.Object>[0]> = {
  'mesh.created': { meshId: Text, founder: Text, name: Text, epochId: Text },
  'settings.set': { settings: Settings },
  'member.joined': {
    peerId: Text,
    name: Text,
    roles: Texts,
    boxKey: Text,
    observer: orNull(Text),
    ticket: Type.Union([Text, Type.Null()]),
  },
  'member.adopted': { ...member, fences: Texts, begun: Begun },
  'member.dead': { ...member, begun: Type.Union([Begun, Type.Null()]), reason: Text },
  'member.draining': { peerId: Text, draining: Type.Boolean(), project: Text, idempotency },
  'member.left': { peerId: Text },
  'replica.added': { peerId: Text },
  'replica.changed': { sentence: Text },
  'voters.set': { target: Amount },
  'ticket.created': {
    secretHash: Text,
    roles: Texts,
    uses: Count,
    expiresAt: Amount,
    by: Text,
    project: Text,
    idempotency,
  },
  'tickets.dropped': { secretHashes: Texts },
  'key.created': {
    keyHash: Text,
    name: Text,
    scope: Text,
    project: Text,
    replaces: Type.Union([Text, Type.Null()]),
    idempotency,
  },
  'key.revoked': { keyHash: Text },
  'job.submitted': {
    jobId: Text,
    project: Text,
    spec: Spec,
    taskCount: Type.Integer({ minimum: 0, maximum: TASKS_MAX }),
    by: Text,
    idempotency,
  },
  'job.cancelled': {
    jobId: Text,
    tasks: Type.Union([Type.Tuple([Amount, Amount]), Type.Null()]),
    reason: orNull(Text),
    graceMs: Type.Optional(Amount),
    signal: Type.Optional(Text),
    project: Text,
    idempotency,
  },
  'job.retried': {
    jobId: Text,
    tasks: Type.Union([Type.Literal('failed'), Type.Literal('all'), Type.Array(Count)]),
    project: Text,
    idempotency,
  },
  'job.dropped': { jobId: Text },
  'idempotency.dropped': { project: Text, keys: Texts },
  'task.granted': grant,
  'task.finished': { ...grant, fence: Text, result: Result },
  'task.ended': { ...grant, fence: Text, reason: Text, startedAt: orNull(Amount) },
};

const shapes: readonly TObject[] = Object.entries(fields).map(([kind, rest]) =>
  Type.Object({ kind: Type.Literal(kind), at: Amount, ...rest }),
);

export const CommandShape = Type.Unsafe<Command>(Type.Union([...shapes]));
