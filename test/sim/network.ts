// What lies between machines, behind production's port: delay, loss, doubling, reordering, cuts in one direction or both.
// The request that is lost fails as over a stream: with no answer in time, or sooner as the connection breaks.

import type { Log } from '../../node/log.ts';
import { Dispatcher } from '../../node/transport/dispatch.ts';
import { admitMessage } from '../../node/transport/gossip-judge.ts';
import { GossipListeners } from '../../node/transport/listeners.ts';
import type { Admission, CallOptions, Channel, Handler, Reach, Topic, Transport } from '../../node/transport/port.ts';
import { SkeinError } from '../../protocol/errors.ts';
import type { MeshId, PeerId } from '../../protocol/ids.ts';
import type { Random } from '../../protocol/random.ts';
import { bodyMaxBytes } from '../../protocol/wire/codec.ts';
import type { Verifier } from '../../protocol/wire/envelope.ts';
import { between } from './chance.ts';
import type { Life } from './machine.ts';
import type { World } from './world.ts';

export interface Weather {
  readonly delayMs: readonly [number, number];
  /** Shares of messages. */
  readonly loss: number;
  readonly doubled: number;
  readonly reordered: number;
}

export const calm: Weather = { delayMs: [0.2, 2], loss: 0, doubled: 0.002, reordered: 0.002 };

export class SimNetwork {
  readonly world: World;
  readonly #random: Random;
  weather: Weather = calm;
  readonly nodes = new Map<PeerId, SimTransport>();
  /** How many faults cut each direction. */
  readonly #cuts = new Map<string, number>();
  readonly #arrivals = new Map<string, number>();

  constructor(world: World, random: Random) {
    this.world = world;
    this.#random = random;
  }

  cut(from: PeerId, to: PeerId, by: 1 | -1): void {
    const direction = `${from}>${to}`;
    this.#cuts.set(direction, (this.#cuts.get(direction) ?? 0) + by);
  }

