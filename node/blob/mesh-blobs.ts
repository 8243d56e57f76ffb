// The blobs of the mesh as one gateway has them: what is not here is brought from a gateway that has it, and stays.
import type { Readable } from 'node:stream';
import { SkeinError } from '../../protocol/errors.ts';
import type { PeerId, Sha256 } from '../../protocol/ids.ts';
import type { Clock } from '../../protocol/time.ts';
import { inTime } from '../in-time.ts';
import { ranked } from '../policy/holders.ts';
import type { Transport } from '../transport/port.ts';
import type { Fetcher } from './fetch.ts';
import { notHere } from './files.ts';
import { type GatewayPeers, othersOf } from './gateways.ts';
import { batchesOf, heldBy } from './offer.ts';
import type { BlobStat, BlobStore } from './port.ts';

const STATS_AT_ONCE = 32;
/** A transfer that nobody waits for any more goes on: it ends when its chunks stop coming. */
const never = new AbortController().signal;

export interface MeshBlobsParts {
  readonly transport: Pick<Transport, 'call' | 'self'>;
  readonly store: BlobStore;
  readonly fetcher: Fetcher;
  readonly gateways: GatewayPeers;
  readonly clock: Clock;
}

export class MeshBlobs implements Pick<BlobStore, 'stat' | 'read' | 'chunk'> {
  readonly #parts: MeshBlobsParts;

  constructor(parts: MeshBlobsParts) {
    this.#parts = parts;
  }

  /** Undefined where nobody who can be asked has it; otherwise it is here now. */
  async stat(sha256: Sha256): Promise<BlobStat | undefined> {
    try {
      return await this.bring(sha256);
    } catch (error) {
      if (isElsewhere(error)) return undefined;
      throw error;
    }
  }

  /** Fails as `bring`, and with `range-not-satisfiable`. */
  read(sha256: Sha256, range?: { readonly offset: number; readonly sizeBytes: number }): Promise<Readable> {
    return this.#through(sha256, () => this.#parts.store.read(sha256, range));
  }

  chunk(sha256: Sha256, offset: number, maxBytes: number): Promise<Uint8Array> {
    return this.#through(sha256, () => this.#parts.store.chunk(sha256, offset, maxBytes));
  }

  async #through<T>(sha256: Sha256, read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof SkeinError) || error.code !== 'not-found') throw error;
      await this.bring(sha256);
      return read();
    }
  }

  /**
   * Resolves once it is here, durably. `also` may have it where no gateway does. Fails with `not-found` only where every
   * gateway of the mesh was asked, else with `unreachable` or as the transfer failed.
   */
  async bring(sha256: Sha256, also: readonly PeerId[] = []): Promise<BlobStat> {
    const { store, fetcher, gateways } = this.#parts;
    const here = await store.stat(sha256);
    if (here !== undefined) return here;
    const holders = [...ranked(sha256, this.#others()), ...also];
    try {
      if (holders.length > 0) return await fetcher.fetch(sha256, holders, never);
    } catch (error) {
      if (!(error instanceof SkeinError) || error.code !== 'not-found') throw error;
    }
    if (!gateways.anyAway()) throw notHere(sha256);
    throw new SkeinError('unreachable', `no gateway that can be reached has the blob ${sha256}, and one is away`, {
      fix: 'skein peers shows which; start it',
    });
  }

  /** Brings those that are not here, as far as they come in the time; they go on coming. @returns what did not come */
  async gather(
    blobs: Iterable<Sha256>,
    { withinMs, also = [] }: { readonly withinMs: number; readonly also?: readonly PeerId[] },
  ): Promise<readonly Sha256[]> {
    const missing = new Set(await this.#absent(blobs));
    if (missing.size === 0) return [];
    const bring = async (sha256: Sha256): Promise<void> => {
      try {
        await this.bring(sha256, also);
        missing.delete(sha256);
      } catch (error) {
        // Said by its being missing: whoever wants it asks again.
        if (!(error instanceof SkeinError)) throw error;
      }
    };
    await inTime(this.#parts.clock, withinMs, () => Promise.all(Array.from(missing, bring)));
    return [...missing];
  }

  /** Those that no gateway has that can be asked; no more of them than about `max`. */
  async lacking(blobs: Iterable<Sha256>, max = Number.POSITIVE_INFINITY): Promise<Sha256[]> {
    const lacking: Sha256[] = [];
    for (const batch of batchesOf(new Set(blobs))) {
      lacking.push(...(await this.#nowhere(await this.#absent(batch))));
      if (lacking.length >= max) break;
    }
    return lacking.slice(0, max);
  }

  async #nowhere(batch: readonly Sha256[]): Promise<readonly Sha256[]> {
    const others = this.#others();
    if (batch.length === 0 || others.length === 0) return batch;
    const held = await Promise.all(
      others.map((peer) => heldBy(this.#parts.transport, peer, batch).catch(() => new Set<Sha256>())),
    );
    return batch.filter((sha256) => !held.some((there) => there.has(sha256)));
  }

  async #absent(blobs: Iterable<Sha256>): Promise<Sha256[]> {
    const absent: Sha256[] = [];
    const asked = new Set(blobs);
    const left = asked.values();
    const look = async (): Promise<void> => {
      for (const sha256 of left) if ((await this.#parts.store.stat(sha256)) === undefined) absent.push(sha256);
    };
    await Promise.all(Array.from({ length: Math.min(STATS_AT_ONCE, asked.size) }, look));
    return absent;
  }

  #others(): readonly PeerId[] {
    return othersOf(this.#parts.gateways, this.#parts.transport.self);
  }
}

/** Failures of others; this side's disk is another matter. */
function isElsewhere(error: unknown): boolean {
  return error instanceof SkeinError && error.code !== 'disk-full' && error.code !== 'folder-unusable';
}
