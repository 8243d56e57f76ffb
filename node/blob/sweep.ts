// Removes blobs that no row names any more and nobody used for a day, and uploads that nobody went on with. Rows are read
// first; what is stored or checked meanwhile is young, and spared for that.
import { setImmediate } from 'node:timers/promises';
import { SkeinError } from '../../protocol/errors.ts';
import type { Sha256 } from '../../protocol/ids.ts';
import type { Random } from '../../protocol/random.ts';
import type { JobRow, RowKey, TaskRow } from '../../protocol/state/rows.ts';
import type { Clock } from '../../protocol/time.ts';
import { anyManifest } from '../../protocol/wire/manifest.ts';
import { hashesIn, itemManifestOf, jobReferences, type References, taskReferences } from '../policy/references.ts';
import { Marks } from './marks.ts';
import type { BlobStore } from './port.ts';

const UNUSED_MS = 86_400_000;
/** Rows and blobs between two turns of the event loop: a sweep must not delay a heartbeat. */
const PER_TURN = 256;
/** Manifests remembered as read; tasks of one job seldom share one, attempts and resubmitted jobs do. */
const MANIFESTS_KNOWN_MAX = 10_000;
const FAILURES_MAX = 10;

export interface SweepParts {
  readonly store: BlobStore;
  /** ReplicatedLog.scan. */
  readonly scan: <Row>(prefix: string) => AsyncIterable<readonly [RowKey<Row>, Row]>;
  readonly clock: Clock;
  readonly random: Random;
}

export interface SweepReport {
  readonly blobs: number;
  readonly bytes: number;
  readonly uploads: number;
  /** Blobs that could not be removed and manifests that could not be read: the first few. */
  readonly failures: readonly unknown[];
}

/** One pass. Fails where rows or blobs cannot be read, having removed nothing that it should not. */
export function sweepBlobs(parts: SweepParts, signal: AbortSignal): Promise<SweepReport> {
  return new Sweep(parts, signal).run();
}

class Sweep {
  readonly #store: BlobStore;
  readonly #scan: SweepParts['scan'];
  readonly #signal: AbortSignal;
  readonly #unusedSince: number;
  readonly #marks: Marks;
  readonly #manifests = new Set<Sha256>();
  readonly #failures: unknown[] = [];
  #turn = 0;

  constructor(parts: SweepParts, signal: AbortSignal) {
    this.#store = parts.store;
    this.#scan = parts.scan;
    this.#signal = signal;
    this.#unusedSince = parts.clock.now() - UNUSED_MS;
    this.#marks = new Marks(parts.random);
  }

  async run(): Promise<SweepReport> {
    for await (const [, job] of this.#scan<JobRow>('job/')) await this.#mark(jobReferences(job));
    for await (const [, task] of this.#scan<TaskRow>('task/')) await this.#mark(taskReferences(task));
    const { blobs, bytes } = await this.#removeUnmarked();
    const uploads = await this.#store.expireUploads(this.#unusedSince);
    return { blobs, bytes, uploads, failures: this.#failures };
  }

  async #mark({ blobs, manifests }: References): Promise<void> {
    await this.#breathe();
    for (const sha256 of blobs) this.#marks.add(sha256);
    for (const sha256 of manifests) {
      if (this.#manifests.has(sha256)) continue;
      if (this.#manifests.size < MANIFESTS_KNOWN_MAX) this.#manifests.add(sha256);
      for (const inner of await this.#markEntries(sha256)) await this.#markEntries(inner);
    }
  }

  /** @returns the lists that items in it name: an item of many files has one of its own. */
  async #markEntries(sha256: Sha256): Promise<ReadonlySet<Sha256>> {
    const inner = new Set<Sha256>();
    const mark = (elements: readonly unknown[]): void => {
      for (const element of elements) {
        for (const hash of hashesIn(element)) this.#marks.add(hash);
        const list = itemManifestOf(element);
        if (list !== undefined) inner.add(list);
      }
    };
    try {
      const manifest = anyManifest();
      for await (const chunk of await this.#store.read(sha256)) {
        manifest.push(chunk as Uint8Array);
        mark(manifest.take());
        await this.#breathe();
      }
      manifest.end();
      mark(manifest.take());
    } catch (error) {
      // One that is lost or malformed leads nobody to its entries. One that the disk would not give today may tomorrow.
      if (!(error instanceof SkeinError) || error.code === 'folder-unusable') throw error;
      this.#note(error);
    }
    return inner;
  }

  async #removeUnmarked(): Promise<{ readonly blobs: number; readonly bytes: number }> {
    let blobs = 0;
    let bytes = 0;
    for await (const { sha256, sizeBytes, usedAt } of this.#store.list()) {
      await this.#breathe();
      if (usedAt >= this.#unusedSince || this.#marks.mayHave(sha256)) continue;
      try {
        if (!(await this.#store.remove(sha256, { unusedSince: this.#unusedSince }))) continue;
        blobs++;
        bytes += sizeBytes;
      } catch (error) {
        this.#note(error);
      }
    }
    return { blobs, bytes };
  }

  async #breathe(): Promise<void> {
    this.#signal.throwIfAborted();
    if (++this.#turn % PER_TURN === 0) await setImmediate();
  }

  #note(error: unknown): void {
    if (this.#failures.length < FAILURES_MAX) this.#failures.push(error);
  }
}
