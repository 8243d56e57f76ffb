// Blobs between members: every node serves the chunks it is asked for; a gateway fetches what a worker offers it; a worker
// brings its inputs from gateways and its outputs to one. The transport lets members in and nobody else.
import { SkeinError } from '../../protocol/errors.ts';
import type { PeerId, Sha256 } from '../../protocol/ids.ts';
import type { Clock } from '../../protocol/time.ts';
import { blobBatchMax, blobMethods, pullCodec, readCodec, sizesCodec, statCodec } from '../../protocol/wire/blob.ts';
import type { Transport } from '../transport/port.ts';
import { Fetcher } from './fetch.ts';
import { Limiter } from './limiter.ts';
import type { BlobStore } from './port.ts';

const READS_AT_ONCE = 16;
const READS_WAITING_MAX = 4096;
const PULLS_MAX = 8192;
/** How long a gateway lets a worker wait before it says that a pull still goes on. */
const PULL_ANSWER_MS = 10_000;
const PULL_CALL_MS = 30_000;
const ASK_AGAIN_MS = 100;
/** A pull is ended by its own time limits, chunk by chunk. */
const never = new AbortController().signal;

export interface BlobServerParts {
  readonly transport: Transport;
  readonly store: BlobStore;
  readonly clock: Clock;
}

/** Answers requests on channel `blob`. */
export class BlobServer {
  readonly #transport: Transport;
  readonly #store: BlobStore;
  readonly #clock: Clock;
  readonly #gateway: boolean;
  readonly #fetcher: Fetcher;
  readonly #reads = new Limiter({ max: READS_AT_ONCE, waitingMax: READS_WAITING_MAX });
  readonly #pulls = new Map<Sha256, Promise<void>>();

  constructor(parts: BlobServerParts, options: { readonly gateway: boolean }) {
    this.#transport = parts.transport;
    this.#store = parts.store;
    this.#clock = parts.clock;
    this.#gateway = options.gateway;
    this.#fetcher = new Fetcher(parts);
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
    const pulls: Promise<void>[] = [];
    for (const { sha256 } of pullCodec.decode(body)) pulls.push(this.#pull(from, sha256));
    const answered = new AbortController();
    const late = this.#clock.sleep(PULL_ANSWER_MS, answered.signal).then(() => {
      throw new SkeinError('not-durable', 'the gateway still fetches the blobs');
    });
    late.catch(() => undefined); // the answer came first
    try {
      await Promise.race([Promise.all(pulls), late]);
    } finally {
      answered.abort();
    }
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

export interface GatewayCarrierParts {
  readonly transport: Pick<Transport, 'call' | 'self'>;
  readonly store: BlobStore;
  readonly clock: Clock;
  /** The gateways to ask, the likeliest first. */
  readonly gateways: () => readonly PeerId[];
}

/** A worker's way to and from gateways. */
export class GatewayCarrier {
  readonly #parts: GatewayCarrierParts;
  readonly #fetcher: Fetcher;

  constructor(parts: GatewayCarrierParts) {
    this.#parts = parts;
    this.#fetcher = new Fetcher(parts);
  }

  /** Fails as Fetcher.fetch. */
  async fetch(blobs: readonly Sha256[], signal: AbortSignal): Promise<void> {
    const gateways = this.#parts.gateways();
    await Promise.all(blobs.map((sha256) => this.#fetcher.fetch(sha256, gateways, signal)));
  }

  /**
   * Resolves once one gateway has them all, durably; at once where this node is one. Fails with `not-found` where one of
   * them is not here, else as the last gateway failed.
   */
  async deliver(blobs: readonly Sha256[], signal: AbortSignal): Promise<void> {
    const { gateways, transport } = this.#parts;
    const peers = gateways();
    if (blobs.length === 0 || peers.includes(transport.self)) return;
    const offers = await this.#offers(blobs);
    let failure: unknown = new SkeinError('unreachable', 'no gateway is known');
    for (const peer of peers) {
      try {
        for (const offer of offers) await this.#offer(peer, offer, signal);
        return;
      } catch (error) {
        if (signal.aborted || !(error instanceof SkeinError)) throw error;
        failure = error;
      }
    }
    throw failure;
  }

  async #offers(blobs: readonly Sha256[]): Promise<readonly Uint8Array[]> {
    const sized: { sha256: Sha256; sizeBytes: number }[] = [];
    for (const sha256 of blobs) {
      const blob = await this.#parts.store.stat(sha256);
      if (blob === undefined) throw new SkeinError('not-found', `the blob ${sha256} is not here to be delivered`);
      sized.push(blob);
    }
    const batches: Uint8Array[] = [];
    for (let at = 0; at < sized.length; at += blobBatchMax) {
      batches.push(pullCodec.encode(sized.slice(at, at + blobBatchMax)));
    }
    return batches;
  }

  /** Asks again for as long as the gateway says that it still fetches: it gives up by itself when nothing comes. */
  async #offer(peer: PeerId, offer: Uint8Array, signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        const options = { timeoutMs: PULL_CALL_MS, signal };
        await this.#parts.transport.call(peer, 'blob', blobMethods.pull, offer, options);
        return;
      } catch (error) {
        if (!(error instanceof SkeinError) || error.code !== 'not-durable') throw error;
        await this.#parts.clock.sleep(ASK_AGAIN_MS, signal);
      }
    }
  }
}
