// Requests and answers on a long-lived stream:
//
//   u32 length of the rest | u32 request id | u8 kind | request: u8 n, n method, body · answer: body · failure: JSON
import { Type } from 'typebox';
import { type ErrorCode, failures, SkeinError } from '../errors.ts';
import { bodyMaxBytes, codec, textOf, utf8 } from './codec.ts';
import { closed, Text } from './shapes.ts';

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
  #parts: Uint8Array[] = [];
  #bytes = 0;
  #need = 4;

  /**
   * Frames that are whole now; their bodies may be views of what was pushed. A list of pieces is taken as it is: joining
   * it first would copy bulk data once more. Fails with `invalid-request`: then drop the stream.
   */
  push(pieces: Uint8Array | Iterable<Uint8Array>): Frame[] {
    for (const piece of pieces instanceof Uint8Array ? [pieces] : pieces) {
      this.#parts.push(piece);
      this.#bytes += piece.length;
    }
    if (this.#bytes < this.#need) return [];
    const only = this.#parts.length === 1 ? this.#parts[0] : undefined;
    // A plain view: what a stream hands over may be of a subclass whose slice() does not copy.
    const bytes =
      only === undefined ? join(this.#parts, this.#bytes) : new Uint8Array(only.buffer, only.byteOffset, only.length);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const frames: Frame[] = [];
    let at = 0;
    this.#need = 4;
    while (bytes.length - at >= 4) {
      const length = view.getUint32(at);
      if (length < headBytes - 4 || length > frameMaxBytes) {
        throw new SkeinError('invalid-request', `a frame of ${length} bytes`);
      }
      if (bytes.length - at < 4 + length) {
        this.#need = 4 + length;
        break;
      }
      frames.push(decodeFrame(bytes.subarray(at + 4, at + 4 + length)));
      at += 4 + length;
    }
    this.#parts = at < bytes.length ? [bytes.subarray(at)] : [];
    this.#bytes = bytes.length - at;
    return frames;
  }
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

function join(parts: readonly Uint8Array[], bytes: number): Uint8Array {
  const out = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
