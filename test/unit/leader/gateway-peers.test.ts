// Which gateways there are, and which of them can be reached.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { gatewayPeers } from '../../../node/leader/gateway-peers.ts';
import type { PeerId } from '../../../protocol/ids.ts';
import type { MemberRow } from '../../../protocol/state/rows.ts';

const member = (peerId: string, roles: MemberRow['roles'], state: MemberRow['state'] = 'alive') =>
  ({ peerId, roles, state }) as MemberRow;

test('gateways are members of that role that have not left; one without a connection is away', () => {
  const rows = [
    member('a', ['gateway', 'voter']),
    member('b', ['gateway']),
    member('c', ['gateway'], 'dead'),
    member('d', ['gateway'], 'left'),
    member('w', ['worker']),
  ];
  let membersIndex = 1;
  let connected = ['c', 'w', 'd'];
  const roster = {
    members: () => rows,
    get membersIndex() {
      return membersIndex;
    },
  };
  const peers = gatewayPeers(() => roster, { self: 'a' as PeerId, connected: () => connected as PeerId[] });
  assert.equal([peers.connected(), peers.anyAway()], [['a', 'c'], true]);
  connected = ['b', 'c', 'w'];
  assert.equal([peers.connected(), peers.anyAway()], [['a', 'b', 'c'], false]);
  rows.push(member('e', ['gateway', 'worker']));
  membersIndex = 2;
  assert.equal([peers.connected(), peers.anyAway()], [['a', 'b', 'c'], true]);
  rows.splice(1, rows.length);
  membersIndex = 3;
  assert.equal([peers.connected(), peers.anyAway()], [['a'], false]);
});

test.run();
