// Streams that outlive their connections: server-sent events that resume by id, bytes that resume by Range.
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { SkeinError } from '../../protocol/errors.ts';
import type { Clock } from '../../protocol/time.ts';
import type { Patience } from './patience.ts';
import { type Answer, ConnectionLost, headerOf, type Transport } from './transport.ts';

export interface Line {
  readonly transport: Transport;
  readonly patience: Patience;
  readonly clock: Clock;
}

/** The gateway sends a comment every 15 s: after three missed ones the line is dead. */
const SILENCE_MS = 50_000;
const SSE_BUFFER_MAX = 4 * 1024 * 1024;

export interface StreamEvent {
  readonly event: string;
  readonly id: string | undefined;
  readonly data: unknown;
}

/** Events until the reader stops. It reconnects for as long as its patience lasts: it never ends by itself. */
export async function* events(line: Line, path: string, signal: AbortSignal): AsyncGenerator<StreamEvent> {
  const trial = line.patience.trial();
  let lastId: string | undefined;
  for (;;) {
    try {
      const headers = { accept: 'text/event-stream', ...(lastId === undefined ? {} : { 'last-event-id': lastId }) };
      const answer = await line.transport.send({ method: 'GET', path, headers, signal });
      line.patience.met();
      for await (const message of messages(line.clock, answer, signal)) {
        trial.progressed();
        lastId = message.id ?? lastId;
        yield { event: message.event ?? 'message', id: message.id, data: JSON.parse(message.data) };
      }
      throw new ConnectionLost('the stream ended in the middle', true, undefined);
    } catch (error) {
      await trial.failed(error, signal);
    }
  }
}

async function* messages(clock: Clock, answer: Answer, signal: AbortSignal): AsyncGenerator<EventSourceMessage> {
  const ready: EventSourceMessage[] = [];
  const parser = createParser({
    onEvent: (message) => ready.push(message),
    onError: (error) => {
      throw new ConnectionLost(`the stream is not well-formed: ${error.message}`, true, error);
    },
    maxBufferSize: SSE_BUFFER_MAX,
  });
  const decoder = new TextDecoder();
  for await (const chunk of chunks(clock, answer, signal)) {
    parser.feed(decoder.decode(chunk, { stream: true }));
    yield* ready.splice(0);
  }
}

/** The bytes of an answer; a line that falls silent counts as lost. */
async function* chunks(clock: Clock, answer: Answer, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  let heardAt = clock.monotonic();
  const done = new AbortController();
  clock.every(
    SILENCE_MS / 5,
    () => {
      if (clock.monotonic() - heardAt > SILENCE_MS) answer.body.destroy(new Error('the line fell silent'));
    },
    done.signal,
  );
  try {
    for await (const chunk of answer.body) {
      heardAt = clock.monotonic();
      yield chunk as Uint8Array;
      // A reader that takes its time is not a line that is silent.
      heardAt = clock.monotonic();
    }
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw new ConnectionLost('the connection broke in the middle', true, error);
  } finally {
    done.abort();
    answer.body.destroy();
  }
}

/** The bytes of a path from `offset` on. A connection that breaks is taken up where it broke, if the bytes are the same. */
export async function* download(
  line: Line,
  path: string,
  from: number,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const trial = line.patience.trial();
  let offset = from;
  let etag: string | undefined;
  let attempt: string | undefined;
  for (;;) {
    try {
      const answer = await part(line, path, offset, etag, signal);
      if (answer === undefined) return;
      etag ??= headerOf(answer, 'etag');
      // A log that still grows has no etag; what tells two of them apart is whose it is.
      attempt ??= headerOf(answer, 'skein-attempt');
      if (headerOf(answer, 'skein-attempt') !== attempt) throw changed(answer);
      for await (const chunk of chunks(line.clock, answer, signal)) {
        trial.progressed();
        offset += chunk.length;
        yield chunk;
      }
      // A log that still grows is told piece by piece, and has no end until there is nothing more.
      if (!headerOf(answer, 'content-range')?.endsWith('/*')) return;
    } catch (error) {
      await trial.failed(error, signal);
    }
  }
}

/** Undefined where nothing lies at or beyond the offset. */
async function part(
  { transport, patience }: Line,
  path: string,
  offset: number,
  etag: string | undefined,
  signal: AbortSignal | undefined,
): Promise<Answer | undefined> {
  const headers: Record<string, string> = offset === 0 ? {} : { range: `bytes=${offset}-` };
  if (offset > 0 && etag !== undefined) headers['if-range'] = etag;
  try {
    const answer = await transport.send({ method: 'GET', path, headers, signal });
    patience.met();
    if (offset === 0 || answer.status === 206) return answer;
    throw changed(answer);
  } catch (error) {
    if (error instanceof SkeinError && error.code === 'range-not-satisfiable') return undefined;
    throw error;
  }
}

function changed(answer: Answer): SkeinError {
  answer.body.destroy();
  return new SkeinError('transfer-failed', 'it changed while it was fetched', { fix: 'fetch it again' });
}
