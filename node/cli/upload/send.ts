// Brings to the mesh what it lacks of a plan: check, then put; a thousand at a time, a few uploads at once.
import { SkeinError } from '../../../protocol/errors.ts';
import { formatSize } from '../../config/units.ts';
import type { Jobs } from '../mesh.ts';
import { chunksOf } from './chunks.ts';
import { eachOf, type Source } from './hash.ts';

const CHECKED_AT_ONCE = 1000;
const ASKS_ABOVE_BYTES = 10 * 1024 ** 3;
const ASKS_ABOVE_FILES = 100_000;

export interface Sending {
  readonly files: number;
  readonly bytes: number;
  /** Files that were there already. */
  readonly known: number;
}

export interface SendOptions {
  readonly signal: AbortSignal;
  /** Returns where it may go on; asked only above 10 GiB or 100,000 files. */
  readonly confirm: (question: string) => Promise<void>;
  readonly onProgress: (sentBytes: number, of: Sending) => void;
}

/** Fails with `transfer-failed`, `digest-mismatch` (a file changed meanwhile), `disk-full`, … */
export async function send(uploads: ReadonlyMap<string, Source>, jobs: Jobs, options: SendOptions): Promise<Sending> {
  const missing = await findMissing([...uploads.keys()], jobs, options.signal);
  const of: Sending = {
    files: missing.length,
    bytes: missing.reduce((sum, { sha256 }) => sum + sizeOf(uploads.get(sha256)), 0),
    known: uploads.size - missing.length,
  };
  if (of.bytes > ASKS_ABOVE_BYTES || of.files > ASKS_ABOVE_FILES) {
    await options.confirm(`send ${of.files} files, ${formatSize(of.bytes)}?`);
  }
  let sentBytes = 0;
  await eachOf(missing, async ({ sha256, offset }) => {
    const source = uploads.get(sha256);
    if (source === undefined) return;
    await sendOne(sha256, offset, source, jobs, options.signal);
    sentBytes += sizeOf(source);
    options.onProgress(sentBytes, of);
  });
  return of;
}

async function findMissing(
  all: readonly string[],
  jobs: Jobs,
  signal: AbortSignal,
): Promise<readonly { readonly sha256: string; readonly offset: number }[]> {
  const missing: { readonly sha256: string; readonly offset: number }[] = [];
  for (let at = 0; at < all.length; at += CHECKED_AT_ONCE) {
    const check = await jobs.checkBlobs(all.slice(at, at + CHECKED_AT_ONCE), signal);
    missing.push(...check.missing);
  }
  return missing;
}

const sizeOf = (source: Source | undefined): number =>
  source === undefined ? 0 : source.kind === 'bytes' ? source.bytes.length : source.sizeBytes;

async function sendOne(sha256: string, offset: number, source: Source, jobs: Jobs, signal: AbortSignal): Promise<void> {
  try {
    await jobs.upload({ sha256, sizeBytes: sizeOf(source), offset, open: (from) => bytesOf(source, from) }, signal);
  } catch (error) {
    if (!(error instanceof SkeinError) || error.code !== 'digest-mismatch') throw error;
    throw new SkeinError('digest-mismatch', `${nameOf(source)} changed while it was sent`, {
      cause: error,
      fix: 'nothing was submitted; run it again',
    });
  }
}

const nameOf = (source: Source): string => (source.kind === 'file' ? source.local : source.because);

async function* bytesOf(source: Source, from: number): AsyncIterable<Uint8Array> {
  if (source.kind === 'bytes') {
    yield source.bytes.subarray(from);
    return;
  }
  if (source.sizeBytes === from) return;
  // To the size that was hashed: a file that grew meanwhile must not be cut off by the gateway in the middle.
  yield* chunksOf(source.local, { start: source.start + from, end: source.start + source.sizeBytes });
}
