// What a task wrote: bytes with Range, or followed live as server-sent events that never end quietly.
import { Readable } from 'node:stream';
import { Type } from 'typebox';
import { oneOf } from '../../protocol/api/shape.ts';
import { SkeinError } from '../../protocol/errors.ts';
import type { AttemptRow, TaskRow } from '../../protocol/state/rows.ts';
import { callerIn, requires } from '../auth.ts';
import type { App, Context, Reply, Request } from '../context.ts';
import { about, query, ResumeHeader, raw, refusals, stream, TaskParam, unchanged } from '../described.ts';
import { gone } from '../gone.ts';
import type { FoundJob } from '../jobs.ts';
import { checkOffset, followLog, type LogPlace, parseLogId } from '../log-follow.ts';
import { contentRange } from '../range.ts';
import { Consistency, fresh } from '../reads.ts';
import { serve } from '../serve.ts';
import { SseStream, sendSse } from '../sse.ts';
import { checkTask } from './tasks.ts';

type StreamName = 'out' | 'err';
/** Of a log that still grows, one answer to a Range holds at most this. */
const LIVE_RANGE_BYTES_MAX = 1024 * 1024;
const LOG_TYPE = 'application/octet-stream';

const followed = {
  description: 'The bytes, or server-sent events',
  content: { ...raw('').content, ...stream('').content },
};

interface Wanted {
  readonly stream?: StreamName;
  readonly attempt?: string;
}

export function logRoutes(app: App, context: Context): void {
  const { mesh, jobs } = context;
  app.get(
    '/v1/jobs/:id/tasks/:n/logs',
    {
      schema: {
        ...about({
          tag: 'logs',
          summary: 'What a task wrote to stdout or stderr',
          description: [
            'Raw bytes; Range is taken. With `Accept: text/event-stream` it is followed live: events `log`',
            '{attempt, stream, offset, base64} with the id ATTEMPT.STREAM.OFFSET of what comes after them,',
            '`task.attempt` where the next attempt begins and its output starts over, and `end` when the task has ended.',
            'The stream goes on after Last-Event-ID.',
          ].join(' '),
          scope: 'read',
        }),
        headers: ResumeHeader,
        params: Type.Object(TaskParam),
        querystring: query({
          stream: Type.Optional(oneOf(['out', 'err'], { description: 'out unless told' })),
          attempt: Type.Optional(
            Type.String({
              pattern: '^(latest|all|[1-9][0-9]{0,8})$',
              description: 'latest unless told; all: only followed',
            }),
          ),
          ...Consistency,
        }),
        response: { 200: followed, 206: raw('A range of them'), 304: unchanged, ...refusals },
      },
      exposeHeadRoute: false,
      onRequest: requires(mesh, 'read'),
    },
    async (request, reply) => {
      await fresh(context, request, reply);
      const found = await jobs.find(request.params.id, callerIn(request).key.project);
      checkTask(found, request.params.n);
      if (request.headers.accept?.includes('text/event-stream')) {
        return follow(context, request, reply, found, request.params.n, request.query);
      }
      return read(context, request, reply, found, request.params.n, request.query);
    },
  );
}

function follow(context: Context, request: Request, reply: Reply, found: FoundJob, n: number, wanted: Wanted): Reply {
  const name = wanted.stream ?? 'out';
  const { jobId } = found.job;
  const task = context.jobs.task(jobId, n);
  const next = context.jobs.state(jobId, n) === 'queued' ? 1 : 0;
  const latest = Math.max(1, (task?.attempts.at(-1)?.n ?? 0) + next);
  const from = placeOf(task, request.headers['last-event-id'], name, wanted.attempt ?? 'latest', latest);
  const stream = new SseStream(context.clock);
  void followLog(context, stream, { jobId, task: n, stream: name }, from);
  return sendSse(context, request, reply, stream);
}

/** @param latest of a task that waits to run again the attempt to come: what an earlier one wrote is no part of it. */
function placeOf(
  task: TaskRow | undefined,
  lastId: unknown,
  stream: StreamName,
  attempt: string,
  latest: number,
): LogPlace {
  if (lastId !== undefined && lastId !== '') return resumed(task, parseLogId(lastId, stream), stream, attempt);
  if (attempt === 'all') return { attempt: 1, offset: 0, announce: true, only: false };
  if (attempt === 'latest') return { attempt: latest, offset: 0, announce: true, only: false };
  return { attempt: attemptOf(task, attempt).n, offset: 0, announce: true, only: true };
}

