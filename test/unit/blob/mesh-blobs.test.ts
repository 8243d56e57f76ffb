// A gateway reads what is on another one as if it were here.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Items } from '../../../node/leader/items.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import type { PeerId, Sha256 } from '../../../protocol/ids.ts';
import { encodeManifest } from '../../../protocol/wire/manifest.ts';
import { type BlobNode, hashOf, MemoryBed } from '../../support/gateways.ts';

interface Context {
  bed: MemoryBed;
  a: BlobNode;
  b: BlobNode;
  c: BlobNode;
}

const test = suite<Context>('blobs of the mesh');
const nowhere = hashOf(Buffer.from('nowhere'));

test.before.each(async (context) => {
  context.bed = new MemoryBed();
  context.a = await context.bed.gateway('a');
  context.b = await context.bed.gateway('b');
  context.c = await context.bed.gateway('c');
});

test.after.each(async ({ bed }) => {
  await bed[Symbol.asyncDispose]();
});

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'none',
    (error: unknown) => (error instanceof SkeinError ? error.code : String(error)),
  );
}

async function textOf({ blobs }: BlobNode, sha256: Sha256, range?: { offset: number; sizeBytes: number }) {
  let text = '';
  for await (const chunk of await blobs.read(sha256, range)) text += String(chunk);
  return text;
}

test('what another gateway has is read whole, in part and by chunk, and stays here', async ({ a, b, c }) => {
  const [one, two, three] = [await b.keep('first blob'), await c.keep('second blob'), await b.keep('third blob')];
  assert.is(await textOf(a, one), 'first blob');
  assert.is(await textOf(a, two, { offset: 7, sizeBytes: 4 }), 'blob');
  assert.is(Buffer.from(await a.blobs.chunk(three, 0, 5)).toString(), 'third');
  assert.is((await a.blobs.stat(await c.keep('fourth')))?.sizeBytes, 6);
  assert.is(await a.held(one, two, three), 3);
});

test('what nobody has fails as it does where there is one gateway', async ({ a }) => {
  assert.is(await codeOf(a.blobs.read(nowhere)), 'not-found');
  assert.is(await codeOf(a.blobs.chunk(nowhere, 0, 1)), 'not-found');
  assert.is(await a.blobs.stat(nowhere), undefined);
});

test('nobody may say that a blob is lost while a gateway is away', async ({ a, b }) => {
  await b.transport.stop();
  assert.is(await codeOf(a.blobs.read(nowhere)), 'unreachable');
  assert.is(await a.blobs.stat(nowhere), undefined);
});

test('a gateway that goes away while it is read from leads to the next one', async ({ a, b, c }) => {
  const bytes = Buffer.alloc(3_000_000, 'x');
  const sha256 = await b.keep(bytes);
  await c.keep(bytes);
  let reads = 0;
  for (const node of [b, c]) {
    node.onCall = async (_call, _body, answer) => {
      if (++reads === 3) await node.transport.stop();
      return answer();
    };
  }
  assert.is((await a.blobs.bring(sha256)).sizeBytes, bytes.length);
});

test('a blob is lacking only where no gateway truly has it', async ({ bed, a, b, c }) => {
  const [here, there, off] = [await a.keep('here'), await b.keep('there'), await c.keep('off')];
  assert.equal(await a.blobs.lacking([here, there, off, nowhere]), [nowhere]);
  c.onCall = () => new Promise(() => {});
  assert.equal(await bed.awaited(a.blobs.lacking([here, there, off, nowhere])), [off, nowhere]);
  await c.transport.stop();
  assert.equal(await a.blobs.lacking([here, there, off, nowhere]), [off, nowhere]);
  assert.equal(await a.blobs.lacking([off, nowhere], 1), [off]);
  assert.is(await a.held(there), 0, 'it was asked for, not fetched');
});

test('others are asked for many blobs in one call', async ({ a, b }) => {
  const blobs: Sha256[] = [];
  for (let n = 0; n < 100; n++) blobs.push(await b.keep(`input ${n}`));
  assert.equal(await a.blobs.lacking(blobs), []);
  assert.is(b.times('stat'), 1);
});

test('what does not come in time goes on coming', async ({ bed, a, b, c }) => {
  const [slow, fast] = [await b.keep('slow'), await c.keep('fast')];
  const held = Promise.withResolvers<void>();
  b.onCall = async (_call, _body, answer) => {
    await held.promise;
    return answer();
  };
  const gather = () => a.blobs.gather([slow, fast], { withinMs: 2_000 });
  assert.equal(await bed.awaited(gather()), [slow]);
  held.resolve();
  assert.equal(await gather(), []);
  assert.is(b.times('read'), 1);
});

test('a worker that reports has what no gateway has', async ({ bed, a }) => {
  const worker = await bed.worker('w');
  const sha256 = await worker.keep('output');
  assert.equal(await a.blobs.gather([sha256], { withinMs: 1_000 }), [sha256]);
  assert.equal(await a.blobs.gather([sha256], { withinMs: 1_000, also: [worker.self] }), []);
  assert.is(await codeOf(a.blobs.bring(nowhere, ['gone' as PeerId])), 'unreachable');
});

test('a leader that lacks the list of items grants from the one of another gateway', async ({ a, c }) => {
  const entries = [{ item: 'x' }, { item: 'y' }];
  const sha256 = await c.keep(Buffer.concat([...encodeManifest(entries)]));
  const items = new Items(a.blobs);
  const spec = { schema: 'skein.jobspec/1', items: { manifest: { sha256, count: 2 } } } as const;
  assert.equal(await items.entry(spec, 2), { item: 'y' });
});

test.run();