  passes(from: PeerId, to: PeerId): boolean {
    return (this.#cuts.get(`${from}>${to}`) ?? 0) === 0;
  }

  /** @returns whether it will arrive, as far as the way is open then too. */
  carry(from: SimTransport, to: PeerId, arrive: (receiver: SimTransport) => unknown, lost: () => void): void {
    const { loss, doubled } = this.weather;
    if (to === from.self) {
      this.#deliver(from, to, 0, arrive, lost);
      return;
    }
    if (!this.passes(from.self, to) || this.#random.next() < loss) {
      this.world.count('messages lost');
      lost();
      return;
    }
    this.#deliver(from, to, this.#delay(from.self, to), arrive, lost);
    if (this.#random.next() >= doubled) return;
    this.world.count('messages doubled');
    this.#deliver(from, to, this.#delay(from.self, to) + between(this.#random, 0, 500), arrive, () => undefined);
  }

  #delay(from: PeerId, to: PeerId): number {
    const { delayMs, reordered } = this.weather;
    const delay = between(this.#random, ...delayMs);
    if (this.#random.next() < reordered) return delay * 5;
    const direction = `${from}>${to}`;
    const at = Math.max(this.#arrivals.get(direction) ?? 0, this.world.nowMs + delay);
    this.#arrivals.set(direction, at);
    return at - this.world.nowMs;
  }

  #deliver(
    from: SimTransport,
    to: PeerId,
    delayMs: number,
    arrive: (receiver: SimTransport) => unknown,
    lost: () => void,
  ): void {
    const receiver = this.nodes.get(to);
    if (receiver === undefined || receiver.life.isOver) {
      lost();
      return;
    }
    this.world.after(delayMs, receiver.life, () => {
      if (this.passes(from.self, to)) arrive(receiver);
      else lost();
    });
  }

  /** When whoever waits for what was lost hears of it. */
  patienceMs(timeoutMs: number): { readonly afterMs: number; readonly code: 'no-answer' | 'unreachable' } {
    if (this.#random.next() < 0.5) return { afterMs: timeoutMs, code: 'no-answer' };
    return { afterMs: Math.min(timeoutMs, between(this.#random, 5, 3_000)), code: 'unreachable' };
  }
}

export interface SimTransportParts {
  readonly network: SimNetwork;
  readonly self: PeerId;
  readonly life: Life;
  readonly admission: Admission;
  readonly verifier: Verifier;
  readonly log: Log;
  readonly meshId: MeshId;
}

export class SimTransport implements Transport {
  readonly self: PeerId;
  readonly life: Life;
  readonly #parts: SimTransportParts;
  readonly #dispatcher: Dispatcher;
  readonly #listeners: GossipListeners;
  #hears = false;

  constructor(parts: SimTransportParts) {
    const { self, life, admission, log } = parts;
    this.self = self;
    this.life = life;
    this.#parts = parts;
    this.#dispatcher = new Dispatcher({ self, admission, log });
    this.#listeners = new GossipListeners(log);
    parts.network.nodes.set(self, this);
  }

  call(peer: PeerId, channel: Channel, method: string, body: Uint8Array, options: CallOptions): Promise<Uint8Array> {
    const { network } = this.#parts;
    const { timeoutMs, signal } = options;
    if (this.life.isOver) return new Promise(() => undefined);
    if (body.length > bodyMaxBytes) return Promise.reject(new SkeinError('too-large', `${body.length} bytes`));
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      let isOpen = true;
      const onAbort = (): void => settle(() => reject(signal?.reason));
      const settle = (how: () => void): void => {
        if (!isOpen) return;
        isOpen = false;
        signal?.removeEventListener('abort', onAbort);
        how();
      };
      const fail = (code: 'no-answer' | 'unreachable'): void =>
        settle(() => reject(new SkeinError(code, `${peer}: ${channel}/${method}`)));
      const onLost = (): void => {
        const { afterMs, code } = network.patienceMs(timeoutMs);
        network.world.after(afterMs, this.life, () => fail(code));
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      network.world.after(timeoutMs, this.life, () => fail('no-answer'));
      const arrive = (receiver: SimTransport): void => {
        const back = (how: () => void): void =>
          network.carry(receiver, this.self, ({ life }) => life === this.life && settle(how), onLost);
        receiver.#dispatcher.answer(this.self, channel, method, body).then(
          (answer) => back(() => resolve(answer)),
          (error: unknown) => back(() => reject(error)),
        );
      };
      network.carry(this, peer, arrive, onLost);
    });
  }

  handle(channel: Channel, method: string, handler: Handler): void {
    this.#dispatcher.handle(channel, method, handler);
  }

  async publish(topic: Topic, message: Uint8Array): Promise<void> {
    const { network } = this.#parts;
    this.life.post(() => this.#listeners.deliver(topic, this.self, message));
    for (const other of network.nodes.values()) {
      if (other === this || !other.#hears) continue;
      network.carry(
        this,
        other.self,
        (receiver) => receiver.#hear(topic, message),
        () => undefined,
      );
    }
  }

  #hear(topic: Topic, message: Uint8Array): void {
    const envelope = admitMessage(this.#parts, topic, message);
    if (envelope !== undefined) this.#listeners.deliver(topic, envelope.sender, message);
  }

  subscribe(topic: Topic, listener: (from: PeerId, message: Uint8Array) => void): void {
    this.#hears = true;
    this.#listeners.add(topic, listener);
  }

  async dial(address: string): Promise<PeerId> {
    return address.replace('/sim/', '') as PeerId;
  }

  addresses = (): readonly string[] => [`/sim/${this.self}`];
  reach = (): Reach => 'direct';
  async start(): Promise<void> {}
  async stop(): Promise<void> {}
  keep(): void {}
  release(): void {}
  connected = (): readonly PeerId[] => [];
  onConnection(): void {}
  async reconnect(): Promise<void> {}
}
