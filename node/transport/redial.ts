// Keeps wanted connections up, for ever and with jitter: libp2p's own reconnecting gives up after a few tries and never
// tries a first dial again (LIBP2P.md, traps 5 and 6).
import type { PeerId } from '../../protocol/ids.ts';
import type { Random } from '../../protocol/random.ts';
import type { Clock } from '../../protocol/time.ts';

const lookMs = 200;
const retryMinMs = 500;
const retryMaxMs = 3000;
/** Where each can reach the other only one dials; the other one helps out when that has not worked for so long. */
const patienceMs = 2000;

interface Kept {
  addresses: readonly string[];
  lostAtMs: number;
  nextDialMs: number;
  failures: number;
  dialling: boolean;
}

export interface RedialParts {
  readonly self: PeerId;
  readonly clock: Clock;
  readonly random: Random;
  /** It never can be dialled itself. */
  readonly dialsAlways: boolean;
  readonly isGateway: (peer: PeerId) => boolean;
  readonly isConnected: (peer: PeerId) => boolean;
  /** Whether the member list allows it now. */
  readonly mayDial: (peer: PeerId) => boolean;
  readonly dial: (peer: PeerId, addresses: readonly string[]) => Promise<void>;
}

export class Redial {
  readonly #parts: RedialParts;
  readonly #kept = new Map<PeerId, Kept>();

  constructor(parts: RedialParts) {
    this.#parts = parts;
  }

  start(signal: AbortSignal): void {
    this.#parts.clock.every(lookMs, () => this.look(), signal);
  }

  keep(peer: PeerId, addresses: readonly string[]): void {
    if (peer === this.#parts.self) return;
    const known = this.#kept.get(peer);
    if (known !== undefined) {
      known.addresses = addresses;
      return;
    }
    const now = this.#parts.clock.monotonic();
    this.#kept.set(peer, { addresses, lostAtMs: now, nextDialMs: now, failures: 0, dialling: false });
    this.look();
  }

  release(peer: PeerId): void {
    this.#kept.delete(peer);
  }

  addressesOf(peer: PeerId): readonly string[] {
    return this.#kept.get(peer)?.addresses ?? [];
  }

  /** A connection that is lost is dialled again at once the first time, so that a restart is not felt. */
  onLost(peer: PeerId): void {
    const kept = this.#kept.get(peer);
    if (kept === undefined) return;
    const now = this.#parts.clock.monotonic();
    kept.lostAtMs = now;
    kept.nextDialMs = Math.max(kept.nextDialMs, now);
  }

  look(): void {
    for (const [peer, kept] of this.#kept) if (this.#isDue(peer, kept)) void this.#dial(peer, kept);
  }

  #isDue(peer: PeerId, kept: Kept): boolean {
    const { clock, isConnected, mayDial } = this.#parts;
    const now = clock.monotonic();
    if (kept.dialling || kept.addresses.length === 0 || kept.nextDialMs > now) return false;
    if (isConnected(peer) || !mayDial(peer)) return false;
    return this.#dialsFirst(peer) || now - kept.lostAtMs >= patienceMs;
  }

  /** Both at once would make two connections (LIBP2P.md, trap 5). A worker dials its gateways; among equals the lower peer id. */
  #dialsFirst(peer: PeerId): boolean {
    const { self, dialsAlways, isGateway } = this.#parts;
    return dialsAlways || (isGateway(self) === isGateway(peer) ? self < peer : isGateway(peer));
  }

  async #dial(peer: PeerId, kept: Kept): Promise<void> {
    const { clock, random } = this.#parts;
    kept.dialling = true;
    try {
      await this.#parts.dial(peer, kept.addresses);
      kept.failures = 0;
    } catch {
      // Nobody waits for this dial; that the peer is away shows in `connected()`, and the next try comes by itself.
      kept.failures++;
    } finally {
      kept.dialling = false;
      const waitMs = Math.min(retryMaxMs, retryMinMs * 1.5 ** kept.failures);
      kept.nextDialMs = clock.monotonic() + waitMs * (0.5 + random.next());
    }
  }
}
