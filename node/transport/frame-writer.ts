// Writes frames to one libp2p stream: those of one turn leave together, and nothing is handed over while the stream is full.
// `stream.onDrain()` is not used, as its promise never resets (LIBP2P.md, trap 1); the `drain` event is.
import type { Stream } from '@libp2p/interface';
import { SkeinError } from '../../protocol/errors.ts';

const queueMaxBytes = 16 * 1_048_576;
const batchBytes = 65_536;
/** Larger parts are sent as they are: copying them into a batch would cost more than a second write. */
const copyMaxBytes = 16_384;

export class FrameWriter {
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #stream: Stream | undefined;
  #scheduled = false;
  #full = false;

  /** Frames may be queued before there is a stream. Fails with `too-many-requests` where the other side reads too slowly. */
  write(frame: readonly Uint8Array[]): void {
    if (this.#queuedBytes > queueMaxBytes) {
      throw new SkeinError('too-many-requests', 'the other side does not read as fast as this one writes');
    }
    for (const part of frame) {
      if (part.length === 0) continue;
      this.#queue.push(part);
      this.#queuedBytes += part.length;
    }
    this.#schedule();
  }

  attach(stream: Stream): void {
    this.#stream = stream;
    this.#full = false;
    this.#schedule();
  }

  /** Forgets the stream and everything that is queued. */
  reset(): void {
    this.#stream = undefined;
    this.#queue = [];
    this.#queuedBytes = 0;
  }

  #schedule(): void {
    if (this.#scheduled || this.#full || this.#stream === undefined || this.#queue.length === 0) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    let next = 0;
    try {
      while (next < this.#queue.length && !this.#full) {
        const end = batchEnd(this.#queue, next);
        const batch = joined(this.#queue, next, end);
        next = end;
        this.#queuedBytes -= batch.length;
        if (!stream.send(batch)) this.#waitForRoom(stream);
      }
      this.#queue = next === this.#queue.length ? [] : this.#queue.slice(next);
    } catch (error) {
      // The stream closed under us; its `close` event fails whatever waits.
      this.reset();
      stream.abort(error as Error);
    }
  }

  #waitForRoom(stream: Stream): void {
    this.#full = true;
    const onDrain = () => {
      if (this.#stream !== stream) return;
      this.#full = false;
      this.#schedule();
    };
    stream.addEventListener('drain', onDrain, { once: true });
  }
}

function batchEnd(queue: readonly Uint8Array[], start: number): number {
  let bytes = 0;
  let end = start;
  for (let part = queue[end]; part !== undefined; part = queue[++end]) {
    if (end > start && (part.length > copyMaxBytes || bytes + part.length > batchBytes)) break;
    bytes += part.length;
    if (part.length > copyMaxBytes) return end + 1;
  }
  return end;
}

function joined(queue: readonly Uint8Array[], start: number, end: number): Uint8Array {
  const first = queue[start];
  if (end - start === 1 && first !== undefined) return first;
  return Buffer.concat(queue.slice(start, end));
}
