// The requests of this node to one peer on one channel: a long-lived stream that is opened at need and again after it closed.
import type { Stream } from '@libp2p/interface';
import { SkeinError } from '../../protocol/errors.ts';
import type { PeerId } from '../../protocol/ids.ts';
import { encodeRequest, FrameReader } from '../../protocol/wire/frame.ts';
import type { Log } from '../log.ts';
import { FrameWriter } from './frame-writer.ts';
import type { PendingCalls } from './pending.ts';
import type { CallOptions, Channel } from './port.ts';

export interface OutgoingParts {
  readonly peer: PeerId;
  readonly channel: Channel;
  readonly pending: PendingCalls;
  readonly log: Log;
  /** Opens a stream over a connection that is there already; rejects where there is none. */
  readonly open: () => Promise<Stream>;
}

export class Outgoing {
  readonly #parts: OutgoingParts;
  readonly #writer = new FrameWriter();
  #stream: Stream | undefined;
  #opening = false;

  constructor(parts: OutgoingParts) {
    this.#parts = parts;
  }

  get isOpen(): boolean {
    return this.#stream !== undefined;
  }

  request(method: string, body: Uint8Array, options: CallOptions): Promise<Uint8Array> {
    const { pending, channel } = this.#parts;
    const { id, answer } = pending.start(channel, method, options);
    try {
      this.#writer.write(encodeRequest(id, method, body));
      this.#ensureOpen();
    } catch (error) {
      pending.reject(id, error);
    }
    return answer;
  }

  /** What waits fails with `unreachable`; the next request opens a new stream. */
  close(why: string, cause?: unknown): void {
    const { pending, peer, channel } = this.#parts;
    const stream = this.#stream;
    this.#stream = undefined;
    this.#writer.reset();
    pending.rejectAll(new SkeinError('unreachable', `${peer} cannot be reached: ${why}`, { cause }), channel);
    stream?.abort(new Error(why));
  }

  #ensureOpen(): void {
    if (this.#stream !== undefined || this.#opening) return;
    this.#opening = true;
    this.#parts
      .open()
      .then((stream) => this.#use(stream))
      .catch((error: unknown) => this.close((error as Error).message, error))
      .finally(() => {
        this.#opening = false;
      });
  }

  #use(stream: Stream): void {
    if (stream.status !== 'open') throw new Error('the stream was reset while it opened');
    this.#stream = stream;
    const reader = new FrameReader();
    stream.addEventListener('message', ({ data }) => {
      try {
        for (const frame of reader.push(data)) {
          if (frame.kind === 'answer') this.#parts.pending.resolve(frame.id, frame.body);
          else if (frame.kind === 'failure') this.#parts.pending.reject(frame.id, frame.error);
          else throw new SkeinError('invalid-request', 'a request where answers are expected');
        }
      } catch (error) {
        this.#parts.log.warn({ err: error, peer: this.#parts.peer }, 'an answer could not be read');
        if (this.#stream === stream) this.close('it answers in a form that is not known here', error);
      }
    });
    stream.addEventListener('remoteCloseWrite', () => this.#closed(stream));
    stream.addEventListener('close', ({ error }) => this.#closed(stream, error));
    this.#writer.attach(stream);
  }

  #closed(stream: Stream, error?: Error): void {
    if (this.#stream === stream) this.close('the connection closed', error);
  }
}
