// The gateways of the mesh, as one of them sees them now.
import type { PeerId } from '../../protocol/ids.ts';

export interface GatewayPeers {
  /** Those with a connection, this one included. */
  connected(): readonly PeerId[];
  /** Whether the mesh has others: what nobody connected has may be there. */
  anyAway(): boolean;
}

export function othersOf(gateways: GatewayPeers, self: PeerId): readonly PeerId[] {
  return gateways.connected().filter((peer) => peer !== self);
}
