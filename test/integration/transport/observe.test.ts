// `skein peers` over real gossip: an observer's key, the member list of the data folder, no gateway asked.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { realClock, realRandom } from '../../../node/clock.ts';
import { type BeatStatus, Gossip } from '../../../node/gossip/gossip.ts';
import { observe } from '../../../node/gossip/observe.ts';
import { makePeerKey, type PeerKey } from '../../../node/identity/identity.ts';
import { makeVerifier } from '../../../node/identity/signing.ts';
import { silentLog } from '../../../node/log.ts';
import { Libp2pTransport } from '../../../node/transport/libp2p.ts';
import type { SkeinError } from '../../../protocol/errors.ts';
import type { MemberList } from '../../../protocol/wire/members.ts';
import type { Beacon } from '../../../protocol/wire/window.ts';
import { epochId, fixedMachine, member, memberList, meshId } from '../../unit/gossip/fixtures.ts';

const clock = realClock();
const random = realRandom();
const verifier = makeVerifier();
const status: BeatStatus = {
  incarnation: 1,
  begun: [],
  claim: { incarnation: 1, sequence: 1, slots: 4, prefetch: 1, memBytes: 0, wants: [] },
  busy: 3,
  draining: false,
  restarting: false,
};

async function startNode(key: PeerKey, observer: PeerKey, list: MemberList) {
  const admission = {
    isMember: (peer: string) => list.members.some(({ peerId }) => peerId === peer),
    isGateway: () => true,
    isObserver: (peer: string) => peer === observer.peerId,
    joinable: () => false,
  };
  const transport = new Libp2pTransport(
    { identity: key, verifier, admission, clock, random, log: silentLog },
    { listen: ['/ip4/127.0.0.1/tcp/0'], announce: [], meshId, dialOutOnly: false },
  );
  const parts = {
    transport,
    signer: key.signer,
    verifier,
    clock,
    log: silentLog,
    machine: fixedMachine,
    members: { current: () => list },
    blobs: () => ({ count: 0, bytes: 0 }),
    status: () => status,
  };
  const gossip = new Gossip(parts, { name: 'x', roles: ['worker'], version: '0.1.0' });
  await transport.start();
  gossip.start();
  return {
    transport,
    gossip,
    stop: async () => {
      gossip.stop();
      await transport.stop();
    },
  };
}

test('an observer sees who is there through one member, who is missing, and the leader; and nobody answers once all are down', async () => {
  const [one, two, three, observer] = await Promise.all(Array.from({ length: 4 }, () => makePeerKey(random)));
  if (!one || !two || !three || !observer) throw new Error('four keys were made');
  const list = memberList([
    member(one.peerId, 'one', { roles: ['gateway'] }),
    member(two.peerId, 'two'),
    member(three.peerId, 'three'),
  ]);
  const gateway = await startNode(one, observer, list);
  const worker = await startNode(two, observer, list);
  const stopBeacon = new AbortController();
  try {
    worker.transport.keep(one.peerId, gateway.transport.addresses());
    const beacon: Beacon = {
      epochId,
      leader: one.peerId,
      term: 12,
      commitIndex: 34,
      voters: { total: 1, healthy: 1, needed: 1 },
      heartbeatMs: 1000,
      leaseMs: 15_000,
      window: [],
    };
    clock.every(500, () => gateway.gossip.announce(beacon), stopBeacon.signal);
    const parts = { key: observer, verifier, members: list, clock, random, log: silentLog };
    const addresses = ['/ip4/127.0.0.1/tcp/1', ...worker.transport.addresses()];
    const seen = await observe(parts, addresses, AbortSignal.timeout(20_000));
    assert.equal(
      seen.lines.map(({ name, state, slots }) => [name, state, slots?.busy ?? null]),
      [
        ['one', 'alive', 3],
        ['three', 'suspect', null],
        ['two', 'alive', 3],
      ],
    );
    assert.is(seen.beacon?.term, 12);
    stopBeacon.abort();
    await gateway.stop();
    await worker.stop();
    const failure = await observe(parts, addresses, AbortSignal.timeout(20_000)).catch((error: unknown) => error);
    assert.is((failure as SkeinError).code, 'unreachable');
  } finally {
    stopBeacon.abort();
    await gateway.stop();
    await worker.stop();
  }
});

test.run();
