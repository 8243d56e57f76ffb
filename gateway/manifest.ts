// Manifest blobs: JSON lists that are too long for a log record. The gateway makes them and reads them back, bounded.
import { hash } from 'node:crypto';
import { SkeinError } from '../protocol/errors.ts';
import type { Sha256 } from '../protocol/ids.ts';
import { parseJson } from './bodies.ts';
import type { BlobPort } from './port.ts';

const MANIFEST_BYTES_MAX = 64 * 1024 * 1024;

/** The content of a manifest. Fails with `not-found`, `too-large`, `invalid-request`. Its form is the caller's to judge. */
export async function readJsonBlob<T>(blobs: BlobPort, sha256: Sha256): Promise<T> {
  const stat = await blobs.stat(sha256);
  if (stat === undefined) throw new SkeinError('not-found', `there is no blob ${sha256}`);
  if (stat.sizeBytes > MANIFEST_BYTES_MAX) throw new SkeinError('too-large', `the manifest ${sha256} is too large`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of await blobs.read(sha256)) chunks.push(chunk as Uint8Array);
  return parseJson(Buffer.concat(chunks)) as T;
}

/** Keeps a value as a blob and names it. */
export async function keepJsonBlob(blobs: BlobPort, value: unknown, signal: AbortSignal): Promise<Sha256> {
  const bytes = Buffer.from(JSON.stringify(value));
  const sha256 = hash('sha256', bytes, 'hex') as Sha256;
  await blobs.put(sha256, oneChunk(bytes), bytes.length, signal);
  return sha256;
}

async function* oneChunk(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}
