// What a worker says of its own reach: whether gateways see it where it listens.
import { type AddressInfo, connect, createServer } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { realClock, realRandom } from '../../../node/clock.ts';
import { makePeerKey, type PeerKey } from '../../../node/identity/identity.ts';
import { makeVerifier } from '../../../node/identity/signing.ts';
import { silentLog } from '../../../node/log.ts';
import { Libp2pTransport } from '../../../node/transport/libp2p.ts';
import { until } from '../../support/mesh.ts';
import { meshId } from './child.ts';

const clock = realClock();
const random = realRandom();

test('a worker is direct where the gateway sees it under its own address, and dials out where a router stands between', async () => {
  const [key, ...keys] = (await Promise.all(Array.from({ length: 3 }, () => makePeerKey(random)))) as [
    PeerKey,
    ...PeerKey[],
  ];
  const admission = {
    isMember: () => true,
    isGateway: (peer: string) => peer === key.peerId,
    isObserver: () => false,
    joinable: () => false,
  };
  const make = async (identity: PeerKey): Promise<Libp2pTransport> => {
    const parts = { identity, verifier: makeVerifier(), admission, clock, random, log: silentLog };
    const options = { listen: ['/ip4/127.0.0.1/tcp/0'], announce: [], meshId, dialOutOnly: false };
    const transport = new Libp2pTransport(parts, options);
    await transport.start();
    return transport;
  };
  const gateway = await make(key);
  const [near, far] = (await Promise.all(keys.map(make))) as [Libp2pTransport, Libp2pTransport];
  const port = Number(/\/tcp\/(\d+)/.exec(gateway.addresses()[0] ?? '')?.[1]);
  // What comes out of it has another address than what went in, as behind a router.
  const router = createServer((inside) => {
    const outside = connect({ host: '127.0.0.1', port, localAddress: '127.0.0.3' });
    inside.pipe(outside).pipe(inside);
    for (const [one, other] of [
      [inside, outside],
      [outside, inside],
    ] as const)
      one.on('error', () => other.destroy()).on('close', () => other.destroy());
  });
  await new Promise<void>((resolve) => router.listen(0, '127.0.0.1', resolve));
  try {
    near.keep(key.peerId, gateway.addresses());
    far.keep(key.peerId, [`/ip4/127.0.0.1/tcp/${(router.address() as AddressInfo).port}`]);
    await until('both are connected', () => gateway.connected().length === 2);
    await until('near knows', () => near.reach() === 'direct');
    assert.is(far.reach(), 'dials-out');
    assert.is(gateway.reach(), 'direct');
  } finally {
    await Promise.all([gateway, near, far].map((each) => each.stop()));
    router.close();
  }
});

test.run();
