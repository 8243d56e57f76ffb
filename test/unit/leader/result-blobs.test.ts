// What a result names is here and on another gateway before the log names it, wherever the worker delivered it.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { GatewayCarrier } from '../../../node/blob/transfer.ts';
import { blobsOf, ResultBlobs } from '../../../node/leader/result-blobs.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import type { Sha256 } from '../../../protocol/ids.ts';
import { encodeManifest } from '../../../protocol/wire/manifest.ts';
import { type BlobNode, MemoryBed } from '../../support/gateways.ts';
import { resultOf } from '../../support/state.ts';

interface Context {
  bed: MemoryBed;
  a: BlobNode;
  b: BlobNode;
  c: BlobNode;
  worker: BlobNode;
}

const test = suite<Context>('the blobs of a result');

test.before.each(async (context) => {
  context.bed = new MemoryBed();
  context.a = await context.bed.gateway('a');
  context.b = await context.bed.gateway('b');
  context.c = await context.bed.gateway('c');
  context.worker = await context.bed.worker('w');
});

test.after.each(async ({ bed }) => {
  await bed[Symbol.asyncDispose]();
});

const span = (blob: Sha256) => ({ blob, offset: 0, sizeBytes: 1 });
const printed = (blob: Sha256) => resultOf(0, { stdout: span(blob) });

function securing({ bed }: Context, { blobs, copies, gateways }: BlobNode): ResultBlobs {
  return new ResultBlobs({ blobs, copies, gateways, clock: bed.clock });
}

async function deliver({ bed, worker }: Context, to: readonly BlobNode[], blobs: readonly Sha256[]): Promise<void> {
  const { transport, store, fetcher } = worker;
  const gateways = () => to.map(({ self }) => self);
  const carrier = new GatewayCarrier({ transport, store, fetcher, clock: bed.clock, gateways });
  await carrier.deliver(blobs, new AbortController().signal);
}

/** How many gateways have it. */
async function copiesOf({ a, b, c }: Context, sha256: Sha256): Promise<number> {
  return (await a.held(sha256)) + (await b.held(sha256)) + (await c.held(sha256));
}

/** A result with a list of outputs, and all that it names. */
async function listed({ worker }: Context) {
  const pack = await worker.keep('pack');
  const file = { kind: 'file', path: 'x', mode: 0o644, sha256: pack, span: span(pack) };
  const list = await worker.keep(Buffer.concat([...encodeManifest([file])]));
  const result = resultOf(0, { outputs: { kind: 'manifest', blob: list, files: 1, sizeBytes: 4 } });
  return { result, pack, list };
}

test('delivered to one gateway and reported to another, it is committed', async (context) => {
  const { a, b, worker } = context;
  const sha256 = await worker.keep('output');
  await deliver(context, [a], [sha256]);
  worker.onCall = () => Promise.reject(new Error('the worker is asked for nothing more'));
  assert.is(await securing(context, b).secure(printed(sha256), worker.self), undefined);
  assert.is(await b.held(sha256), 1);
});

test('delivered to a gateway that died with it, it comes from the worker that reports', async (context) => {
  const { a, b, c, worker } = context;
  const { result, pack, list } = await listed(context);
  for (const other of [b, c]) other.onCall = () => Promise.reject(new SkeinError('disk-full', 'no room for a copy'));
  await deliver(context, [a], [pack, list]);
  await a.transport.stop();
  assert.is(await securing(context, b).secure(result, worker.self), undefined);
  assert.is(await b.held(pack, list), 2, 'what its list names too');
});

test('what nobody has is said to be missing', async (context) => {
  const { b, worker } = context;
  const sha256 = await worker.keep('output');
  await worker.store.remove(sha256);
  assert.is(await securing(context, b).secure(printed(sha256), worker.self), sha256);
  const { result, pack, list } = await listed(context);
  await worker.store.remove(pack);
  assert.is(await securing(context, b).secure(result, worker.self), pack);
  assert.is(await b.held(list), 1);
});

test('all that it names is on two gateways then, its list and what that names', async (context) => {
  const { a, worker } = context;
  const { result, pack, list } = await listed(context);
  for (const sha256 of [pack, list]) await a.keep(sha256 === pack ? 'pack' : await bytesOf(worker, list));
  assert.is(await securing(context, a).secure(result, worker.self), undefined);
  assert.equal([await copiesOf(context, pack), await copiesOf(context, list)], [2, 2]);
});

test('a copy that takes long is not waited for', async (context) => {
  const { bed, a, b, c, worker } = context;
  const sha256 = await a.keep('output');
  for (const other of [b, c]) other.onCall = () => new Promise(() => {});
  const startedAt = bed.clock.monotonic();
  assert.is(await bed.awaited(securing(context, a).secure(printed(sha256), worker.self)), undefined);
  assert.ok(bed.clock.monotonic() - startedAt < 5_000);
});

test('a list that its worker made wrong is no reason to wait', async (context) => {
  const { a, worker } = context;
  const list = await worker.keep('[{"kind": ');
  const result = resultOf(0, { outputs: { kind: 'manifest', blob: list, files: 1, sizeBytes: 4 } });
  assert.is(await securing(context, a).secure(result, worker.self), undefined);
});

test('where there is one gateway its list is not even read', async ({ bed, worker }) => {
  const alone = new MemoryBed();
  const gateway = await alone.gateway('a');
  const list = await gateway.keep('list');
  gateway.blobs.read = () => Promise.reject(new Error('read'));
  const { blobs, copies, gateways } = gateway;
  const results = new ResultBlobs({ blobs, copies, gateways, clock: bed.clock });
  const result = resultOf(0, { outputs: { kind: 'manifest', blob: list, files: 1, sizeBytes: 4 } });
  assert.is(await results.secure(result, worker.self), undefined);
  await alone[Symbol.asyncDispose]();
});

test('it names logs, packs and manifests', () => {
  const [here, away, pack] = ['aa', 'bb', 'cc'].map((digits) => digits.repeat(32)) as [Sha256, Sha256, Sha256];
  const files = [
    { kind: 'file', path: 'a', mode: 0o644, sha256: here, span: span(pack) },
    { kind: 'link', path: 'b', target: 'a' },
  ] as const;
  const inline = resultOf(0, { stdout: span(here), stderr: span(away), outputs: { kind: 'inline', files } });
  assert.equal([...blobsOf(inline)], [here, away, pack]);
  const manifest = resultOf(0, { outputs: { kind: 'manifest', blob: away, files: 99, sizeBytes: 1 } });
  assert.equal([...blobsOf(manifest)], [away]);
});

async function bytesOf({ store }: BlobNode, sha256: Sha256): Promise<Uint8Array> {
  return store.chunk(sha256, 0, 262_144);
}

test.run();
