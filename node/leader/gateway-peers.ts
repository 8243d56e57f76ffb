// The gateways of the mesh as the log and the connections have them.
import type { PeerId } from '../../protocol/ids.ts';
import type { GatewayPeers } from '../blob/gateways.ts';
import type { Transport } from '../transport/port.ts';
import type { Roster } from './roster.ts';

export function gatewayPeers(
  roster: () => Pick<Roster, 'members' | 'membersIndex'>,
  transport: Pick<Transport, 'self' | 'connected'>,
): GatewayPeers {
  const { self } = transport;
  let others: readonly PeerId[] = [];
  let index = Number.NaN;
  /** Asked for with every result: read anew only when the members changed. */
  const all = (): readonly PeerId[] => {
    const { membersIndex } = roster();
    if (membersIndex === index) return others;
    index = membersIndex;
    others = [...roster().members()]
      .filter(({ peerId, roles, state }) => peerId !== self && roles.includes('gateway') && state !== 'left')
      .map(({ peerId }) => peerId);
    return others;
  };
  const connected = (): readonly PeerId[] => {
    if (all().length === 0) return [self];
    const up = new Set(transport.connected());
    return [self, ...all().filter((peer) => up.has(peer))];
  };
  return { connected, anyAway: () => connected().length <= all().length };
}
