// What the HTTP door says of jobs, tasks and attempts. The same shapes are the `--json` of the command line.
import { type Static, Type } from 'typebox';
import { stopSignals } from '../state/rows.ts';
import {
  Base64,
  body,
  FenceText,
  Hash,
  JobIdText,
  list,
  Nothing,
  oneOf,
  oneOfOrNull,
  orNull,
  Text,
  Time,
  Whole,
} from './shape.ts';

export const jobStates = ['queued', 'running', 'completed', 'failed', 'cancelled'] as const;
export const JobStateText = oneOf(jobStates);

/**
 * How it ended. `code` is what `skein run` exits with: the script's own, 128+n where signal n ended it (then `signal`
 * names it), or one of 120–127 where the script gave none; `source` tells a script's 124 from skein's.
 */
export const ExitView = Type.Object({
  code: orNull(Whole),
  signal: orNull(Text),
  source: oneOf(['script', 'skein']),
  reason: Type.String({ description: 'exited, timeout, cancelled, lost-workers, not-found, …' }),
});
export type ExitView = Static<typeof ExitView>;

export const TaskCounts = Type.Object({
  total: Whole,
  queued: Whole,
  running: Whole,
  completed: Whole,
  failed: Whole,
  cancelled: Whole,
});
export type TaskCounts = Static<typeof TaskCounts>;

/** The end of a log: `base64` holds the bytes from `offset` to the log's end. */
export const LogTail = Type.Object({ offset: Whole, base64: Base64 });
export type LogTail = Static<typeof LogTail>;

export const FailureView = Type.Object({
  task: Whole,
  item: orNull(Text),
  /** The node that ran the last attempt. */
  peer: orNull(Text),
  exit: orNull(ExitView),
  reason: Type.String({ description: 'a sentence' }),
  stderrTail: orNull(LogTail),
});
export type FailureView = Static<typeof FailureView>;

export const OutputView = Type.Object({ task: Whole, path: Text, bytes: Whole, sha256: Hash });
export type OutputView = Static<typeof OutputView>;

export const WaitingView = Type.Object({
  verdict: Type.String({ description: 'no-room, no-peer-fits, behind-others, inputs-copying, backoff, …' }),
  sentence: Text,
  since: Time,
});
export type WaitingView = Static<typeof WaitingView>;

/** `queued` while granted and not begun; `running` until its end is told; then how it ended. */
export const attemptStates = ['queued', 'running', 'finished', 'lost', 'handed-back', 'cancelled'] as const;

export const AttemptView = Type.Object({
  task: Whole,
  n: Whole,
  peer: Type.String({ description: "the worker's name at the time" }),
  peerId: Text,
  fence: FenceText,
  state: oneOf(attemptStates),
  grantedAt: Time,
  startedAt: orNull(Time),
  endedAt: orNull(Time),
  exit: orNull(ExitView),
  reason: orNull(Text),
  /** A sentence where the reason is not the script's own exit, or where some of what it left could not be taken up. */
  detail: orNull(Text),
  /** Whether it counts against `maxLost`. */
  blamed: Type.Boolean(),
  stdoutBytes: orNull(Whole),
  stderrBytes: orNull(Whole),
});
export type AttemptView = Static<typeof AttemptView>;

/** A line of a job's history. `index` is the log entry's, or null where the rows do not keep it. */
export const HistoryItem = Type.Object({ index: orNull(Whole), at: Time, type: Text, sentence: Text });
export type HistoryItem = Static<typeof HistoryItem>;

const Labels = Type.Unsafe<Readonly<Record<string, string>>>({
  type: 'object',
  additionalProperties: { type: 'string' },
});

/** The spec as sent, the values of `env` null: they may be secret. */
export const SpecView = Type.Unsafe<Readonly<Record<string, unknown>>>({
  type: 'object',
  description: 'The body of POST /v1/jobs as it was taken; every value of `env` is null',
});

const jobHead = {
  jobId: JobIdText,
  name: orNull(Text),
  state: JobStateText,
};

