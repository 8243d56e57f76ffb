// Puts what is here on other gateways before the log names it: they are offered what they are not known to have, and pull it.
import { SkeinError } from '../../protocol/errors.ts';
import type { PeerId, Sha256 } from '../../protocol/ids.ts';
import type { Clock } from '../../protocol/time.ts';
import { inTime } from '../in-time.ts';
import type { Log } from '../log.ts';
import { COPIES, ranked } from '../policy/holders.ts';
import type { Transport } from '../transport/port.ts';
import { type GatewayPeers, othersOf } from './gateways.ts';
import { batchesOf, heldBy, offer } from './offer.ts';
import type { BlobStat, BlobStore } from './port.ts';

/** A pull that takes longer goes on without anybody's waiting for it. */
const PATIENCE_MS = 60_000;
/** Half of the time for which a sweep spares what was offered or asked for. */
const BELIEVED_MS = 12 * 3_600_000;
/** Of one gateway; about 10 MB. */
const KNOWN_MAX = 50_000;

export interface CopiesParts {
  readonly transport: Pick<Transport, 'call' | 'self' | 'onConnection'>;
  readonly store: Pick<BlobStore, 'stat'>;
  readonly gateways: GatewayPeers;
  readonly clock: Clock;
  readonly out: Log;
}

export class Copies {
  readonly #parts: CopiesParts;
  /** What other gateways are known to have, and since when, the oldest first. */
  readonly #known = new Map<PeerId, Map<Sha256, number>>();
  readonly #making = new Map<Sha256, Promise<void>>();

  constructor(parts: CopiesParts) {
    this.#parts = parts;
    // It may come back with another disk.
    parts.transport.onConnection((peer) => this.#known.delete(peer));
  }

  /** Whether no other gateway can be reached. */
  isSole(): boolean {
    return this.#others().length === 0;
  }

  isGateway(peer: PeerId): boolean {
    return this.#parts.gateways.connected().includes(peer);
  }

  /**
   * Resolves once these blobs, which are here, are on as many gateways as they should be, or on as many as would take them
   * within a minute: a duty restores what is missing. At once where this is the only gateway.
   */
  async make(blobs: Iterable<Sha256>): Promise<void> {
    const others = this.#others();
    if (others.length === 0) return;
    const making = new Set<Promise<void>>();
    const fresh: Sha256[] = [];
    for (const sha256 of new Set(blobs)) {
      const running = this.#making.get(sha256);
      if (running !== undefined) making.add(running);
      else if (this.#next(sha256, others, nobody).length > 0) fresh.push(sha256);
    }
    if (fresh.length > 0) making.add(this.#start(fresh));
    await Promise.all(making);
  }

  #start(blobs: readonly Sha256[]): Promise<void> {
    const made = inTime(this.#parts.clock, PATIENCE_MS, (over) => this.#copy(blobs, over))
      .then(() => undefined)
      .finally(() => {
        for (const sha256 of blobs) this.#making.delete(sha256);
      });
    for (const sha256 of blobs) this.#making.set(sha256, made);
    return made;
  }

  async #copy(blobs: readonly Sha256[], over: AbortSignal): Promise<void> {
    for (const batch of batchesOf(blobs)) {
      if (over.aborted) return;
      const found = await Promise.all(batch.map((sha256) => this.#parts.store.stat(sha256)));
      await this.#copyBatch(
        found.filter((blob) => blob !== undefined),
        over,
      );
    }
  }

  /** One call to a gateway for all that it should have; who fails is passed over. */
  async #copyBatch(batch: readonly BlobStat[], over: AbortSignal): Promise<void> {
    const failed = new Set<PeerId>();
    while (!over.aborted) {
      const others = this.#others();
      const wanted = new Map<PeerId, BlobStat[]>();
      for (const blob of batch) {
        for (const peer of this.#next(blob.sha256, others, failed)) {
          const blobs = wanted.get(peer);
          if (blobs === undefined) wanted.set(peer, [blob]);
          else blobs.push(blob);
        }
      }
      if (wanted.size === 0) return;
      const offers = Array.from(wanted, async ([peer, blobs]) => {
        if (!(await this.#offer(peer, blobs, over))) failed.add(peer);
      });
      await Promise.all(offers);
    }
  }

  /** The gateways that should be offered it next. */
  #next(sha256: Sha256, others: readonly PeerId[], failed: ReadonlySet<PeerId>): readonly PeerId[] {
    const open = others.filter((peer) => !this.#isKnown(peer, sha256));
    const short = Math.min(COPIES - 1, others.length) - (others.length - open.length);
    if (short <= 0) return [];
    const willing = open.filter((peer) => !failed.has(peer));
    return ranked(sha256, willing).slice(0, short);
  }

  /** @returns whether it has them all now */
  async #offer(peer: PeerId, blobs: readonly BlobStat[], over: AbortSignal): Promise<boolean> {
    const hashes = blobs.map(({ sha256 }) => sha256);
    try {
      await offer(this.#parts, peer, blobs, over);
      this.#note(peer, hashes);
      return true;
    } catch (error) {
      if (!(error instanceof SkeinError)) throw error;
      this.#parts.out.debug({ peer, blobs: blobs.length, err: error }, 'a gateway did not take all copies');
      // One that failed must not hide those that came.
      if (error.code !== 'unreachable') this.#note(peer, await heldBy(this.#parts.transport, peer, hashes).catch(none));
      return false;
    }
  }

  #note(peer: PeerId, blobs: Iterable<Sha256>): void {
    const known = this.#known.get(peer) ?? new Map<Sha256, number>();
    this.#known.set(peer, known);
    const now = this.#parts.clock.monotonic();
    for (const sha256 of blobs) {
      known.delete(sha256);
      known.set(sha256, now);
    }
    for (const oldest of known.keys()) {
      if (known.size <= KNOWN_MAX) break;
      known.delete(oldest);
    }
  }

  #isKnown(peer: PeerId, sha256: Sha256): boolean {
    const since = this.#known.get(peer)?.get(sha256);
    return since !== undefined && this.#parts.clock.monotonic() - since < BELIEVED_MS;
  }

  #others(): readonly PeerId[] {
    return othersOf(this.#parts.gateways, this.#parts.transport.self);
  }
}

const nobody: ReadonlySet<PeerId> = new Set();
const none = (): ReadonlySet<Sha256> => new Set();
