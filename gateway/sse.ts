// One stream of server-sent events to one client. What is told by others is bounded: a client that does not read is dropped.
import { Readable } from 'node:stream';
import { problemOf } from '../protocol/api/problem.ts';
import type { Clock } from '../protocol/time.ts';
import { whyOut } from './auth.ts';
import type { Context, Reply, Request } from './context.ts';

const BUFFER_BYTES_MAX = 1024 * 1024;
const COMMENT_MS = 15_000;
const KEY_LOOK_MS = 1_000;

export interface SseEvent {
  readonly event: string;
  /** What the client sends as Last-Event-ID to go on after this one. */
  readonly id?: string;
  readonly data: unknown;
}

export class SseStream extends Readable {
  readonly #ended = new AbortController();
  #wake: (() => void) | undefined;

  constructor(clock: Clock) {
    super({ highWaterMark: 64 * 1024 });
    // The first bytes carry the headers: the client knows at once that it is connected.
    this.push(': skein\n\n');
    clock.every(COMMENT_MS, () => this.#write(': still here\n\n'), this.signal);
  }

  /** Fires when the client is gone or the stream has ended. */
  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  send({ event, id, data }: SseEvent): void {
    const head = id === undefined ? '' : `id: ${id}\n`;
    this.#write(`event: ${event}\n${head}data: ${JSON.stringify(data)}\n\n`);
  }

  end(): void {
    if (!this.destroyed && !this.readableEnded) this.push(null);
    this.#ended.abort();
  }

  /** Resolves once the client has taken what was sent, so that a source that can wait need not be buffered. */
  async drained(): Promise<void> {
    while (!this.destroyed && this.readableLength >= this.readableHighWaterMark) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  #write(text: string): void {
    if (this.signal.aborted || this.destroyed) return;
    this.push(text);
    if (this.readableLength > BUFFER_BYTES_MAX) this.destroy();
  }

  override _read(): void {
    this.#wake?.();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#ended.abort();
    this.#wake?.();
    done(error);
  }
}

/** Answers with the stream, which ends with its key. Whatever feeds it stops by its signal. */
export function sendSse({ mesh, clock }: Context, request: Request, reply: Reply, stream: SseStream): Reply {
  clock.every(
    KEY_LOOK_MS,
    () => {
      const failure = whyOut(mesh, request);
      if (failure === undefined) return;
      stream.send({ event: 'error', data: problemOf(failure, null) });
      stream.end();
    },
    stream.signal,
  );
  return reply
    .header('content-type', 'text/event-stream')
    .header('cache-control', 'no-store')
    .header('x-accel-buffering', 'no')
    .send(stream);
}
