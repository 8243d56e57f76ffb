// Blobs between members: every node serves the chunks it is asked for; a gateway fetches what a worker offers it; a worker
// brings its inputs from gateways and its outputs to one. The transport lets members in and nobody else.
import { SkeinError } from '../../protocol/errors.ts';
import type { PeerId, Sha256 } from '../../protocol/ids.ts';
import type { Clock } from '../../protocol/time.ts';
import { blobMethods, pullCodec, readCodec, sizesCodec, statCodec } from '../../protocol/wire/blob.ts';
import { inTime } from '../in-time.ts';
import { ranked } from '../policy/holders.ts';
import type { Transport } from '../transport/port.ts';
import { unlessAborted } from '../unless-aborted.ts';
import type { Copies } from './copies.ts';
import type { Fetcher } from './fetch.ts';
import { Limiter } from './limiter.ts';
import { batchesOf, offer } from './offer.ts';
import type { BlobStat, BlobStore } from './port.ts';

const READS_AT_ONCE = 16;
const READS_WAITING_MAX = 4096;
const PULLS_MAX = 8192;
/** How long a gateway lets a worker wait before it says that a pull still goes on. */
const PULL_ANSWER_MS = 10_000;
/** A pull is ended by its own time limits, chunk by chunk. */
const never = new AbortController().signal;

export interface BlobServerParts {
  readonly transport: Transport;
  readonly store: BlobStore;
  readonly fetcher: Fetcher;
  readonly clock: Clock;
  /** A gateway's. */
  readonly copies?: Pick<Copies, 'make' | 'isGateway'> | undefined;
}

/** Answers requests on channel `blob`. */
export class BlobServer {
  readonly #transport: Transport;
  readonly #store: BlobStore;
  readonly #clock: Clock;
  readonly #gateway: boolean;
  readonly #fetcher: Fetcher;
  readonly #copies: BlobServerParts['copies'];
  readonly #reads = new Limiter({ max: READS_AT_ONCE, waitingMax: READS_WAITING_MAX });
  readonly #pulls = new Map<Sha256, Promise<void>>();

  constructor(parts: BlobServerParts, options: { readonly gateway: boolean }) {
    this.#transport = parts.transport;
    this.#store = parts.store;
    this.#clock = parts.clock;
    this.#gateway = options.gateway;
    this.#fetcher = parts.fetcher;
    this.#copies = parts.copies;
  }

  /** Once per node, whatever its roles: gateways fetch from workers. */
  start(): void {
    this.#transport.handle('blob', blobMethods.stat, (_from, body) => this.#onStat(body));
    this.#transport.handle('blob', blobMethods.read, (_from, body) => this.#onRead(body));
    if (this.#gateway) this.#transport.handle('blob', blobMethods.pull, (from, body) => this.#onPull(from, body));
  }

  async #onStat(body: Uint8Array): Promise<Uint8Array> {
    const sizes: (number | null)[] = [];
    for (const sha256 of statCodec.decode(body)) sizes.push((await this.#store.stat(sha256))?.sizeBytes ?? null);
    return sizesCodec.encode(sizes);
  }

  async #onRead(body: Uint8Array): Promise<Uint8Array> {
    const { sha256, offset, maxBytes } = readCodec.decode(body);
    return this.#reads.run(() => this.#store.chunk(sha256, offset, maxBytes));
  }

  async #onPull(from: PeerId, body: Uint8Array): Promise<Uint8Array> {
    const offered = pullCodec.decode(body).map(({ sha256 }) => sha256);
    const kept = await inTime(this.#clock, PULL_ANSWER_MS, async () => {
      await allOf(offered.map((sha256) => this.#pull(from, sha256)));
      // A worker is told once it may forget them. A gateway sees to the copies itself.
      if (this.#copies?.isGateway(from) === false) await this.#copies.make(offered);
      return true;
    });
    if (kept === undefined) throw new SkeinError('not-durable', 'the gateway still fetches the blobs');
    return new Uint8Array();
  }

  /** Goes on beyond the answer: whoever asked asks again and finds it further. It ends when its chunks stop coming. */
  #pull(from: PeerId, sha256: Sha256): Promise<void> {
    const running = this.#pulls.get(sha256);
    if (running !== undefined) return running;
    if (this.#pulls.size >= PULLS_MAX) return Promise.reject(new SkeinError('too-busy', 'too many pulls go on'));
    const pull = this.#fetcher
      .fetch(sha256, [from], never)
      .then(() => undefined)
      .finally(() => this.#pulls.delete(sha256));
    pull.catch(() => undefined); // told to whoever still waits
    this.#pulls.set(sha256, pull);
    return pull;
  }
}

/** Fails as the first that failed, once none goes on: whoever asks then what came is told all of it. */
async function allOf(works: readonly Promise<void>[]): Promise<void> {
  await Promise.allSettled(works);
  await Promise.all(works);
}

export interface GatewayCarrierParts {
  readonly transport: Pick<Transport, 'call' | 'self'>;
  readonly store: BlobStore;
  readonly fetcher: Fetcher;
  readonly clock: Clock;
  /** The gateways to ask, the likeliest first. */
  readonly gateways: () => readonly PeerId[];
  /** Where this node is a gateway itself. */
  readonly copies?: Pick<Copies, 'make'> | undefined;
}

/** A worker's way to and from gateways. */
export class GatewayCarrier {
  readonly #parts: GatewayCarrierParts;

  constructor(parts: GatewayCarrierParts) {
    this.#parts = parts;
  }

  /** Fails as Fetcher.fetch. */
  async fetch(blobs: readonly Sha256[], signal: AbortSignal): Promise<void> {
    const gateways = this.#parts.gateways();
    // Whoever should hold it is asked first: that spreads the load, too.
    await Promise.all(blobs.map((sha256) => this.#parts.fetcher.fetch(sha256, ranked(sha256, gateways), signal)));
  }

  /**
   * Resolves once one gateway has them all, durably, and has seen to their copies; where this node is one, once it has seen to
   * them itself. Fails with `not-found` where one of them is not here, else as the last gateway failed.
   */
  async deliver(blobs: readonly Sha256[], signal: AbortSignal): Promise<void> {
    const { gateways, transport, copies } = this.#parts;
    const peers = gateways();
    if (blobs.length === 0) return;
    if (peers.includes(transport.self)) {
      if (copies !== undefined) await unlessAborted(copies.make(blobs), signal);
      return;
    }
    const found = await this.#found(blobs);
    let failure: unknown = new SkeinError('unreachable', 'no gateway is known');
    for (const peer of peers) {
      try {
        for (const batch of batchesOf(found)) await offer(this.#parts, peer, batch, signal);
        return;
      } catch (error) {
        if (signal.aborted || !(error instanceof SkeinError)) throw error;
        failure = error;
      }
    }
    throw failure;
  }

  async #found(blobs: readonly Sha256[]): Promise<readonly BlobStat[]> {
    const found: BlobStat[] = [];
    for (const sha256 of blobs) {
      const blob = await this.#parts.store.stat(sha256);
      if (blob === undefined) throw new SkeinError('not-found', `the blob ${sha256} is not here to be delivered`);
      found.push(blob);
    }
    return found;
  }
}
