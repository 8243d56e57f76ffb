// Reads JSON bodies: bounded in length, depth and time. A client that sends a byte a second holds a socket, not the door.
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { SkeinError } from '../protocol/errors.ts';
import type { Clock } from '../protocol/time.ts';

const DEPTH_MAX = 64;
const BODY_TIMEOUT_MS = 20_000;
const SWEEP_MS = 1000;

interface Reading {
  readonly deadline: number;
  readonly fail: (error: SkeinError) => void;
}

type Done = (error: Error | null, body?: unknown) => void;

/** One sweep judges all bodies that are still coming in: a timer for each would cost more than reading most of them. */
export class Bodies {
  readonly #clock: Clock;
  readonly #reading = new Set<Reading>();

  constructor(clock: Clock, stop: AbortSignal) {
    this.#clock = clock;
    clock.every(SWEEP_MS, () => this.#sweep(), stop);
  }

  read(raw: IncomingMessage, bytesMax: number, done: Done): void {
    const refusal = refusalOf(raw, bytesMax);
    if (refusal !== undefined) {
      done(refusal);
      this.#discard(raw);
      return;
    }
    const chunks: Buffer[] = [];
    let length = 0;
    let settled = false;
    const settle = (error: Error | null, body?: unknown): void => {
      if (settled) return;
      settled = true;
      this.#reading.delete(reading);
      raw.removeListener('data', onChunk);
      done(error, body);
    };
    const reading: Reading = { deadline: this.#clock.monotonic() + BODY_TIMEOUT_MS, fail: settle };
    const onChunk = (chunk: Buffer): void => {
      length += chunk.length;
      if (length <= bytesMax) {
        chunks.push(chunk);
        return;
      }
      settle(tooLarge(bytesMax));
      this.#discard(raw);
    };
    this.#reading.add(reading);
    raw.on('data', onChunk);
    raw.once('end', () => settleWith(settle, chunks, length));
    // Closed is every request in the end; only one that is still being read was cut short.
    const onCut = (): void => {
      if (!settled) settle(cutShort());
    };
    raw.once('error', onCut);
    raw.once('close', onCut);
  }

  /** Many clients see no answer before they have sent everything: the rest is taken, and thrown away, for a while. */
  #discard(raw: IncomingMessage): void {
    const rest: Reading = { deadline: this.#clock.monotonic() + BODY_TIMEOUT_MS, fail: () => raw.destroy() };
    this.#reading.add(rest);
    raw.once('close', () => this.#reading.delete(rest));
    raw.resume();
  }

  #sweep(): void {
    const now = this.#clock.monotonic();
    for (const reading of this.#reading) {
      if (now < reading.deadline) continue;
      this.#reading.delete(reading);
      const seconds = BODY_TIMEOUT_MS / 1000;
      reading.fail(new SkeinError('request-timeout', `the body was not there whole within ${seconds} s`));
    }
  }
}

function settleWith(settle: Done, chunks: readonly Buffer[], length: number): void {
  const bytes = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, length);
  try {
    settle(null, parseJson(bytes));
  } catch (error) {
    settle(error instanceof Error ? error : new SkeinError('invalid-request', 'the body is not JSON'));
  }
}

/** What the head alone tells. */
function refusalOf({ headers }: IncomingMessage, bytesMax: number): SkeinError | undefined {
  const coding = headers['content-encoding'] ?? 'identity';
  if (coding.toLowerCase() !== 'identity') {
    return new SkeinError('unsupported-media-type', `the body must be sent as it is, not as ${coding.slice(0, 40)}`, {
      fix: 'leave Content-Encoding out',
    });
  }
  return Number(headers['content-length'] ?? 0) > bytesMax ? tooLarge(bytesMax) : undefined;
}

const cutShort = (): SkeinError => new SkeinError('invalid-request', 'the connection closed before the body was whole');
const tooLarge = (bytesMax: number): SkeinError =>
  new SkeinError('too-large', `the body is larger than ${bytesMax} bytes`, {
    fix: 'send long lists as a manifest blob (/docs, POST /v1/jobs)',
    extra: { maxBytes: bytesMax },
  });

/** Nothing at all counts as an empty object: a POST that needs no field needs no body. */
export function parseJson(bytes: Buffer): unknown {
  if (bytes.length === 0) return {};
  // Decoding would put other characters in the place of what is none.
  if (!isUtf8(bytes)) throw new SkeinError('invalid-request', 'the body is not UTF-8');
  checkDepth(bytes);
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new SkeinError('invalid-request', `the body is not JSON: ${reasonOf(cause)}`, { cause });
  }
}

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message.slice(0, 200) : 'unreadable');

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Counts brackets outside strings: what recurses over a parsed body later must not meet one that is too deep for it. */
function checkDepth(bytes: Buffer): void {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (inString) {
      if (byte === BACKSLASH) at++;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) inString = true;
    else if (byte === 0x7b || byte === 0x5b) {
      if (++depth > DEPTH_MAX)
        throw new SkeinError('invalid-request', `the body nests deeper than ${DEPTH_MAX} levels`);
    } else if (byte === 0x7d || byte === 0x5d) depth--;
  }
}

/** A hook for paths whose body may be left out altogether. */
export function emptyBody(request: { body: unknown }, _reply: unknown, done: () => void): void {
  request.body ??= {};
  done();
}