/** GET /v1/jobs/{id}, `skein run --json`, `skein status --json`. */
export const JobView = Type.Object({
  schema: Type.Literal('skein.job/1'),
  ...jobHead,
  exit: orNull(ExitView),
  tasks: TaskCounts,
  /** The first twenty. */
  failures: Type.Array(FailureView),
  attemptCount: Whole,
  queuedMs: orNull(Whole),
  durationMs: orNull(Whole),
  /** Where the submitter wanted them, as its own machine names it. */
  outputDir: orNull(Text),
  /** Null where there are too many to name here: ask the tasks. */
  outputs: orNull(Type.Array(OutputView)),
  costMicros: orNull(Whole),
  currency: orNull(Text),
  url: orNull(Text),
  submittedBy: Text,
  submittedAt: Time,
  startedAt: orNull(Time),
  finishedAt: orNull(Time),
  priority: Whole,
  labels: Labels,
  spec: SpecView,
  eta: Nothing,
  waiting: orNull(WaitingView),
  cancelRequested: Type.Boolean(),
  cancelReason: orNull(Text),
  /** Of the first tasks that have some, at most 200. */
  attempts: Type.Array(AttemptView),
  events: Type.Array(HistoryItem),
});
export type JobView = Static<typeof JobView>;

export const JobListItem = Type.Object({
  ...jobHead,
  tasks: TaskCounts,
  submittedAt: Time,
  startedAt: orNull(Time),
  finishedAt: orNull(Time),
  durationMs: orNull(Whole),
  costMicros: orNull(Whole),
  labels: Labels,
  waiting: orNull(WaitingView),
});
export type JobListItem = Static<typeof JobListItem>;
export const JobList = list('skein.joblist/1', JobListItem);
export type JobList = Static<typeof JobList>;

export const TaskView = Type.Object({
  schema: Type.Literal('skein.task/1'),
  jobId: JobIdText,
  task: Whole,
  item: orNull(Text),
  state: JobStateText,
  cancelRequested: Type.Boolean(),
  /** How many of its attempts count as lost with a worker, and how many ended in failure. */
  lost: Whole,
  failed: Whole,
  exit: orNull(ExitView),
  attempts: Type.Array(AttemptView),
});
export type TaskView = Static<typeof TaskView>;
export const TaskList = list('skein.tasklist/1', TaskView);
export type TaskList = Static<typeof TaskList>;
export const AttemptList = list('skein.attemptlist/1', AttemptView);
export type AttemptList = Static<typeof AttemptList>;
export const EventList = list('skein.eventlist/1', HistoryItem);
export type EventList = Static<typeof EventList>;

/** 201 of POST /v1/jobs. `waiting` says at once where no known member could meet the needs. */
export const Submitted = Type.Object({
  schema: Type.Literal('skein.submitted/1'),
  jobId: JobIdText,
  tasks: Whole,
  url: Type.String({ description: 'path of the job on any gateway' }),
  waiting: orNull(WaitingView),
});
export type Submitted = Static<typeof Submitted>;

/** 200 of POST /v1/jobs?dryRun=1. Nothing is kept. */
export const JobPlan = Type.Object({
  schema: Type.Literal('skein.plan/1'),
  tasks: Whole,
  fits: Type.Boolean(),
  /** Why it does not fit, or null. */
  sentence: orNull(Text),
  missingBlobs: Type.Array(Hash),
  estimate: Nothing,
  spec: SpecView,
});
export type JobPlan = Static<typeof JobPlan>;

export const CancelRequest = body({
  /** Inclusive, or all of the job. */
  tasks: Type.Optional(body({ from: Type.Integer({ minimum: 1 }), to: Type.Integer({ minimum: 1 }) })),
  reason: Type.Optional(Type.String({ maxLength: 1000 })),
  graceMs: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 3_600_000,
      description: 'from the signal to SIGKILL, 10 s unless told; of all of the job',
    }),
  ),
  signal: Type.Optional(oneOf(stopSignals)),
});
export type CancelRequest = Static<typeof CancelRequest>;

export const RetryRequest = body({
  tasks: Type.Optional(
    Type.Union([oneOf(['failed', 'all']), Type.Array(Type.Integer({ minimum: 1 }), { minItems: 1, maxItems: 10_000 })]),
  ),
});
export type RetryRequest = Static<typeof RetryRequest>;

