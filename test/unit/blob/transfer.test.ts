// Blobs between members, over a transport that is a function call.
import { createHash } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Fetcher } from '../../../node/blob/fetch.ts';
import { MemoryBlobStore } from '../../../node/blob/memory.ts';
import { BlobServer, GatewayCarrier } from '../../../node/blob/transfer.ts';
import { ranked } from '../../../node/policy/holders.ts';
import type { CallOptions, Channel, Handler, Transport } from '../../../node/transport/port.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import type { PeerId, Sha256 } from '../../../protocol/ids.ts';
import { readCodec } from '../../../protocol/wire/blob.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const CHUNK = 262_144;
const hashOf = (bytes: Uint8Array): Sha256 => createHash('sha256').update(bytes).digest('hex') as Sha256;

interface Read {
  readonly peer: PeerId;
  readonly offset: number;
}

/** All nodes of a test, and what goes wrong between them. */
class Wire {
  readonly handlers = new Map<string, Handler>();
  readonly reads: Read[] = [];
  /** May fail, delay or change the answer to a read. */
  onRead: (read: Read, answer: () => Promise<Uint8Array>) => Promise<Uint8Array> = (_, answer) => answer();
  calls = 0;
  pulls = 0;

  async call(from: PeerId, to: PeerId, name: string, body: Uint8Array, signal?: AbortSignal): Promise<Uint8Array> {
    this.calls++;
    if (name === 'blob/pull') this.pulls++;
    await Promise.resolve();
    signal?.throwIfAborted();
    const handler = this.handlers.get(`${to} ${name}`);
    if (handler === undefined)
      throw new SkeinError(this.knows(to) ? 'not-found' : 'unreachable', `no ${name} at ${to}`);
    if (name !== 'blob/read') return handler(from, body);
    const read = { peer: to, offset: readCodec.decode(body).offset };
    this.reads.push(read);
    return this.onRead(read, () => handler(from, body));
  }

  knows(peer: PeerId): boolean {
    return [...this.handlers.keys()].some((key) => key.startsWith(`${peer} `));
  }
}

class Node {
  readonly peer: PeerId;
  readonly clock = new ManualClock();
  readonly store = new MemoryBlobStore({ clock: this.clock });
  readonly transport: Transport;
  readonly fetcher: Fetcher;

  constructor(wire: Wire, name: string, options: { gateway: boolean }) {
    this.peer = name as PeerId;
    const call = (peer: PeerId, channel: Channel, method: string, body: Uint8Array, { signal }: CallOptions) =>
      wire.call(this.peer, peer, `${channel}/${method}`, body, signal);
    const handle = (channel: Channel, method: string, handler: Handler): void => {
      wire.handlers.set(`${name} ${channel}/${method}`, handler);
    };
    this.transport = { self: this.peer, call, handle } as unknown as Transport;
    this.fetcher = new Fetcher({ transport: this.transport, store: this.store });
    const { transport, store, fetcher, clock } = this;
    new BlobServer({ transport, store, fetcher, clock }, options).start();
  }

  async keep(bytes: Uint8Array): Promise<Sha256> {
    const source = async function* (): AsyncGenerator<Uint8Array> {
      yield bytes;
    };
    return (await this.store.put(source(), {})).sha256;
  }

  carrier(gateways: readonly Node[]): GatewayCarrier {
    const { transport, store, fetcher, clock } = this;
    return new GatewayCarrier({ transport, store, fetcher, clock, gateways: () => gateways.map(({ peer }) => peer) });
  }

  async has(sha256: Sha256): Promise<boolean> {
    return (await this.store.stat(sha256)) !== undefined;
  }
}

interface Context {
  wire: Wire;
  worker: Node;
  gateway: Node;
  other: Node;
  signal: AbortSignal;
}

function pattern(length: number): Uint8Array {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at += 4096) bytes.writeUInt32LE(at % 2 ** 32, Math.min(at, length - 4));
  return bytes;
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'none';
  } catch (error) {
    assert.instance(error, SkeinError);
    return (error as SkeinError).code;
  }
}

