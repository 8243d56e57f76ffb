import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Neighbours } from '../../../node/gossip/neighbours.ts';
import { PeerTable } from '../../../node/gossip/peer-table.ts';
import { neighboursOf } from '../../../node/policy/neighbours.ts';
import type { PeerId } from '../../../protocol/ids.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { heartbeat, type Member, member } from './fixtures.ts';

const ids = 'abcdefgh'.split('') as PeerId[];

function bed(members: readonly Member[]) {
  const clock = new ManualClock();
  const table = new PeerTable(clock);
  const kept = new Map<PeerId, readonly string[]>();
  const connected = new Set<PeerId>();
  const neighbours = new Neighbours({
    transport: {
      self: 'd' as PeerId,
      connected: () => [...connected],
      keep: (peer, addresses) => void kept.set(peer, addresses),
      release: (peer) => void kept.delete(peer),
    },
    table,
    members: { current: () => ({ members: [...members] }) },
    clock,
  });
  const hear = (peer: string, ...addresses: string[]) => table.hear(heartbeat(peer as PeerId, { addresses }));
  const look = () => {
    neighbours.look();
    return [...kept.keys()].sort().join('');
  };
  return { clock, kept, connected, hear, look };
}

test('each keeps to those that follow it in the ring, so that all are linked whichever single one is lost', () => {
  assert.equal(neighboursOf('f' as PeerId, ids), ['g', 'h', 'a', 'b']);
  assert.equal(neighboursOf('h' as PeerId, ids), ['a', 'b', 'c', 'd']);
  assert.equal(neighboursOf('a' as PeerId, ['a' as PeerId]), []);
  for (const lost of ids) {
    const left = ids.filter((id) => id !== lost);
    const linked = new Set<PeerId>(left.slice(0, 1));
    // A set's loop also visits what it adds.
    for (const id of linked) for (const other of neighboursOf(id, left)) linked.add(other);
    assert.is(linked.size, left.length);
  }
});

test('gateways, the dead and those that name no address are no neighbours', () => {
  const { hear, look } = bed([
    member('a' as PeerId, 'a', { roles: ['gateway'] }),
    member('b' as PeerId, 'b', { state: 'dead' }),
    member('c' as PeerId, 'c'),
    member('d' as PeerId, 'self'),
    member('e' as PeerId, 'e', { state: 'draining' }),
    member('f' as PeerId, 'unheard'),
  ]);
  for (const peer of ['a', 'b', 'd', 'e']) hear(peer, '/ip4/10.0.0.1/tcp/1');
  hear('c');
  assert.is(look(), 'e');
});

test('the loopback of another machine is not dialled where the peer names more', () => {
  const { kept, hear, look } = bed([member('e' as PeerId, 'e'), member('f' as PeerId, 'f')]);
  hear('e', '/ip4/127.0.0.1/tcp/7071', '/ip4/10.0.0.1/tcp/7071');
  hear('f', '/ip4/127.0.0.1/tcp/7072');
  look();
  assert.equal([...kept.values()], [['/ip4/10.0.0.1/tcp/7071'], ['/ip4/127.0.0.1/tcp/7072']]);
});

test('one that cannot be reached makes room for the next, and is tried again later', async () => {
  const { clock, connected, hear, look } = bed(ids.map((id) => member(id, id)));
  for (const id of ids) hear(id, '/ip4/10.0.0.1/tcp/1');
  assert.is(look(), 'efgh');
  for (const peer of ['f', 'g', 'h'] as PeerId[]) connected.add(peer);
  await clock.advance(9_000);
  assert.is(look(), 'efgh');
  await clock.advance(1_500);
  assert.is(look(), 'afgh');
  connected.add('a' as PeerId);
  await clock.advance(59_000);
  assert.is(look(), 'afgh');
  await clock.advance(2_000);
  assert.is(look(), 'efgh');
});

test.run();
