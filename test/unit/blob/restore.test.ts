// The duty that restores copies, after a gateway died or came back without what it had.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ranked } from '../../../node/policy/holders.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import type { Sha256 } from '../../../protocol/ids.ts';
import { type BlobNode, MemoryBed } from '../../support/gateways.ts';

interface Context {
  bed: MemoryBed;
  nodes: readonly BlobNode[];
  signal: AbortSignal;
}

const test = suite<Context>('restoring copies');

test.before.each(async (context) => {
  const bed = new MemoryBed();
  for (const name of ['a', 'b', 'c']) await bed.gateway(name);
  Object.assign(context, { bed, nodes: [...bed.gateways], signal: new AbortController().signal });
});

test.after.each(async ({ bed }) => {
  await bed[Symbol.asyncDispose]();
});

/** All gateways in the order in which they are to hold it. */
function order({ nodes }: Context, sha256: Sha256): [BlobNode, BlobNode, BlobNode] {
  const peers = nodes.map(({ self }) => self);
  const found = ranked(sha256, peers).map((peer) => nodes.find(({ self }) => self === peer));
  return found as [BlobNode, BlobNode, BlobNode];
}

/** A blob that the log names, where it should be. */
async function placed(context: Context, content: string) {
  const [name] = context.nodes;
  const sha256 = await (name as BlobNode).keep(content);
  await (name as BlobNode).store.remove(sha256);
  const [first, second, third] = order(context, sha256);
  await first.keep(content);
  await second.keep(content);
  context.bed.name(sha256);
  return { sha256, first, second, third };
}

async function passAll({ bed, nodes, signal }: Context): Promise<void> {
  for (const { transport, restorer } of nodes) {
    if (transport.connected().length > 0) await bed.awaited(restorer.pass(signal));
  }
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'none',
    (error: unknown) => (error instanceof SkeinError ? error.code : String(error)),
  );
}

test('after a death the next gateway gets what the dead one had, but not while it may only be starting again', async (context) => {
  const { bed } = context;
  const { sha256, second, third } = await placed(context, 'script');
  await passAll(context);
  await bed.clock.advance(200_000);
  await second.transport.stop();
  await bed.clock.advance(50_000);
  await passAll(context);
  assert.is(await third.held(sha256), 0);
  await bed.clock.advance(70_000);
  await passAll(context);
  assert.is(await third.held(sha256), 1);
});

test('a gateway that comes back with an empty store gets back what it should have', async (context) => {
  const { bed } = context;
  const { sha256, first, second, third } = await placed(context, 'script');
  await passAll(context);
  await second.emptied();
  for (const other of [first, third]) {
    await other.transport.reconnect(second.self);
    await bed.connect(other, second);
  }
  await bed.clock.advance(61_000);
  await passAll(context);
  assert.equal([await second.held(sha256), await third.held(sha256)], [1, 0]);
});

test('a copy that could not be made at its time is made up for', async (context) => {
  const { bed, signal } = context;
  const { sha256, first, second } = await placed(context, 'script');
  await second.store.remove(sha256);
  await bed.awaited(first.restorer.pass(signal));
  assert.is(await second.held(sha256), 1);
});

test('what no row names is not copied', async (context) => {
  const { nodes, signal } = context;
  const [a, b, c] = nodes as [BlobNode, BlobNode, BlobNode];
  const sha256 = await a.keep('an upload that was never submitted');
  await a.restorer.pass(signal);
  assert.equal([await b.held(sha256), await c.held(sha256)], [0, 0]);
});

test('what is named in a list that another gateway has is copied', async (context) => {
  const { bed, nodes, signal } = context;
  const { sha256: inner, first, second } = await placed(context, 'input');
  bed.rows.clear();
  const list = JSON.stringify([{ path: 'input', sha256: inner }]);
  const other = nodes.find((node) => node !== first) as BlobNode;
  bed.rows.set('job/l', { spec: { inputsManifest: { sha256: await other.keep(list), count: 1 } } });
  await second.store.remove(inner);
  await bed.awaited(first.restorer.pass(signal));
  assert.is(await second.held(inner), 1);
});

test('a pass that leaves something out fails, having done the rest; nothing is asked again for a while', async (context) => {
  const { bed, signal } = context;
  const blobs = [];
  for (let n = 0; n < 12; n++) blobs.push(await placed(context, `input ${n}`));
  const [{ first: holder }] = blobs as [(typeof blobs)[0]];
  const held = blobs.filter(({ first }) => first === holder);
  for (const { sha256, second } of held) await second.store.remove(sha256);
  const full = held[0]?.second as BlobNode;
  full.store.put = async () => {
    throw new SkeinError('disk-full', 'no room');
  };
  assert.is(await codeOf(bed.awaited(holder.restorer.pass(signal))), 'disk-full');
  for (const { sha256, second } of held) assert.is(await second.held(sha256), second === full ? 0 : 1);
  const asked = full.asked.length;
  assert.is(await codeOf(holder.restorer.pass(signal)), 'disk-full', 'its age goes on');
  assert.is(full.asked.length, asked);
});

test('while all is well others are asked no more than once an hour', async (context) => {
  const { bed, nodes, signal } = context;
  const { first, second } = await placed(context, 'script');
  await first.restorer.pass(signal);
  const asked = second.asked.length;
  assert.ok(asked > 0);
  for (let minute = 0; minute < 30; minute++) {
    bed.clock.jump(60_000);
    await first.restorer.pass(signal);
  }
  assert.is(second.asked.length, asked);
  bed.clock.jump(31 * 60_000);
  await first.restorer.pass(signal);
  assert.is(second.asked.length, asked + 1);
  assert.is(nodes.length, 3);
});

test('a worker that connects again is no reason to ask others', async (context) => {
  const { bed, signal } = context;
  const { first, second } = await placed(context, 'script');
  const worker = await bed.worker('w');
  await first.restorer.pass(signal);
  const asked = second.asked.length;
  await first.transport.reconnect(worker.self);
  await bed.connect(worker, first);
  bed.clock.jump(61_000);
  await first.restorer.pass(signal);
  assert.is(second.asked.length, asked);
});

test('where there is one gateway rows are not even read', async (context) => {
  const { bed, nodes, signal } = context;
  const [a, b, c] = nodes as [BlobNode, BlobNode, BlobNode];
  await b.transport.stop();
  await c.transport.stop();
  bed.rows.set('job/x', { spec: { inputsManifest: { sha256: '0'.repeat(64), count: 1 } } });
  await a.restorer.pass(signal);
});

test.run();
