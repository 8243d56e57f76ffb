// Copies on other gateways before the log names a blob: several gateways in one process, their blobs on disk.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ranked } from '../../../node/policy/holders.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import type { Sha256 } from '../../../protocol/ids.ts';
import { pullCodec, readCodec } from '../../../protocol/wire/blob.ts';
import { type BlobNode, MemoryBed } from '../../support/gateways.ts';

interface Context {
  bed: MemoryBed;
  a: BlobNode;
  b: BlobNode;
  c: BlobNode;
}

const test = suite<Context>('copies on other gateways');

test.before.each(async (context) => {
  context.bed = new MemoryBed();
  context.a = await context.bed.gateway('a');
  context.b = await context.bed.gateway('b');
  context.c = await context.bed.gateway('c');
});

test.after.each(async ({ bed }) => {
  await bed[Symbol.asyncDispose]();
});

/** The others in the order in which they are to hold it. */
function order({ bed, a }: Context, sha256: Sha256): [BlobNode, BlobNode] {
  const found = ranked(sha256, a.others).map((peer) => bed.gateways.find(({ self }) => self === peer));
  return found as [BlobNode, BlobNode];
}

const never = (): Promise<never> => new Promise(() => {});

test('a blob is on one other gateway, and asked for no more', async (context) => {
  const { a } = context;
  const sha256 = await a.keep('script');
  const [first, second] = order(context, sha256);
  await a.copies.make([sha256]);
  assert.equal([await first.held(sha256), await second.held(sha256)], [1, 0]);
  await a.copies.make([sha256]);
  assert.is(first.times('pull'), 1);
});

test('however many blobs, a gateway is asked once', async ({ a, b, c }) => {
  const blobs: Sha256[] = [];
  for (let n = 0; n < 40; n++) blobs.push(await a.keep(`input ${n}`));
  await a.copies.make(blobs);
  assert.is((await b.held(...blobs)) + (await c.held(...blobs)), 40);
  assert.equal([b.times('pull'), c.times('pull')], [1, 1]);
});

test('where there is one gateway nobody is asked, and nothing is looked at', async ({ bed, a, b, c }) => {
  const sha256 = await a.keep('script');
  await b.transport.stop();
  await c.transport.stop();
  a.store.stat = never;
  await a.copies.make([sha256]);
  await bed.clock.advance(0);
  assert.equal(a.gateways.connected(), [a.self]);
});

test('a gateway that was down before is not waited for: another one takes its place', async (context) => {
  const { a } = context;
  const sha256 = await a.keep('script');
  const [first, second] = order(context, sha256);
  await first.transport.stop();
  await a.copies.make([sha256]);
  assert.equal([await first.held(sha256), await second.held(sha256)], [0, 1]);
});

test('a gateway that goes down during its pull is passed over', async (context) => {
  const { a } = context;
  const sha256 = await a.keep('script');
  const [first, second] = order(context, sha256);
  first.onCall = async () => {
    await first.transport.stop();
    return never();
  };
  await a.copies.make([sha256]);
  assert.is(await second.held(sha256), 1);
});

test('a gateway that no longer answers is passed over in half a minute', async (context) => {
  const { bed, a } = context;
  const sha256 = await a.keep('script');
  const [first, second] = order(context, sha256);
  first.onCall = never;
  const startedAt = bed.clock.monotonic();
  await bed.awaited(a.copies.make([sha256]), 1_000);
  assert.is(await second.held(sha256), 1);
  assert.ok(bed.clock.monotonic() - startedAt < 40_000);
});

test('a gateway whose disk is full is passed over, and where none is left it goes on with fewer', async (context) => {
  const { a, b, c } = context;
  const sha256 = await a.keep('script');
  const full = async (): Promise<never> => {
    throw new SkeinError('disk-full', 'no room');
  };
  const [first, second] = order(context, sha256);
  first.store.put = full;
  await a.copies.make([sha256]);
  assert.is(await second.held(sha256), 1);
  const other = await a.keep('another');
  b.store.put = full;
  c.store.put = full;
  await a.copies.make([other]);
  assert.is((await b.held(other)) + (await c.held(other)), 0);
});

