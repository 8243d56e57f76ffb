// Requests and answers on a long-lived stream:
//
//   u32 length of the rest | u32 request id | u8 kind | request: u8 n, n method, body · answer: body · failure: JSON
import { Type } from 'typebox';
import { type ErrorCode, failures, SkeinError } from '../errors.ts';
import { bodyMaxBytes, codec, textOf, utf8 } from './codec.ts';
import { closed, Text } from './shapes.ts';

const lengthBytes = 4;
const headBytes = 9;
const methodMaxBytes = 64;
/** The largest `length` that a reader takes; beyond it the stream is not one of ours. */
export const frameMaxBytes = bodyMaxBytes + methodMaxBytes + 16;

const kinds = { request: 1, answer: 2, failure: 3 } as const;

export type Frame =
  | { readonly kind: 'request'; readonly id: number; readonly method: string; readonly body: Uint8Array }
  | { readonly kind: 'answer'; readonly id: number; readonly body: Uint8Array }
  | { readonly kind: 'failure'; readonly id: number; readonly error: SkeinError };

/** @returns head and body apart, so that a large body need not be copied. Fails with `too-large`. */
export function encodeRequest(id: number, method: string, body: Uint8Array): readonly [Uint8Array, Uint8Array] {
  const name = utf8(method);
  if (name.length > methodMaxBytes) throw new SkeinError('too-large', `the method name ${method} is too long`);
  const head = frameHead(id, kinds.request, 1 + name.length, body);
  head[headBytes] = name.length;
  head.set(name, headBytes + 1);
  return [head, body];
}

/** Fails with `too-large`. */
export function encodeAnswer(id: number, body: Uint8Array): readonly [Uint8Array, Uint8Array] {
  return [frameHead(id, kinds.answer, 0, body), body];
}

/** Causes and stacks stay here: they may hold paths and secrets of this machine. */
export function encodeFailure(id: number, error: SkeinError): readonly [Uint8Array, Uint8Array] {
  const { code, message, fix, retryAfterMs, extra } = error;
  let body = utf8(JSON.stringify({ code, message: message.slice(0, 4096), fix, retryAfterMs, extra }));
  if (body.length > failureMaxBytes) body = utf8(JSON.stringify({ code, message: message.slice(0, 4096), extra: {} }));
  return [frameHead(id, kinds.failure, 0, body), body];
}

function frameHead(id: number, kind: number, extraBytes: number, body: Uint8Array): Uint8Array {
  if (body.length > bodyMaxBytes)
    throw new SkeinError('too-large', `a body of ${body.length} bytes, ${bodyMaxBytes} are allowed`);
  const head = new Uint8Array(headBytes + extraBytes);
  const view = new DataView(head.buffer);
  view.setUint32(0, headBytes - 4 + extraBytes + body.length);
  view.setUint32(4, id);
  head[8] = kind;
  return head;
}

const failureMaxBytes = 65_536;
const Failure = Type.Object(
  {
    code: Text(64),
    message: Text(8192),
    fix: Type.Optional(Text(8192)),
    retryAfterMs: Type.Optional(Type.Number({ minimum: 0 })),
    extra: Type.Record(Type.String(), Type.Unknown()),
  },
  closed,
);
const failureCodec = codec('a failure', Failure, failureMaxBytes);

/** Gathers bytes of a stream into frames. */
export class FrameReader {
  /** The frame under way, length included; until its length is known, room for that alone. */
  #frame = new Uint8Array(lengthBytes);
  #filled = 0;

  /**
   * Frames that are whole now; their bodies may be views of what was pushed. What is not whole is copied to its place at
   * once, so that the pieces of bulk data die young. Fails with `invalid-request`: then drop the stream.
   */
  push(pieces: Uint8Array | Iterable<Uint8Array>): Frame[] {
    const frames: Frame[] = [];
    for (const piece of pieces instanceof Uint8Array ? [pieces] : pieces) {
      // A plain view: what a stream hands over may be of a subclass whose slice() does not copy.
      const bytes = new Uint8Array(piece.buffer, piece.byteOffset, piece.length);
      for (let at = 0; at < bytes.length; ) {
        at += this.#filled === 0 ? this.#takeWhole(bytes, at, frames) : this.#fill(bytes, at, frames);
      }
    }
    return frames;
  }

  /** @returns how many bytes were taken, at least one */
  #takeWhole(bytes: Uint8Array, at: number, frames: Frame[]): number {
    const size = bytes.length - at < lengthBytes ? Number.POSITIVE_INFINITY : frameSize(bytes, at);
    if (bytes.length - at < size) return this.#fill(bytes, at, frames);
    frames.push(decodeFrame(bytes.subarray(at + lengthBytes, at + size)));
    return size;
  }

  #fill(bytes: Uint8Array, at: number, frames: Frame[]): number {
    const taken = Math.min(this.#frame.length - this.#filled, bytes.length - at);
    this.#frame.set(bytes.subarray(at, at + taken), this.#filled);
    this.#filled += taken;
    if (this.#filled < this.#frame.length) return taken;
    const whole = this.#frame;
    if (whole.length === lengthBytes) {
      this.#frame = new Uint8Array(frameSize(whole, 0));
      this.#frame.set(whole);
      return taken;
    }
    this.#frame = new Uint8Array(lengthBytes);
    this.#filled = 0;
    frames.push(decodeFrame(whole.subarray(lengthBytes)));
    return taken;
  }
}

/** With the length itself. Judged before anything is allocated for it. */
function frameSize(bytes: Uint8Array, at: number): number {
  const length = new DataView(bytes.buffer, bytes.byteOffset + at, lengthBytes).getUint32(0);
  if (length < headBytes - lengthBytes || length > frameMaxBytes) {
    throw new SkeinError('invalid-request', `a frame of ${length} bytes`);
  }
  return lengthBytes + length;
}

function decodeFrame(bytes: Uint8Array): Frame {
  const id = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0);
  const rest = bytes.subarray(headBytes - 4);
  switch (bytes[4]) {
    case kinds.request: {
      const nameBytes = rest[0] ?? 0;
      if (nameBytes > methodMaxBytes || rest.length < 1 + nameBytes)
        throw new SkeinError('invalid-request', 'a cut request');
      const method = textOf(rest.subarray(1, 1 + nameBytes), 'a method name');
      return { kind: 'request', id, method, body: rest.subarray(1 + nameBytes) };
    }
    case kinds.answer:
      return { kind: 'answer', id, body: rest };
    case kinds.failure:
      return { kind: 'failure', id, error: decodeFailure(rest) };
    default:
      throw new SkeinError('invalid-request', `a frame of kind ${bytes[4]}`);
  }
}

function decodeFailure(bytes: Uint8Array): SkeinError {
  const { code, message, fix, retryAfterMs, extra } = failureCodec.decode(bytes);
  const known = Object.hasOwn(failures, code) ? (code as ErrorCode) : 'internal-error';
  return new SkeinError(known, message, {
    extra,
    ...(fix === undefined ? {} : { fix }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}
