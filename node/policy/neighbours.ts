// Which peers a worker keeps a connection to, so that members hear each other while no gateway is there. Pure.
import type { PeerId } from '../../protocol/ids.ts';

/** Gossip carries everything on from there. */
export const neighboursMax = 4;

/** Those that follow in the ring of all peer ids: when each keeps to this, whoever can be reached is linked to all others. */
export function neighboursOf(self: PeerId, peers: readonly PeerId[]): readonly PeerId[] {
  const others = peers.filter((peer) => peer !== self).sort();
  const next = others.findIndex((peer) => peer > self);
  const ring = next < 0 ? others : [...others.slice(next), ...others.slice(0, next)];
  return ring.slice(0, neighboursMax);
}
