// JSON bodies of control messages: bytes in, a checked value out. The size is judged before anything is parsed.
import type { Static, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { SkeinError } from '../errors.ts';

/** The largest body of one request or answer, in bytes. */
export const bodyMaxBytes = 1_048_576;

export interface Codec<T> {
  /** Fails with `too-large`. */
  encode(value: T): Uint8Array;
  /** Fails with `invalid-request`, `too-large`. */
  decode(bytes: Uint8Array): T;
}

const utf8Encoder = new TextEncoder();
const utf8Decoder = new TextDecoder('utf-8', { fatal: true });

export const utf8 = (text: string): Uint8Array => utf8Encoder.encode(text);

/** Fails with `invalid-request`. */
export function textOf(bytes: Uint8Array, what: string): string {
  try {
    return utf8Decoder.decode(bytes);
  } catch (cause) {
    throw new SkeinError('invalid-request', `${what} is not UTF-8`, { cause });
  }
}

/** @param what names the message in errors, for instance `a heartbeat`. */
export function codec<S extends TSchema>(what: string, schema: S, maxBytes: number = bodyMaxBytes): Codec<Static<S>> {
  // Compiled at first use: a command line that only reads a ticket need not wait for thirty schemas.
  let validator: {
    Check(value: unknown): boolean;
    Errors(value: unknown): { instancePath: string; message: string }[];
  };
  return {
    encode(value) {
      const bytes = utf8(JSON.stringify(value));
      if (bytes.length > maxBytes) throw tooLarge(what, bytes.length, maxBytes);
      return bytes;
    },
    decode(bytes) {
      if (bytes.length > maxBytes) throw tooLarge(what, bytes.length, maxBytes);
      const value = parseJson(textOf(bytes, what), what);
      validator ??= Compile(schema as TSchema);
      if (validator.Check(value)) return value as Static<S>;
      const first = validator.Errors(value)[0];
      throw new SkeinError('invalid-request', `${what}: ${first?.instancePath ?? ''} ${first?.message ?? 'is wrong'}`);
    },
  };
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new SkeinError('invalid-request', `${what} is not JSON`, { cause });
  }
}

function tooLarge(what: string, bytes: number, maxBytes: number): SkeinError {
  return new SkeinError('too-large', `${what} has ${bytes} bytes, ${maxBytes} are allowed`);
}
