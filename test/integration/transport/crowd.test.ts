// Many nodes and much rubbish on one host: what libp2p's defaults would refuse, starve or trip over.
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import type { Stream } from '@libp2p/interface';
import { multiaddr } from '@multiformats/multiaddr';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { realClock, realRandom } from '../../../node/clock.ts';
import { makePeerKey } from '../../../node/identity/identity.ts';
import { makeVerifier } from '../../../node/identity/signing.ts';
import { silentLog } from '../../../node/log.ts';
import { Gate } from '../../../node/transport/gate.ts';
import { Libp2pTransport } from '../../../node/transport/libp2p.ts';
import { channelProtocol, makeNode as makeLibp2p } from '../../../node/transport/libp2p-node.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import type { EpochId, PeerId } from '../../../protocol/ids.ts';
import { sealEnvelope } from '../../../protocol/wire/envelope.ts';
import { everyone, meshId } from './child.ts';

const clock = realClock();
const random = realRandom();
const epochId = 'cd'.repeat(16) as EpochId;
const nothing = new Uint8Array();

async function makeNode(dialOutOnly: boolean, listen = '/ip4/127.0.0.1/tcp/0') {
  const key = await makePeerKey(random);
  const transport = new Libp2pTransport(
    { identity: key, verifier: makeVerifier(), admission: everyone, clock, random, log: silentLog },
    { listen: [listen], announce: [], meshId, dialOutOnly },
  );
  const heard = new Map<PeerId, number>();
  transport.subscribe('heartbeats', (from) => heard.set(from, (heard.get(from) ?? 0) + 1));
  transport.handle('work', 'echo', async (_, body) => body);
  await transport.start();
  let sequence = 0;
  const say = () => {
    const content = { meshId, epochId, topic: 'heartbeats' as const, incarnation: 1, sequence: ++sequence };
    return transport.publish('heartbeats', sealEnvelope({ ...content, body: nothing }, key.signer));
  };
  return { transport, self: key.peerId, heard, say };
}

async function until(
  what: () => string,
  condition: () => boolean | Promise<boolean>,
  deadlineMs = 20_000,
): Promise<void> {
  const end = clock.monotonic() + deadlineMs;
  while (!(await condition())) {
    if (clock.monotonic() > end) throw new Error(`not within ${deadlineMs} ms: ${what()}`);
    await clock.sleep(50);
  }
}

test('fifteen workers on one address dial a gateway at the same moment, and go on hearing each other', async () => {
  const gateway = await makeNode(false);
  const workers = await Promise.all(Array.from({ length: 15 }, () => makeNode(true)));
  const all = [gateway, ...workers];
  try {
    for (const { transport } of workers) transport.keep(gateway.self, gateway.transport.addresses());
    await until(
      () => `${gateway.transport.connected().length} connected`,
      () => gateway.transport.connected().length === 15,
    );
    // Long enough for scores and meshes to settle: by default the mesh would empty in this time.
    for (let round = 0; round < 8; round++) {
      for (const { say } of all) await say();
      await clock.sleep(1000);
    }
    for (const { heard } of all) heard.clear();
    await until(
      () => all.map(({ heard }) => heard.size).join(' '),
      async () => {
        for (const { say } of all) await say();
        await clock.sleep(500);
        return all.every(({ heard }) => heard.size === all.length);
      },
    );
  } finally {
    await Promise.all(all.map(({ transport }) => transport.stop()));
  }
});

const rubbish: readonly (readonly [string, Uint8Array])[] = [
  ['random bytes', randomBytes(100_000)],
  ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
  ['zeros', new Uint8Array(1_000_000)],
  ['a handshake that breaks off', Buffer.from('\x13/multistream/1.0.0\n\x07/noise\n')],
  [
    'a handshake and then noise',
    Buffer.concat([Buffer.from('\x13/multistream/1.0.0\n\x07/noise\n'), randomBytes(65_536)]),
  ],
  ['a length without an end', Buffer.alloc(1000, 0xff)],
];