/** Where the client says it stopped, if it can have been there. */
function resumed(task: TaskRow | undefined, place: LogPlace, stream: StreamName, wanted: string): LogPlace {
  const only = /^\d/.test(wanted);
  if (only && Number(wanted) !== place.attempt) {
    throw new SkeinError('invalid-request', `Last-Event-ID is of attempt ${place.attempt}, not of ${wanted}`, {
      fix: 'send the id that the stream gave, or none',
    });
  }
  checkOffset(attemptOf(task, String(place.attempt)), stream, place.offset);
  return { ...place, only };
}

function attemptOf(task: TaskRow | undefined, wanted: string): AttemptRow {
  const found =
    wanted === 'latest' ? task?.attempts.at(-1) : task?.attempts.find((attempt) => attempt.n === Number(wanted));
  if (found !== undefined) return found;
  throw new SkeinError('not-found', wanted === 'latest' ? 'the task has not started' : `there is no attempt ${wanted}`);
}

async function read(
  context: Context,
  request: Request,
  reply: Reply,
  { job }: FoundJob,
  n: number,
  wanted: Wanted,
): Promise<Reply> {
  if (wanted.attempt === 'all') {
    throw new SkeinError('invalid-request', "the query's field attempt can be all only where the log is followed", {
      fix: 'ask for one attempt, or follow it: Accept: text/event-stream',
      extra: { field: 'attempt' },
    });
  }
  const name = wanted.stream ?? 'out';
  const task = context.jobs.task(job.jobId, n);
  const latest = wanted.attempt === undefined || wanted.attempt === 'latest';
  // Nothing written is the whole truth of a task that waits: `logs` of it is empty, not an error.
  if (latest && (task === undefined || task.attempts.length === 0)) {
    return reply.header('content-type', LOG_TYPE).header('skein-attempt', 0).send('');
  }
  const attempt = attemptOf(task, wanted.attempt ?? 'latest');
  reply.header('skein-attempt', attempt.n);
  const span = name === 'out' ? attempt.stdout : attempt.stderr;
  if (span !== null || attempt.exit !== null) {
    return serve(request, reply, {
      totalBytes: span?.sizeBytes ?? 0,
      etag: `${attempt.fence}.${name}`,
      type: LOG_TYPE,
      immutable: false,
      open: (range) => {
        if (span === null) throw new Error('bug: an empty log was opened');
        return context.mesh.blobs.readSpan({ ...span, offset: span.offset + range.offset, sizeBytes: range.sizeBytes });
      },
    });
  }
  const source = { jobId: job.jobId, task: n, attempt: attempt.n, stream: name };
  return readLive(context, request, reply, source);
}

type LiveSource = { jobId: FoundJob['job']['jobId']; task: number; attempt: number; stream: StreamName };

/** A log that has no end yet: what there is by now. */
async function readLive(context: Context, request: Request, reply: Reply, source: LiveSource): Promise<Reply> {
  reply.header('content-type', LOG_TYPE).header('cache-control', 'no-store').header('accept-ranges', 'bytes');
  const from = /^bytes=(\d{1,15})-(\d{0,15})$/.exec(request.headers.range ?? '');
  const chunks = liveChunks(context, source, Number(from?.[1] ?? 0), gone(reply));
  if (from === null) return reply.send(Readable.from(chunks, { objectMode: false }));
  const last = from[2] === '' ? Number.POSITIVE_INFINITY : Number(from[2]);
  const most = Math.min(LIVE_RANGE_BYTES_MAX, last - Number(from[1]) + 1);
  const bytes = await firstBytes(chunks, most);
  if (bytes.length === 0) {
    throw new SkeinError('range-not-satisfiable', 'nothing has been written beyond there yet');
  }
  const range = { offset: Number(from[1]), sizeBytes: bytes.length };
  return reply.status(206).header('content-range', contentRange(range, '*')).send(bytes);
}

async function* liveChunks({ mesh }: Context, source: LiveSource, from: number, signal: AbortSignal) {
  for (let offset = from; ; ) {
    const chunk = await mesh.readLog({ ...source, offset, waitMs: 0 }, signal);
    if (chunk.bytes.length > 0) yield chunk.bytes;
    if (chunk.end || chunk.bytes.length === 0) return;
    offset = chunk.offset + chunk.bytes.length;
  }
}

async function firstBytes(chunks: AsyncIterable<Uint8Array>, most: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    parts.push(chunk);
    length += chunk.length;
    if (length >= most) break;
  }
  return Buffer.concat(parts).subarray(0, Math.max(0, most));
}
