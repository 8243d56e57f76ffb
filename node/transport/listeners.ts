// Who hears gossip at this node, and that nothing a listener throws stops the others.
import type { PeerId } from '../../protocol/ids.ts';
import type { Log } from '../log.ts';
import type { Topic } from './port.ts';

type Listener = (from: PeerId, message: Uint8Array) => void;

export class GossipListeners {
  readonly #log: Log;
  readonly #byTopic = new Map<Topic, Listener[]>();

  constructor(log: Log) {
    this.#log = log;
  }

  add(topic: Topic, listener: Listener): void {
    this.#byTopic.set(topic, [...(this.#byTopic.get(topic) ?? []), listener]);
  }

  deliver(topic: Topic, from: PeerId, message: Uint8Array): void {
    for (const listener of this.#byTopic.get(topic) ?? []) {
      try {
        listener(from, message);
      } catch (error) {
        this.#log.error({ err: error, topic, from }, 'a listener of gossip met a bug');
      }
    }
  }
}