/** 202: it is committed; what it asks of workers goes on from here. */
export const Accepted = Type.Object({
  schema: Type.Literal('skein.accepted/1'),
  jobId: JobIdText,
  /** How many tasks it touched, where known. */
  tasks: orNull(Whole),
});
export type Accepted = Static<typeof Accepted>;

export const verdicts = [
  'running',
  'behind-others',
  'no-room',
  'no-peer-fits',
  'runtime-missing',
  'inputs-copying',
  'backoff',
  'no-leader',
  'finished',
] as const;
export type Verdict = (typeof verdicts)[number];

export const Explanation = Type.Object({
  schema: Type.Literal('skein.explain/1'),
  jobId: JobIdText,
  task: orNull(Whole),
  verdict: oneOf(verdicts),
  sentence: Text,
  since: orNull(Time),
  queue: Nothing,
  needs: Type.Unsafe<Readonly<Record<string, unknown>> | null>({ type: ['object', 'null'] }),
  peers: Nothing,
  scaler: Nothing,
  eta: Nothing,
  fixes: Type.Array(Type.Object({ command: Text, effect: Text })),
});
export type Explanation = Static<typeof Explanation>;

export const OutputEntry = Type.Object({
  path: Text,
  /** A folder where it is empty, or of a mode of its own. */
  kind: oneOf(['file', 'link', 'folder']),
  mode: orNull(Whole),
  bytes: orNull(Whole),
  sha256: orNull(Hash),
  /** Of a link, as the script made it. */
  target: orNull(Text),
});
export type OutputEntry = Static<typeof OutputEntry>;

/** GET …/tasks/{n}/outputs: whole, sorted bytewise by path. */
export const OutputManifest = Type.Object({
  schema: Type.Literal('skein.outputs/1'),
  jobId: JobIdText,
  task: Whole,
  attempt: orNull(Whole),
  stdoutBytes: orNull(Whole),
  stderrBytes: orNull(Whole),
  items: Type.Array(OutputEntry),
  next: Nothing,
});
export type OutputManifest = Static<typeof OutputManifest>;

export const BlobCheckRequest = body({ sha256: Type.Array(Hash, { maxItems: 1000 }) });
export type BlobCheckRequest = Static<typeof BlobCheckRequest>;

/** `offset` is where an unfinished upload goes on. */
export const BlobCheck = Type.Object({
  schema: Type.Literal('skein.blobcheck/1'),
  missing: Type.Array(Type.Object({ sha256: Hash, offset: Whole })),
});
export type BlobCheck = Static<typeof BlobCheck>;

/** Data of the SSE event `log`: bytes at `offset` of one attempt's stream. */
export const LogEvent = Type.Object({
  attempt: Whole,
  stream: oneOf(['out', 'err']),
  offset: Whole,
  base64: Base64,
});
export type LogEvent = Static<typeof LogEvent>;

/** Data of the SSE event `task.attempt` on a log stream: from here on the output is this attempt's, from its start. */
export const LogAttempt = Type.Object({ attempt: Whole, peer: Text, previous: orNull(AttemptView) });
export type LogAttempt = Static<typeof LogAttempt>;

/** Data of the SSE event `end` on a log stream: the task has ended. */
export const LogEnd = Type.Object({
  state: oneOfOrNull(jobStates),
  attempt: orNull(Whole),
  /** Length of the stream in that attempt. */
  offset: Whole,
  exit: orNull(ExitView),
});
export type LogEnd = Static<typeof LogEnd>;

/** Data of the SSE events of `/v1/events` and `…/jobs/{id}/events`. */
export const EventView = Type.Object({
  type: Type.String({ description: 'job.state task.state task.attempt outputs.ready job.done peer.state' }),
  index: Whole,
  sub: Whole,
  at: Time,
  jobId: orNull(JobIdText),
  task: orNull(Whole),
  peerId: orNull(Text),
  sentence: Text,
  fields: Type.Unsafe<Readonly<Record<string, unknown>>>({ type: 'object' }),
});
export type EventView = Static<typeof EventView>;
