// One side of a pull: whoever has blobs offers them to a gateway, which fetches them.
import { SkeinError } from '../../protocol/errors.ts';
import type { PeerId, Sha256 } from '../../protocol/ids.ts';
import type { Clock } from '../../protocol/time.ts';
import { blobBatchMax, blobMethods, pullCodec, sizesCodec, statCodec } from '../../protocol/wire/blob.ts';
import type { Transport } from '../transport/port.ts';
import type { BlobStat } from './port.ts';

const PULL_CALL_MS = 30_000;
const STAT_CALL_MS = 3_000;
const ASK_AGAIN_MS = 100;

/** As many blobs as one call takes. */
export function* batchesOf<T>(blobs: Iterable<T>): Generator<T[]> {
  let batch: T[] = [];
  for (const blob of blobs) {
    batch.push(blob);
    if (batch.length < blobBatchMax) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

export interface OfferParts {
  readonly transport: Pick<Transport, 'call'>;
  readonly clock: Pick<Clock, 'sleep'>;
}

/**
 * Resolves once the gateway has this batch, durably. Asks again for as long as it says that it still fetches: it gives up by
 * itself when nothing comes.
 */
export async function offer(
  { transport, clock }: OfferParts,
  peer: PeerId,
  batch: readonly BlobStat[],
  signal: AbortSignal,
): Promise<void> {
  const body = pullCodec.encode([...batch]);
  for (;;) {
    try {
      await transport.call(peer, 'blob', blobMethods.pull, body, { timeoutMs: PULL_CALL_MS, signal });
      return;
    } catch (error) {
      if (!(error instanceof SkeinError) || error.code !== 'not-durable') throw error;
      await clock.sleep(ASK_AGAIN_MS, signal);
    }
  }
}

/** Those of a batch that a peer has. They count as used there: no sweep takes them for a day. */
export async function heldBy(
  transport: Pick<Transport, 'call'>,
  peer: PeerId,
  batch: readonly Sha256[],
): Promise<ReadonlySet<Sha256>> {
  const options = { timeoutMs: STAT_CALL_MS };
  const answer = await transport.call(peer, 'blob', blobMethods.stat, statCodec.encode([...batch]), options);
  const sizes = sizesCodec.decode(answer);
  return new Set(batch.filter((_, at) => (sizes[at] ?? null) !== null));
}