test('rubbish on the mesh port, and hundreds of connections that say nothing, leave the node serving', async () => {
  const gateway = await makeNode(false);
  const worker = await makeNode(true);
  const late = await makeNode(true);
  const sockets: Socket[] = [];
  const address = gateway.transport.addresses()[0] ?? '';
  const port = Number(/\/tcp\/(\d+)/.exec(address)?.[1]);
  const open = async (): Promise<Socket> => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {
      // Being cut off is what the node owes such a connection.
    });
    sockets.push(socket);
    // Refused is as good as connected: beyond 200 that have not shown who they are, the node takes no more.
    await new Promise((resolve) => socket.once('connect', resolve).once('close', resolve));
    return socket;
  };
  const serves = async (): Promise<string> => {
    const answer = worker.transport.call(gateway.self, 'work', 'echo', Uint8Array.of(7), { timeoutMs: 5000 });
    return answer.then(String, (error: unknown) => (error instanceof SkeinError ? error.code : String(error)));
  };
  try {
    worker.transport.keep(gateway.self, [address]);
    await until(
      () => 'the worker is connected',
      () => worker.transport.connected().length === 1,
    );
    for (const [what, bytes] of rubbish) {
      (await open()).write(bytes);
      await clock.sleep(100);
      assert.is(await serves(), '7', `after ${what}`);
    }
    for (let n = 0; n < 300; n++) await open();
    assert.is(await serves(), '7', 'with 300 idle connections');
    late.transport.keep(gateway.self, [address]);
    await until(
      () => 'another worker gets in',
      () => late.transport.connected().length === 1,
    );
    await until(
      () => `${sockets.filter((socket) => !socket.closed).length} idle connections are still open`,
      () => sockets.every((socket) => socket.closed),
    );
    assert.is(await serves(), '7', 'afterwards');
  } finally {
    for (const socket of sockets) socket.destroy();
    await Promise.all([gateway, worker, late].map(({ transport }) => transport.stop()));
  }
});

test('a member that opens dozens of streams, and writes rubbish into those it gets, takes nothing from the others', async () => {
  const gateway = await makeNode(false);
  const worker = await makeNode(true);
  const key = await makePeerKey(random);
  const gate = new Gate(everyone, clock);
  gate.openToStrangers();
  const options = { privateKey: key.privateKey, gate, meshId, listen: [], announce: [], dialOutOnly: true };
  const flooder = await makeLibp2p(options, () => []);
  await flooder.start();
  try {
    worker.transport.keep(gateway.self, gateway.transport.addresses());
    await until(
      () => 'the worker is connected',
      () => worker.transport.connected().length === 1,
    );
    const connection = await flooder.dial(multiaddr(gateway.transport.addresses()[0] ?? ''));
    const streams: Stream[] = [];
    for (let n = 0; n < 40; n++) {
      const options = { maxOutboundStreams: 1000 };
      await connection.newStream(channelProtocol(meshId, 'work'), options).then(
        (stream) => streams.push(stream),
        // Reset while it was opened: one of those that are too many.
        () => undefined,
      );
    }
    const open = () => streams.filter(({ status }) => status === 'open');
    await until(
      () => `${open().length} streams are open`,
      () => open().length === 8,
    );
    const serves = () => worker.transport.call(gateway.self, 'work', 'echo', Uint8Array.of(7), { timeoutMs: 5000 });
    assert.equal(await serves(), Uint8Array.of(7));
    for (const stream of open()) stream.send(Buffer.alloc(1000, 0xff));
    await until(
      () => `${open().length} streams are open after rubbish`,
      () => open().length === 0,
    );
    assert.equal(await serves(), Uint8Array.of(7));
  } finally {
    await flooder.stop();
    await Promise.all([gateway, worker].map(({ transport }) => transport.stop()));
  }
});

test('a port that is taken is said, with the address', async () => {
  const first = await makeNode(false);
  try {
    const taken = (first.transport.addresses()[0] ?? '').replace(/\/p2p\/.*$/, '');
    const failure = await makeNode(false, taken).then(
      () => undefined,
      (error: unknown) => error,
    );
    assert.instance(failure, SkeinError);
    assert.is((failure as SkeinError).code, 'port-in-use');
    assert.match((failure as SkeinError).message, taken);
  } finally {
    await first.transport.stop();
  }
});

test.run();
