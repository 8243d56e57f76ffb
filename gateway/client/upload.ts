// Uploads one blob. A small one goes at once; a large one in an upload that resumes where a broken connection left it.
import { SkeinError } from '../../protocol/errors.ts';
import type { Line } from './streams.ts';
import { headerOf } from './transport.ts';

export interface Upload {
  readonly sha256: string;
  readonly sizeBytes: number;
  /** Where an upload that was begun before goes on; 0 for a new one. */
  readonly offset: number;
  /** The bytes from an offset on; asked again after a broken connection. */
  readonly open: (offset: number) => AsyncIterable<Uint8Array>;
}

const AT_ONCE_BYTES_MAX = 1024 * 1024;

export async function upload(line: Line, blob: Upload, signal?: AbortSignal): Promise<void> {
  if (blob.sizeBytes <= AT_ONCE_BYTES_MAX && blob.offset === 0) return putWhole(line, blob, signal);
  const trial = line.patience.trial();
  let offset = blob.offset;
  for (;;) {
    const before = offset;
    try {
      if (await append(line, blob, offset, signal)) return;
      throw new SkeinError('transfer-failed', `the upload of ${blob.sha256} ended before the file did`);
    } catch (error) {
      const told = error instanceof SkeinError && error.code === 'bad-offset';
      if (!told) await trial.failed(error, signal);
      offset = await line.patience.persist(() => whereTo(line, blob.sha256, signal), signal);
      if (offset === blob.sizeBytes) return;
      if (offset > before) trial.progressed();
      else if (told)
        await trial.failed(new SkeinError('not-durable', 'the upload does not go on', { cause: error }), signal);
    }
  }
}

async function putWhole({ transport, patience }: Line, blob: Upload, signal?: AbortSignal): Promise<void> {
  await patience.persist(async () => {
    const answer = await transport.send({
      method: 'PUT',
      path: `/v1/blobs/${blob.sha256}`,
      body: { source: blob.open(0), sizeBytes: blob.sizeBytes },
      signal,
    });
    answer.body.resume();
  }, signal);
}

/** True once the blob is whole there. */
async function append({ transport }: Line, blob: Upload, offset: number, signal?: AbortSignal): Promise<boolean> {
  const answer = await transport.send({
    method: 'PATCH',
    path: `/v1/blobs/${blob.sha256}/upload`,
    headers: { 'upload-offset': String(offset), 'upload-length': String(blob.sizeBytes) },
    body: { source: blob.open(offset), sizeBytes: blob.sizeBytes - offset },
    signal,
  });
  answer.body.resume();
  return answer.status === 201;
}

async function whereTo({ transport }: Line, sha256: string, signal?: AbortSignal): Promise<number> {
  const answer = await transport.send({ method: 'HEAD', path: `/v1/blobs/${sha256}/upload`, signal });
  answer.body.resume();
  return Number(headerOf(answer, 'upload-offset') ?? 0);
}
