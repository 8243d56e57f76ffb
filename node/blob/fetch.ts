// Brings blobs here from other members, in chunks that this side asks for, so that it sets the pace. What has come stays
// when a holder goes away, and the next one goes on from there; the hash is judged at the end.
import { SkeinError } from '../../protocol/errors.ts';
import type { PeerId, Sha256 } from '../../protocol/ids.ts';
import {
  blobMethods,
  chunkMaxBytes,
  chunksInFlight,
  readCodec,
  sizesCodec,
  statCodec,
} from '../../protocol/wire/blob.ts';
import type { Transport } from '../transport/port.ts';
import { unlessAborted } from '../unless-aborted.ts';
import { Limiter } from './limiter.ts';
import type { BlobStat, BlobStore } from './port.ts';

const CALL_TIMEOUT_MS = 30_000;
const FETCHES_AT_ONCE = 8;
const FETCHES_WAITING_MAX = 100_000;

interface Job {
  readonly ended: Promise<BlobStat>;
  readonly controller: AbortController;
  /** Holders still to be asked, the nearest first; whoever joins may know more. */
  readonly peers: PeerId[];
  waiters: number;
}

export class Fetcher {
  readonly #transport: Pick<Transport, 'call' | 'self'>;
  readonly #store: BlobStore;
  readonly #limiter = new Limiter({ max: FETCHES_AT_ONCE, waitingMax: FETCHES_WAITING_MAX });
  readonly #jobs = new Map<Sha256, Job>();
  /** Who let the last request go unanswered is asked last. */
  readonly #silent = new Set<PeerId>();

  constructor(parts: { readonly transport: Pick<Transport, 'call' | 'self'>; readonly store: BlobStore }) {
    this.#transport = parts.transport;
    this.#store = parts.store;
  }

  /**
   * Resolves once the blob is here, durably. Calls for one blob share a transfer, which ends when none waits any more.
   * Fails with `not-found` where no holder has it, else as the last holder failed: `unreachable`, `no-answer`,
   * `digest-mismatch`; `disk-full` and `too-busy` of this side.
   */
  async fetch(sha256: Sha256, from: readonly PeerId[], signal: AbortSignal): Promise<BlobStat> {
    const here = await this.#store.stat(sha256);
    if (here !== undefined) return here;
    const job = this.#join(sha256, from);
    job.waiters++;
    try {
      return await unlessAborted(job.ended, signal);
    } finally {
      if (--job.waiters === 0) job.controller.abort();
    }
  }

  #join(sha256: Sha256, from: readonly PeerId[]): Job {
    const others = from.filter((peer) => peer !== this.#transport.self);
    const running = this.#jobs.get(sha256);
    if (running !== undefined && !running.controller.signal.aborted) {
      running.peers.push(...others.filter((peer) => !running.peers.includes(peer)));
      return running;
    }
    const controller = new AbortController();
    const peers = [...others];
    const work = (): Promise<BlobStat> => this.#fromAny(sha256, peers, controller.signal);
    const ended = this.#limiter.run(work, controller.signal);
    const job: Job = { ended, controller, peers, waiters: 0 };
    this.#jobs.set(sha256, job);
    const forget = (): void => {
      if (this.#jobs.get(sha256) === job) this.#jobs.delete(sha256);
    };
    ended.then(forget, forget);
    return job;
  }

  async #fromAny(sha256: Sha256, peers: PeerId[], signal: AbortSignal): Promise<BlobStat> {
    let failure = new SkeinError('unreachable', `nobody is known who holds the blob ${sha256}`);
    let first = true;
    for (let peer = this.#next(peers); peer !== undefined; peer = this.#next(peers)) {
      try {
        const blob = await this.#from(peer, sha256, signal);
        this.#silent.delete(peer);
        return blob;
      } catch (error) {
        if (signal.aborted || !(error instanceof SkeinError) || isOurs(error)) throw error;
        if (error.code === 'no-answer') this.#silent.add(peer);
        else this.#silent.delete(peer);
        // That one has it not says less than that another could not be asked.
        if (first || error.code !== 'not-found') failure = error;
        first = false;
      }
    }
    throw failure;
  }

