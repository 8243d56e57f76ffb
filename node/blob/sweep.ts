// Removes blobs that no row names any more and nobody used for a day, and uploads that nobody went on with. Rows are read
// first; what is stored or checked meanwhile is young, and spared for that.
import type { Clock } from '../../protocol/time.ts';
import type { Marks } from './marks.ts';
import { breather, markNamed, type NamedParts } from './named.ts';
import type { BlobStore } from './port.ts';

const UNUSED_MS = 86_400_000;
const FAILURES_MAX = 10;

export interface SweepParts extends NamedParts {
  readonly store: BlobStore;
  readonly clock: Clock;
}

export interface SweepReport {
  readonly blobs: number;
  readonly bytes: number;
  readonly uploads: number;
  /** Blobs that could not be removed and manifests that could not be read: the first few. */
  readonly failures: readonly unknown[];
}

/** One pass. Fails where rows, lists or blobs cannot be read now, having removed nothing that it should not. */
export async function sweepBlobs(parts: SweepParts, signal: AbortSignal): Promise<SweepReport> {
  const failures: unknown[] = [];
  const note = (error: unknown): void => {
    if (failures.length < FAILURES_MAX) failures.push(error);
  };
  const unusedSince = parts.clock.now() - UNUSED_MS;
  const marks = await markNamed(parts, signal, note);
  const gone = await removeUnmarked(parts.store, { marks, unusedSince, note }, signal);
  const uploads = await parts.store.expireUploads(unusedSince);
  return { ...gone, uploads, failures };
}

async function removeUnmarked(
  store: BlobStore,
  {
    marks,
    unusedSince,
    note,
  }: { readonly marks: Marks; readonly unusedSince: number; readonly note: (error: unknown) => void },
  signal: AbortSignal,
): Promise<{ readonly blobs: number; readonly bytes: number }> {
  const gone = { blobs: 0, bytes: 0 };
  const breathe = breather(signal);
  for await (const { sha256, sizeBytes, usedAt } of store.list()) {
    await breathe();
    if (usedAt >= unusedSince || marks.mayHave(sha256)) continue;
    try {
      if (!(await store.remove(sha256, { unusedSince }))) continue;
      gone.blobs++;
      gone.bytes += sizeBytes;
    } catch (error) {
      note(error);
    }
  }
  return gone;
}