/** Lets all that can go on go on. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

const test = suite<Context>('blobs between members');

test.before.each((context) => {
  context.wire = new Wire();
  context.worker = new Node(context.wire, 'worker', { gateway: false });
  context.gateway = new Node(context.wire, 'gateway', { gateway: true });
  context.other = new Node(context.wire, 'other', { gateway: true });
  context.signal = new AbortController().signal;
});

for (const length of [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 10 * CHUNK + 7]) {
  test(`a blob of ${length} bytes comes over whole`, async ({ worker, gateway, signal }) => {
    const bytes = length < 4 ? Buffer.alloc(length, 'x') : pattern(length);
    const sha256 = await gateway.keep(bytes);
    assert.equal(await worker.fetcher.fetch(sha256, [gateway.peer], signal), { sha256, sizeBytes: length });
    assert.ok(await worker.has(sha256));
  });
}

test('what is here is not fetched', async ({ wire, worker, gateway, signal }) => {
  const sha256 = await worker.keep(pattern(100));
  await worker.fetcher.fetch(sha256, [gateway.peer], signal);
  assert.is(wire.calls, 0);
});

test('a small blob costs one request', async ({ wire, worker, gateway, signal }) => {
  const sha256 = await gateway.keep(pattern(1000));
  await worker.fetcher.fetch(sha256, [gateway.peer], signal);
  assert.is(wire.calls, 1);
});

test('holders are asked in turn until one has it', async ({ worker, gateway, other, signal }) => {
  const sha256 = await other.keep(pattern(1000));
  await worker.fetcher.fetch(sha256, ['gone' as PeerId, worker.peer, gateway.peer, other.peer], signal);
  assert.ok(await worker.has(sha256));
});

test('nobody having it is another failure than nobody answering', async ({ worker, gateway, other, signal }) => {
  const sha256 = hashOf(pattern(10));
  const fetch = (...peers: PeerId[]): Promise<string> => codeOf(worker.fetcher.fetch(sha256, peers, signal));
  assert.is(await fetch(gateway.peer, other.peer), 'not-found');
  assert.is(await fetch(gateway.peer, 'gone' as PeerId), 'unreachable');
  assert.is(await fetch('gone' as PeerId, gateway.peer), 'unreachable');
  assert.is(await fetch(), 'unreachable');
});

test('the next holder goes on where the last one broke off', async ({ wire, worker, gateway, other, signal }) => {
  const bytes = pattern(10 * CHUNK);
  const sha256 = await gateway.keep(bytes);
  await other.keep(bytes);
  wire.onRead = ({ peer, offset }, answer) => {
    if (peer === gateway.peer && offset >= 5 * CHUNK) throw new SkeinError('unreachable', 'it went away');
    return answer();
  };
  await worker.fetcher.fetch(sha256, [gateway.peer, other.peer], signal);
  const first = wire.reads.find(({ peer }) => peer === other.peer);
  assert.is(first?.offset, 5 * CHUNK);
  assert.ok(await worker.has(sha256));
});

test('wrong bytes are refused, and another holder is asked from the start', async ({
  wire,
  worker,
  gateway,
  other,
  signal,
}) => {
  const bytes = pattern(3 * CHUNK);
  const sha256 = await gateway.keep(bytes);
  await other.keep(bytes);
  wire.onRead = async ({ peer }, answer) => {
    const chunk = Buffer.from(await answer());
    if (peer === gateway.peer) chunk[7] = 1;
    return chunk;
  };
  assert.is(await codeOf(worker.fetcher.fetch(sha256, [gateway.peer], signal)), 'digest-mismatch');
  assert.not.ok(await worker.has(sha256));
  await worker.fetcher.fetch(sha256, [gateway.peer, other.peer], signal);
  assert.ok(await worker.has(sha256));
});

test('a wrong beginning from a holder that went away is found out and fetched anew', async ({
  wire,
  worker,
  gateway,
  other,
  signal,
}) => {
  const bytes = pattern(4 * CHUNK);
  const sha256 = await gateway.keep(bytes);
  await other.keep(bytes);
  wire.onRead = async ({ peer, offset }, answer) => {
    if (peer !== gateway.peer) return answer();
    if (offset > 0) throw new SkeinError('unreachable', 'it went away');
    return Buffer.alloc(CHUNK, 'wrong');
  };
  await worker.fetcher.fetch(sha256, [gateway.peer, other.peer], signal);
  assert.ok(await worker.has(sha256));
});

test('more came before than the blob has: it is thrown away', async ({ worker, gateway, signal }) => {
  const sha256 = await gateway.keep(pattern(100));
  const source = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(5000);
  };
  await worker.store.uploadAppend(sha256, 0, 10_000, source());
  await worker.fetcher.fetch(sha256, [gateway.peer], signal);
  assert.ok(await worker.has(sha256));
});

test('at most four chunks of a transfer are asked for at once', async ({ wire, worker, gateway, signal }) => {
  const sha256 = await gateway.keep(pattern(20 * CHUNK));
  let now = 0;
  let most = 0;
  wire.onRead = async (_, answer) => {
    most = Math.max(most, ++now);
    await settle();
    now--;
    return answer();
  };
  await worker.fetcher.fetch(sha256, [gateway.peer], signal);
  assert.is(most, 4);
});

test('those who want one blob share a transfer, which ends when the last of them gives up', async ({
  wire,
  worker,
  gateway,
}) => {
  const sha256 = await gateway.keep(pattern(100 * CHUNK));
  const held = Promise.withResolvers<void>();
  wire.onRead = async ({ offset }, answer) => {
    if (offset > 0) await held.promise;
    return answer();
  };
  const first = new AbortController();
  const second = new AbortController();
  const one = codeOf(worker.fetcher.fetch(sha256, [gateway.peer], first.signal));
  const two = codeOf(worker.fetcher.fetch(sha256, [gateway.peer], second.signal));
  await settle();
  const asked = wire.reads.length;
  assert.ok(asked <= 5, `${asked} reads`);
  first.abort(new SkeinError('no-answer', 'enough'));
  assert.is(await one, 'no-answer');
  second.abort(new SkeinError('no-answer', 'enough'));
  assert.is(await two, 'no-answer');
  held.resolve();
  await settle();
  assert.is(wire.reads.length, asked);
  wire.onRead = (_, answer) => answer();
  assert.is(await codeOf(worker.fetcher.fetch(sha256, [gateway.peer], new AbortController().signal)), 'none');
});

test('a worker delivers to a gateway, which then has all of it', async ({ wire, worker, gateway, signal }) => {
  const blobs = [await worker.keep(pattern(10)), await worker.keep(pattern(3 * CHUNK))];
  await worker.carrier([gateway]).deliver(blobs, signal);
  for (const sha256 of blobs) assert.ok(await gateway.has(sha256));
  const reads = wire.reads.length;
  await worker.carrier([gateway]).deliver(blobs, signal);
  assert.is(wire.reads.length, reads);
});

test('a gateway that cannot be reached is passed over', async ({ wire, worker, gateway, other, signal }) => {
  const sha256 = await worker.keep(pattern(10));
  const gone = new Node(new Wire(), 'gone', { gateway: true });
  await worker.carrier([gone, gateway]).deliver([sha256], signal);
  assert.ok(await gateway.has(sha256));
  wire.handlers.clear();
  assert.is(await codeOf(worker.carrier([gone, other]).deliver([sha256], signal)), 'unreachable');
});

test('a node that is a gateway itself has delivered already', async ({ wire, worker, gateway, other, signal }) => {
  const sha256 = await gateway.keep(pattern(10));
  await gateway.carrier([other, gateway]).deliver([sha256], signal);
  assert.is(wire.calls, 0);
  await worker.carrier([gateway]).deliver([], signal);
  assert.is(wire.calls, 0);
});

test('what is not here cannot be delivered, and only gateways take it', async ({ worker, gateway, signal }) => {
  assert.is(await codeOf(worker.carrier([gateway]).deliver([hashOf(pattern(9))], signal)), 'not-found');
  const sha256 = await gateway.keep(pattern(10));
  assert.is(await codeOf(gateway.carrier([worker]).deliver([sha256], signal)), 'not-found');
});

test('a long delivery is asked for again until it is done, from where it was', async ({
  wire,
  worker,
  gateway,
  signal,
}) => {
  const sha256 = await worker.keep(pattern(10 * CHUNK));
  const held = Promise.withResolvers<void>();
  wire.onRead = async ({ offset }, answer) => {
    if (offset > 4 * CHUNK) await held.promise;
    return answer();
  };
  let done = false;
  const delivery = worker
    .carrier([gateway])
    .deliver([sha256], signal)
    .then(() => {
      done = true;
    });
  await settle();
  await gateway.clock.advance(10_000);
  await settle();
  await worker.clock.advance(1_000);
  await settle();
  assert.not.ok(done);
  assert.is(wire.pulls, 2, 'it asked again');
  held.resolve();
  await delivery;
  assert.ok(await gateway.has(sha256));
  assert.is(new Set(wire.reads.map(({ offset }) => offset)).size, wire.reads.length, 'no chunk came twice');
});

test('a holder that cannot read its disk leads to the next one', async ({ wire, worker, gateway, other, signal }) => {
  const sha256 = await gateway.keep(pattern(10));
  await other.keep(pattern(10));
  wire.onRead = async ({ peer }, answer) => {
    if (peer === gateway.peer) throw new SkeinError('folder-unusable', 'input/output error');
    return answer();
  };
  assert.is(await codeOf(worker.fetcher.fetch(sha256, [gateway.peer], signal)), 'transfer-failed');
  await worker.fetcher.fetch(sha256, [gateway.peer, other.peer], signal);
  assert.ok(await worker.has(sha256));
});

test('a gateway that let a request go unanswered is asked last from then on', async ({
  wire,
  worker,
  gateway,
  other,
  signal,
}) => {
  const blobs: Sha256[] = [];
  for (let n = 1; n <= 6; n++) {
    blobs.push(await gateway.keep(pattern(10 * n)));
    await other.keep(pattern(10 * n));
  }
  wire.onRead = async ({ peer }, answer) => {
    if (peer === gateway.peer) throw new SkeinError('no-answer', 'it was stopped');
    return answer();
  };
  for (const sha256 of blobs) await worker.fetcher.fetch(sha256, [gateway.peer, other.peer], signal);
  const silent = wire.reads.filter(({ peer }) => peer === gateway.peer);
  assert.is(silent.length, 1);
  const alone = await gateway.keep(pattern(99));
  wire.onRead = (_, answer) => answer();
  await worker.fetcher.fetch(alone, [gateway.peer, other.peer], signal);
  assert.ok(await worker.has(alone), 'it is asked all the same');
});

test('inputs are asked for first where they should be, and of all gateways alike', async ({
  wire,
  worker,
  gateway,
  other,
  signal,
}) => {
  const gateways = [gateway, other];
  const blobs: Sha256[] = [];
  for (let n = 1; n <= 20; n++) {
    const bytes = pattern(10 * n);
    const [first] = ranked(hashOf(bytes), [gateway.peer, other.peer]);
    blobs.push(await (gateways.find(({ peer }) => peer === first) as Node).keep(bytes));
  }
  await worker.carrier(gateways).fetch(blobs, signal);
  assert.is(wire.reads.length, 20);
  assert.is(new Set(wire.reads.map(({ peer }) => peer)).size, 2);
});

test('a node that is a gateway itself sees to the copies of its own results', async ({ worker, gateway, signal }) => {
  const sha256 = await gateway.keep(pattern(10));
  const copied: Sha256[] = [];
  const copies = { make: async (blobs: Iterable<Sha256>) => void copied.push(...blobs) };
  const { transport, store, fetcher, clock } = gateway;
  const gateways = () => [gateway.peer];
  await new GatewayCarrier({ transport, store, fetcher, clock, gateways, copies }).deliver([sha256], signal);
  assert.equal(copied, [sha256]);
  assert.is(await worker.has(sha256), false);
});

test('inputs come from whichever gateway has them', async ({ worker, gateway, other, signal }) => {
  const blobs = [await gateway.keep(pattern(10)), await other.keep(pattern(2 * CHUNK))];
  await worker.carrier([gateway, other]).fetch(blobs, signal);
  for (const sha256 of blobs) assert.ok(await worker.has(sha256));
});

test.run();
