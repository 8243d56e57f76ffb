// The gateways that a worker knows: calls to whichever of them answers, and requests that they alone may make.
// The one that answered last is asked first.
import { SkeinError } from '../../protocol/errors.ts';
import type { PeerId } from '../../protocol/ids.ts';
import type { Channel, Transport } from '../transport/port.ts';

/** Another gateway may do better where this one could not be reached or cannot judge. */
const elsewhere = new Set(['unreachable', 'no-answer', 'no-leader', 'no-quorum', 'too-busy', 'internal-error']);

type GatewaysTransport = Pick<Transport, 'call' | 'handle' | 'keep' | 'release' | 'self'>;

export class Gateways {
  readonly #transport: GatewaysTransport;
  #peers: readonly PeerId[] = [];

  constructor(transport: GatewaysTransport) {
    this.#transport = transport;
  }

  get peers(): readonly PeerId[] {
    return this.#peers;
  }

  /** Replaces the list, keeps a connection to each and lets go of those that are none any more. An empty list changes nothing. */
  update(gateways: readonly { readonly peerId: PeerId; readonly addresses: readonly string[] }[]): void {
    if (gateways.length === 0) return;
    const known = new Set(gateways.map((gateway) => gateway.peerId));
    for (const peer of this.#peers) if (!known.has(peer)) this.#transport.release(peer);
    this.#peers = [...this.#peers.filter((peer) => known.delete(peer)), ...known];
    for (const { peerId, addresses } of gateways) {
      if (peerId !== this.#transport.self) this.#transport.keep(peerId, addresses);
    }
  }

  /** Where a gateway says that it is now. */
  moved(peer: PeerId, addresses: readonly string[]): void {
    const isAway = this.#peers.includes(peer) && peer !== this.#transport.self;
    if (isAway && addresses.length > 0) this.#transport.keep(peer, addresses);
  }

  /** Answers gateways alone: what they tell a worker to run, another member must not. */
  handle(method: string, handler: (body: Uint8Array) => Promise<Uint8Array>): void {
    this.#transport.handle('work', method, async (from, body) => {
      if (!this.#peers.includes(from)) throw new SkeinError('forbidden', `${from} is no gateway of this mesh`);
      return handler(body);
    });
  }

  /** Asks one after the other. Fails with the last failure, or with `unreachable` where no gateway is known. */
  async call(
    channel: Channel,
    method: string,
    body: Uint8Array,
    options: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ): Promise<Uint8Array> {
    let failure: unknown = new SkeinError('unreachable', 'no gateway is known');
    for (const peer of this.#peers) {
      try {
        const answer = await this.#transport.call(peer, channel, method, body, options);
        if (peer !== this.#peers[0]) this.#peers = [peer, ...this.#peers.filter((other) => other !== peer)];
        return answer;
      } catch (error) {
        if (!(error instanceof SkeinError) || !elsewhere.has(error.code) || options.signal.aborted) throw error;
        failure = error;
      }
    }
    throw failure;
  }
}
