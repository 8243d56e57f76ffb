// Restores copies after a gateway died or came back without its disk: what is here and the log names is offered to the
// gateways that should have it and lack it. Each gateway does so for what it holds; which one should have what, all know alike.
import { SkeinError } from '../../protocol/errors.ts';
import type { PeerId, Sha256 } from '../../protocol/ids.ts';
import type { Clock } from '../../protocol/time.ts';
import { blobBatchMax } from '../../protocol/wire/blob.ts';
import { COPIES, ranked } from '../policy/holders.ts';
import type { Transport } from '../transport/port.ts';
import { type GatewayPeers, othersOf } from './gateways.ts';
import type { Marks } from './marks.ts';
import { breather, markNamed, type NamedParts } from './named.ts';
import { heldBy, offer } from './offer.ts';
import type { BlobStat, BlobStore } from './port.ts';

/** A gateway that restarts is no reason to copy half of what it has. */
const AWAY_MS = 60_000;
/** Between passes while all is well. */
const QUIET_MS = 60 * 60_000;
/** Between passes at least: each asks for every blob, and a poor connection comes and goes. */
const AGAIN_MS = 60_000;
const REST_MAX_MS = 5_000;

export interface RestorerParts extends NamedParts {
  readonly transport: Pick<Transport, 'call' | 'self' | 'onConnection'>;
  readonly store: Pick<BlobStore, 'list'>;
  readonly gateways: GatewayPeers;
  readonly clock: Clock;
}

export class Restorer {
  readonly #parts: RestorerParts;
  /** When each gateway was last seen connected. */
  readonly #seenAt = new Map<PeerId, number>();
  /** Raised with each connection of a gateway: who comes back may have lost what it had. */
  #arrivals = 0;
  #last: { readonly gateways: string; readonly at: number; readonly failure: unknown } | undefined;

  constructor(parts: RestorerParts) {
    this.#parts = parts;
    parts.transport.onConnection((peer, up) => {
      if (up && parts.gateways.connected().includes(peer)) this.#arrivals++;
      if (this.#seenAt.has(peer)) this.#seenAt.set(peer, parts.clock.monotonic());
    });
  }

  /** Does nothing where the last one is still good. Fails where something could not be restored, having tried the rest. */
  async pass(signal: AbortSignal): Promise<void> {
    const counted = this.#counted();
    if (othersOf(this.#parts.gateways, this.#parts.transport.self).length === 0) return;
    const gateways = [this.#arrivals, ...counted].join(' ');
    if (this.#isDue(gateways)) {
      const failure = await this.#restoreAll(counted, signal);
      this.#last = { gateways, at: this.#parts.clock.monotonic(), failure };
    }
    if (this.#last?.failure !== undefined) throw this.#last.failure;
  }

  #isDue(gateways: string): boolean {
    if (this.#last === undefined) return true;
    const sinceMs = this.#parts.clock.monotonic() - this.#last.at;
    const isGood = this.#last.gateways === gateways && this.#last.failure === undefined;
    return sinceMs >= (isGood ? QUIET_MS : AGAIN_MS);
  }

  /** The gateways among which copies are shared out. */
  #counted(): readonly PeerId[] {
    const now = this.#parts.clock.monotonic();
    for (const peer of this.#parts.gateways.connected()) this.#seenAt.set(peer, now);
    for (const [peer, at] of this.#seenAt) if (now - at >= AWAY_MS) this.#seenAt.delete(peer);
    return [...this.#seenAt.keys()].sort();
  }

  /** @returns the first failure */
  async #restoreAll(counted: readonly PeerId[], signal: AbortSignal): Promise<unknown> {
    let failure: unknown;
    const note = (error: unknown): void => {
      failure ??= error;
    };
    // A list that is lost is the sweep's to tell of: nothing restores it.
    const marks = await markNamed(this.#parts, signal, () => undefined);
    for await (const batch of this.#named(marks, signal)) await this.#restoreBatch(batch, counted, { signal, note });
    return failure;
  }

  /** What is here and named, in batches of what one call takes. */
  async *#named(marks: Marks, signal: AbortSignal): AsyncGenerator<readonly BlobStat[]> {
    const breathe = breather(signal);
    let batch: BlobStat[] = [];
    for await (const { sha256, sizeBytes } of this.#parts.store.list()) {
      await breathe();
      if (!marks.mayHave(sha256)) continue;
      batch.push({ sha256, sizeBytes });
      if (batch.length < blobBatchMax) continue;
      yield batch;
      batch = [];
    }
    if (batch.length > 0) yield batch;
  }

  async #restoreBatch(
    batch: readonly BlobStat[],
    counted: readonly PeerId[],
    { signal, note }: { readonly signal: AbortSignal; readonly note: (error: unknown) => void },
  ): Promise<void> {
    const { transport, gateways } = this.#parts;
    for (const peer of othersOf(gateways, transport.self)) {
      const wanted = batch.filter(({ sha256 }) => ranked(sha256, counted).slice(0, COPIES).includes(peer));
      try {
        if (wanted.length > 0) await this.#restoreAt(peer, wanted, signal);
      } catch (error) {
        if (signal.aborted || !(error instanceof SkeinError)) throw error;
        note(error);
      }
    }
  }

  async #restoreAt(peer: PeerId, wanted: readonly BlobStat[], signal: AbortSignal): Promise<void> {
    const { transport, clock } = this.#parts;
    const held = await heldBy(transport, peer, hashesOf(wanted));
    const lacking = wanted.filter(({ sha256 }) => !held.has(sha256));
    if (lacking.length === 0) return;
    const startedAt = clock.monotonic();
    await offer(this.#parts, peer, lacking, signal);
    // As long as it worked: whoever waits for a transfer has the other half of the line.
    const tookMs = clock.monotonic() - startedAt;
    if (tookMs > 0) await clock.sleep(Math.min(tookMs, REST_MAX_MS), signal);
  }
}

const hashesOf = (blobs: readonly BlobStat[]): Sha256[] => blobs.map(({ sha256 }) => sha256);
