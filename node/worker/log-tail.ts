// Serves what a running attempt has written so far, straight from its file, waiting a little where nothing is new.
import { open } from 'node:fs/promises';
import { SkeinError } from '../../protocol/errors.ts';
import type { Clock } from '../../protocol/time.ts';
import { type LogPart, type LogRead, logPartCodec, logReadCodec } from '../../protocol/wire/work.ts';

const POLL_MS = 40;

export interface LogTailParts {
  readonly clock: Clock;
  /** The file of a stream, or undefined where this node has no such attempt. */
  readonly fileOf: (request: LogRead) => string | undefined;
  /** Whether the attempt's tree is still there to write more. */
  readonly runs: (request: LogRead) => boolean;
}

/** Fails with `not-found`, also once the file has become a blob. */
export async function serveLog(parts: LogTailParts, body: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
  const request = logReadCodec.decode(body);
  const path = parts.fileOf(request);
  if (path === undefined) throw new SkeinError('not-found', 'there is no such attempt here');
  const until = parts.clock.monotonic() + request.waitMs;
  for (;;) {
    // Asked before the file is read: what is written between the two is read, never lost behind an `end`.
    const runs = parts.runs(request);
    const bytes = await readPart(path, request);
    const part: LogPart = { bytes, end: !runs && bytes.length === 0 };
    if (bytes.length > 0 || !runs || parts.clock.monotonic() >= until) return logPartCodec.encode(part);
    await parts.clock.sleep(POLL_MS, signal);
  }
}

async function readPart(path: string, { offset, maxBytes }: LogRead): Promise<Uint8Array> {
  try {
    await using file = await open(path, 'r');
    const buffer = new Uint8Array(maxBytes);
    const { bytesRead } = await file.read(buffer, 0, maxBytes, offset);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      throw new SkeinError('not-found', 'the log is not in its file', { cause: error });
    throw error;
  }
}