test('a lost answer to a pull makes no third copy: the gateway is asked what it has', async (context) => {
  const { bed, a } = context;
  const sha256 = await a.keep('script');
  const [first, second] = order(context, sha256);
  first.onCall = async (_call, _body, answer) => {
    const pulled = await answer();
    bed.network.partition([a.self], [first.self]);
    bed.clock.sleep(1_000).then(() => bed.network.heal());
    first.onCall = (_, __, again) => again();
    return pulled;
  };
  await bed.awaited(a.copies.make([sha256]), 500);
  assert.equal([await first.held(sha256), await second.held(sha256)], [1, 0]);
  await a.copies.make([sha256]);
  assert.is(first.times('pull'), 1, 'it is known to have it');
});

test('a blob that leaves meanwhile takes no other with it', async (context) => {
  const { a, b, c } = context;
  const blobs: Sha256[] = [];
  for (let n = 0; n < 20; n++) blobs.push(await a.keep(`input ${n}`));
  const [gone, ...left] = blobs as [Sha256, ...Sha256[]];
  a.onCall = async (_call, body, answer) => {
    if (readCodec.decode(body).sha256 === gone) await a.store.remove(gone);
    return answer();
  };
  await a.copies.make(blobs);
  assert.is((await b.held(...left)) + (await c.held(...left)), left.length, 'one copy each');
});

test('one that is gone before it is offered is left out', async ({ a, b, c }) => {
  const [gone, left] = [await a.keep('gone'), await a.keep('left')];
  await a.store.remove(gone);
  await a.copies.make([gone, left]);
  assert.is((await b.held(left)) + (await c.held(left)), 1);
  assert.is((await b.held(gone)) + (await c.held(gone)), 0);
});

test('a gateway that comes back with an empty store is offered again what it had', async (context) => {
  const { bed, a, b, c } = context;
  const sha256 = await a.keep('script');
  await a.copies.make([sha256]);
  const [first] = order(context, sha256);
  await first.emptied();
  await a.transport.reconnect(first.self);
  await bed.connect(a, first);
  await a.copies.make([sha256]);
  assert.is((await b.held(sha256)) + (await c.held(sha256)), 1);
});

test('what a gateway had half a day ago a sweep may have taken since: it is offered again', async (context) => {
  const { bed, a } = context;
  const sha256 = await a.keep('script');
  await a.copies.make([sha256]);
  const [first] = order(context, sha256);
  await first.store.remove(sha256);
  bed.clock.jump(12 * 3_600_000);
  await a.copies.make([sha256]);
  assert.is(await first.held(sha256), 1);
});

test('those who want copies of one blob share the offer', async (context) => {
  const { a } = context;
  const sha256 = await a.keep('script');
  const [first] = order(context, sha256);
  await Promise.all([a.copies.make([sha256]), a.copies.make([sha256]), a.copies.make([sha256])]);
  assert.is(first.times('pull'), 1);
});

test('a worker is told that it delivered once another gateway has it too', async (context) => {
  const { bed, a } = context;
  const worker = await bed.worker('w');
  const bytes = Buffer.from('output');
  const sha256 = await worker.keep(bytes);
  const [first, second] = order(context, sha256);
  const body = pullCodec.encode([{ sha256, sizeBytes: bytes.length }]);
  await worker.call(a.self, 'pull', body);
  assert.equal([await a.held(sha256), await first.held(sha256), await second.held(sha256)], [1, 1, 0]);
  assert.is(a.times('pull'), 1, 'a gateway that is offered a copy offers none back');
});

test('a worker asks again while a copy goes on, and the copy goes on from where it is', async (context) => {
  const { bed, a } = context;
  const worker = await bed.worker('w');
  const sha256 = await worker.keep('output');
  const [first, second] = order(context, sha256);
  const held = Promise.withResolvers<void>();
  first.onCall = async (_call, _body, answer) => {
    await held.promise;
    return answer();
  };
  const body = pullCodec.encode([{ sha256, sizeBytes: 6 }]);
  for (let asked = 0; asked < 2; asked++) {
    const answer = await bed.awaited(
      worker.call(a.self, 'pull', body).catch((error: SkeinError) => error.code),
      1_000,
    );
    assert.is(answer, 'not-durable');
  }
  assert.is(first.times('pull'), 1);
  held.resolve();
  await worker.call(a.self, 'pull', body);
  assert.equal([await first.held(sha256), await second.held(sha256)], [1, 0]);
});

test.run();