  #next(peers: PeerId[]): PeerId | undefined {
    const at = peers.findIndex((peer) => !this.#silent.has(peer));
    return peers.splice(Math.max(at, 0), 1)[0];
  }

  async #from(peer: PeerId, sha256: Sha256, signal: AbortSignal): Promise<BlobStat> {
    const offset = await this.#store.uploadOffset(sha256);
    if (offset === 0) return this.#continue(peer, sha256, 0, signal);
    try {
      return await this.#continue(peer, sha256, offset, signal);
    } catch (error) {
      if (!(error instanceof SkeinError) || !isStale(error)) throw error;
      // What another holder sent before may have been wrong, or longer than the blob. It is judged, and so thrown away.
      await this.#discard(sha256, offset);
      return this.#continue(peer, sha256, 0, signal);
    }
  }

  async #discard(sha256: Sha256, offset: number): Promise<void> {
    if ((await this.#store.uploadOffset(sha256)) !== offset) return;
    await this.#store.uploadAppend(sha256, offset, offset, none()).catch((error: unknown) => {
      if (!(error instanceof SkeinError) || error.code !== 'digest-mismatch') throw error;
    });
  }

  async #continue(peer: PeerId, sha256: Sha256, offset: number, signal: AbortSignal): Promise<BlobStat> {
    const first = await this.#read(peer, sha256, offset, signal);
    const isLast = first.length < chunkMaxBytes;
    if (isLast && offset === 0) return this.#store.put(one(first), { sha256 }, signal);
    const sizeBytes = isLast ? offset + first.length : await this.#sizeAt(peer, sha256, signal);
    const rest = this.#chunks(peer, sha256, { offset, sizeBytes, first }, signal);
    const { done } = await this.#store.uploadAppend(sha256, offset, sizeBytes, rest, signal);
    if (done) return { sha256, sizeBytes };
    throw new SkeinError('transfer-failed', `the blob ${sha256} ended early at its holder`);
  }

  async *#chunks(
    peer: PeerId,
    sha256: Sha256,
    part: { readonly offset: number; readonly sizeBytes: number; readonly first: Uint8Array },
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    yield part.first;
    let next = part.offset + part.first.length;
    const asked: Promise<Uint8Array>[] = [];
    while (next < part.sizeBytes || asked.length > 0) {
      while (next < part.sizeBytes && asked.length < chunksInFlight) {
        const chunk = this.#read(peer, sha256, next, signal);
        chunk.catch(() => undefined); // met in its turn, or nobody waits for it any more
        asked.push(chunk);
        next += chunkMaxBytes;
      }
      yield (await asked.shift()) as Uint8Array;
    }
  }

  #read(peer: PeerId, sha256: Sha256, offset: number, signal: AbortSignal): Promise<Uint8Array> {
    const request = readCodec.encode({ sha256, offset, maxBytes: chunkMaxBytes });
    return this.#ask(peer, blobMethods.read, request, signal);
  }

  async #sizeAt(peer: PeerId, sha256: Sha256, signal: AbortSignal): Promise<number> {
    const answer = await this.#ask(peer, blobMethods.stat, statCodec.encode([sha256]), signal);
    const size = sizesCodec.decode(answer)[0] ?? null;
    if (size === null) throw new SkeinError('not-found', `the blob ${sha256} is not at its holder any more`);
    return size;
  }

  async #ask(peer: PeerId, method: string, body: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    try {
      return await this.#transport.call(peer, 'blob', method, body, { timeoutMs: CALL_TIMEOUT_MS, signal });
    } catch (cause) {
      if (!(cause instanceof SkeinError) || !isOurs(cause)) throw cause;
      throw new SkeinError('transfer-failed', `${peer} cannot read its disk: ${cause.message}`, { cause });
    }
  }
}

/** Failures of this side's disk, once a holder's own are told apart: another holder would not do better. */
function isOurs(error: SkeinError): boolean {
  return error.code === 'disk-full' || error.code === 'folder-unusable';
}

function isStale(error: SkeinError): boolean {
  return error.code === 'digest-mismatch' || error.code === 'range-not-satisfiable' || error.code === 'invalid-request';
}

async function* none(): AsyncGenerator<Uint8Array> {}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes;
}
