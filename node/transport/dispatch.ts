// Judges each request by the member list in force, finds its handler and turns whatever that throws into a coded failure.
// Both transports answer through this, so that neither can admit what the other refuses.
import { SkeinError } from '../../protocol/errors.ts';
import type { PeerId } from '../../protocol/ids.ts';
import type { Log } from '../log.ts';
import type { Admission, Channel, Handler } from './port.ts';

export class Dispatcher {
  readonly #self: PeerId;
  readonly #admission: Admission;
  readonly #log: Log;
  readonly #handlers = new Map<string, Handler>();

  constructor({ self, admission, log }: { self: PeerId; admission: Admission; log: Log }) {
    this.#self = self;
    this.#admission = admission;
    this.#log = log;
  }

  handle(channel: Channel, method: string, handler: Handler): void {
    this.#handlers.set(`${channel}/${method}`, handler);
  }

  /** Rejects with a SkeinError and nothing else. */
  async answer(from: PeerId, channel: Channel, method: string, body: Uint8Array): Promise<Uint8Array> {
    if (!this.#admits(from, channel)) {
      throw new SkeinError('forbidden', `${from} may not speak on channel ${channel} of this node`);
    }
    const handler = this.#handlers.get(`${channel}/${method}`);
    if (handler === undefined) throw new SkeinError('not-found', `no ${channel}/${method} is answered here`);
    try {
      return await handler(from, body);
    } catch (error) {
      if (error instanceof SkeinError) throw error;
      this.#log.error({ err: error, channel, method, from }, 'a request met a bug');
      throw new SkeinError('internal-error', `${channel}/${method} failed at ${this.#self}`, { cause: error });
    }
  }

  #admits(from: PeerId, channel: Channel): boolean {
    if (from === this.#self) return true;
    switch (channel) {
      case 'join':
        return this.#admission.isMember(from) || (this.#admission.joinable() && !this.#admission.isObserver(from));
      case 'raft':
        return this.#admission.isMember(from) && this.#admission.isGateway(from);
      case 'work':
      case 'blob':
        return this.#admission.isMember(from);
    }
  }
}
