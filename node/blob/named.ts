// Marks what the log's rows name, lists included: what the sweep spares, and what must be on other gateways too.
import { setImmediate } from 'node:timers/promises';
import { type ErrorCode, SkeinError } from '../../protocol/errors.ts';
import type { Sha256 } from '../../protocol/ids.ts';
import type { Random } from '../../protocol/random.ts';
import type { JobRow, RowKey, TaskRow } from '../../protocol/state/rows.ts';
import { anyManifest } from '../../protocol/wire/manifest.ts';
import { hashesIn, itemManifestOf, jobReferences, type References, taskReferences } from '../policy/references.ts';
import { Marks } from './marks.ts';
import type { BlobStore } from './port.ts';

/** Rows and blobs between two turns of the event loop: a pass must not delay a heartbeat. */
const PER_TURN = 256;
/** Manifests remembered as read; tasks of one job seldom share one, attempts and resubmitted jobs do. */
const MANIFESTS_KNOWN_MAX = 10_000;
/** Such a list leads nobody to its entries. One that is away, or that the disk would not give today, may be there tomorrow. */
const LOST: ReadonlySet<ErrorCode> = new Set(['not-found', 'invalid-request', 'too-large', 'digest-mismatch']);

export interface NamedParts {
  /** ReplicatedLog.scan. */
  readonly scan: <Row>(prefix: string) => AsyncIterable<readonly [RowKey<Row>, Row]>;
  /** Reads lists wherever in the mesh they are: what one of them names may be here although it is not. */
  readonly lists: Pick<BlobStore, 'read'>;
  readonly random: Random;
}

/** To be awaited in each turn of a loop, which ends where the signal fires. */
export function breather(signal: AbortSignal): () => Promise<void> | undefined {
  let turns = 0;
  return () => {
    signal.throwIfAborted();
    return ++turns % PER_TURN === 0 ? setImmediate() : undefined;
  };
}

/** Fails where rows or a list cannot be read now. `lost` hears of lists that nobody can read. */
export async function markNamed(
  parts: NamedParts,
  signal: AbortSignal,
  lost: (error: unknown) => void,
): Promise<Marks> {
  const naming = new Naming(parts, signal, lost);
  for await (const [, job] of parts.scan<JobRow>('job/')) await naming.mark(jobReferences(job));
  for await (const [, task] of parts.scan<TaskRow>('task/')) await naming.mark(taskReferences(task));
  return naming.marks;
}

class Naming {
  readonly marks: Marks;
  readonly #lists: NamedParts['lists'];
  readonly #lost: (error: unknown) => void;
  readonly #breathe: () => Promise<void> | undefined;
  readonly #manifests = new Set<Sha256>();

  constructor({ lists, random }: NamedParts, signal: AbortSignal, lost: (error: unknown) => void) {
    this.marks = new Marks(random);
    this.#lists = lists;
    this.#lost = lost;
    this.#breathe = breather(signal);
  }

  async mark({ blobs, manifests }: References): Promise<void> {
    await this.#breathe();
    for (const sha256 of blobs) this.marks.add(sha256);
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
        for (const hash of hashesIn(element)) this.marks.add(hash);
        const list = itemManifestOf(element);
        if (list !== undefined) inner.add(list);
      }
    };
    try {
      const manifest = anyManifest();
      for await (const chunk of await this.#lists.read(sha256)) {
        manifest.push(chunk as Uint8Array);
        mark(manifest.take());
        await this.#breathe();
      }
      manifest.end();
      mark(manifest.take());
    } catch (error) {
      if (!(error instanceof SkeinError) || !LOST.has(error.code)) throw error;
      this.#lost(error);
    }
    return inner;
  }
}
