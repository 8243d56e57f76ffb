// Which gateway is asked, and when another one is.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Gateways } from '../../../node/worker/gateways.ts';
import { type ErrorCode, SkeinError } from '../../../protocol/errors.ts';
import type { PeerId } from '../../../protocol/ids.ts';
import { ANN, BOB, CAT } from '../../support/state.ts';

class FakeTransport {
  readonly self = CAT;
  readonly asked: PeerId[] = [];
  readonly kept = new Map<PeerId, readonly string[]>();
  readonly failing = new Map<PeerId, ErrorCode>();

  keep(peer: PeerId, addresses: readonly string[]): void {
    this.kept.set(peer, addresses);
  }

  readonly handlers = new Map<string, (from: PeerId, body: Uint8Array) => Promise<Uint8Array>>();

  handle(_: string, method: string, handler: (from: PeerId, body: Uint8Array) => Promise<Uint8Array>): void {
    this.handlers.set(method, handler);
  }

  release(peer: PeerId): void {
    this.kept.delete(peer);
  }

  async call(peer: PeerId): Promise<Uint8Array> {
    this.asked.push(peer);
    const code = this.failing.get(peer);
    if (code !== undefined) throw new SkeinError(code, `${peer} fails`);
    return new TextEncoder().encode(peer);
  }
}

function known(...peers: PeerId[]) {
  const transport = new FakeTransport();
  const gateways = new Gateways(transport);
  gateways.update(peers.map((peerId) => ({ peerId, addresses: [`/dns/${peerId}`] })));
  const signal = AbortSignal.timeout(60_000);
  const call = async () =>
    new TextDecoder().decode(await gateways.call('work', 'm', new Uint8Array(), { timeoutMs: 1, signal }));
  return { transport, gateways, call };
}

async function codeOf(failing: Promise<unknown>): Promise<string> {
  return failing.then(
    () => 'no failure',
    (error: unknown) => (error instanceof SkeinError ? error.code : 'another error'),
  );
}

test('where no gateway is known the call is unreachable', async () => {
  assert.is(await codeOf(known().call()), 'unreachable');
});

test('the gateway that answered last is asked first', async () => {
  const { transport, gateways, call } = known(ANN, BOB);
  transport.failing.set(ANN, 'unreachable');
  assert.is(await call(), BOB);
  assert.equal(gateways.peers, [BOB, ANN]);
  transport.asked.length = 0;
  assert.is(await call(), BOB);
  assert.equal(transport.asked, [BOB]);
});

for (const code of ['unreachable', 'no-answer', 'no-leader', 'no-quorum', 'too-busy', 'internal-error'] as const) {
  test(`another gateway is asked where one fails with ${code}`, async () => {
    const { transport, call } = known(ANN, BOB);
    transport.failing.set(ANN, code);
    assert.is(await call(), BOB);
  });
}

test('a refusal is the same everywhere, so nobody else is asked', async () => {
  const { transport, call } = known(ANN, BOB);
  transport.failing.set(ANN, 'forbidden');
  assert.is(await codeOf(call()), 'forbidden');
  assert.equal(transport.asked, [ANN]);
});

test('where none answers the last failure tells why, and each was asked once', async () => {
  const { transport, call } = known(ANN, BOB);
  transport.failing.set(ANN, 'unreachable').set(BOB, 'no-leader');
  assert.is(await codeOf(call()), 'no-leader');
  assert.equal(transport.asked, [ANN, BOB]);
});

test('a caller that gave up is not answered by another gateway', async () => {
  const { transport, gateways } = known(ANN, BOB);
  transport.failing.set(ANN, 'unreachable');
  const gaveUp = { timeoutMs: 1, signal: AbortSignal.abort() };
  assert.is(await codeOf(gateways.call('work', 'm', new Uint8Array(), gaveUp)), 'unreachable');
  assert.equal(transport.asked, [ANN]);
});

test('a connection is kept to each gateway but oneself, and let go with it', () => {
  const { transport, gateways } = known(ANN, CAT);
  assert.equal([...transport.kept.keys()], [ANN]);
  gateways.update([{ peerId: BOB, addresses: [] }]);
  assert.equal([...transport.kept.keys()], [BOB]);
  assert.equal(gateways.peers, [BOB]);
});

test('a new list keeps the order in which gateways proved good, and an empty one changes nothing', async () => {
  const { transport, gateways, call } = known(ANN, BOB);
  transport.failing.set(ANN, 'unreachable');
  await call();
  gateways.update([ANN, CAT, BOB].map((peerId) => ({ peerId, addresses: [] })));
  assert.equal(gateways.peers, [BOB, ANN, CAT]);
  gateways.update([]);
  assert.equal(gateways.peers, [BOB, ANN, CAT]);
});

test('a gateway is kept to where its own heartbeat says that it is', () => {
  const { transport, gateways } = known(ANN, CAT);
  gateways.moved(ANN, ['/dns/elsewhere']);
  gateways.moved(ANN, []);
  gateways.moved(BOB, ['/dns/bob']);
  gateways.moved(CAT, ['/dns/self']);
  assert.equal([...transport.kept], [[ANN, ['/dns/elsewhere']]]);
});

test('what gateways tell a worker is taken from them alone: another worker cannot grant it anything', async () => {
  const { transport, gateways } = known(ANN);
  gateways.handle('grants', async (body) => body);
  const tell = (from: PeerId) => transport.handlers.get('grants')?.(from, Uint8Array.of(1)) ?? Promise.resolve();
  assert.equal(await tell(ANN), Uint8Array.of(1));
  assert.is(await codeOf(tell(BOB) as Promise<Uint8Array>), 'forbidden');
  gateways.update([{ peerId: BOB, addresses: [] }]);
  assert.is(await codeOf(tell(ANN) as Promise<Uint8Array>), 'forbidden');
});

test.run();
