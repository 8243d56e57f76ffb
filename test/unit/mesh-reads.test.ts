// What the HTTP door reads and submits on one gateway, of what lies on another.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Mesh, type MeshParts } from '../../node/mesh.ts';
import type { JobId, Sha256 } from '../../protocol/ids.ts';
import { keys, type TaskRow } from '../../protocol/state/rows.ts';
import { encodeManifest } from '../../protocol/wire/manifest.ts';
import { type BlobNode, MemoryBed } from '../support/gateways.ts';

interface Context {
  bed: MemoryBed;
  here: BlobNode;
  there: BlobNode;
  mesh: Mesh;
}

const test = suite<Context>('a door and another gateway');
const J = 'job' as JobId;

test.before.each(async (context) => {
  const bed = new MemoryBed();
  const here = await bed.gateway('a');
  const there = await bed.gateway('b');
  const view = { get: (key: string) => bed.rows.get(key) };
  const { blobs, copies, store, transport } = here;
  const parts = { log: { view }, blobs, copies, store, transport, clock: bed.clock } as unknown as MeshParts;
  Object.assign(context, { bed, here, there, mesh: new Mesh(parts) });
});

test.after.each(async ({ bed }) => {
  await bed[Symbol.asyncDispose]();
});

test('logs, lists of outputs and outputs are read from wherever they are', async ({ bed, there, mesh }) => {
  const [log, pack] = [await there.keep('printed'), await there.keep('0123456789')];
  const file = { kind: 'file', path: 'x', mode: 0o644, sha256: pack, span: { blob: pack, offset: 3, sizeBytes: 4 } };
  const list = await there.keep(Buffer.concat([...encodeManifest([file])]));
  const outputs = { kind: 'manifest', blob: list, files: 1, sizeBytes: 4 };
  const stdout = { blob: log, offset: 0, sizeBytes: 7 };
  const task = { attempts: [{ n: 1, state: 'finished', stdout, stderr: null, outputs }] } as unknown as TaskRow;
  bed.rows.set(keys.task(J, 1), task);
  const request = { jobId: J, task: 1, attempt: 1, stream: 'out', offset: 0, waitMs: 0 } as const;
  const { bytes, end } = await mesh.readLog(request, new AbortController().signal);
  assert.equal([Buffer.from(bytes).toString(), end], ['printed', true]);
  const [found] = await mesh.outputFiles(task);
  assert.ok(found?.kind === 'file');
  let text = '';
  for await (const chunk of await mesh.blobs.readSpan(found.span)) text += String(chunk);
  assert.is(text, '3456');
});

test('what a submission names is here and there before it is proposed', async ({ here, there, mesh }) => {
  const [own, others] = [await here.keep('own'), await there.keep('others')];
  assert.equal(await mesh.blobs.lacking([own, others]), []);
  await mesh.blobs.copy([own, others]);
  assert.equal([await here.held(own, others), await there.held(own, others)], [2, 2]);
});

test('a submission goes on where the other gateway takes no copy', async ({ bed, here, there, mesh }) => {
  const own = await here.keep('own');
  there.onCall = () => new Promise(() => {});
  const startedAt = bed.clock.monotonic();
  await bed.awaited(mesh.blobs.copy([own]), 500);
  assert.ok(bed.clock.monotonic() - startedAt < 20_000);
});

test('a blob that is put is stored here, though another gateway has it', async ({ here, there, mesh }) => {
  const sha256 = (await there.keep('bytes')) as Sha256;
  const source = async function* () {
    yield Buffer.from('bytes');
  };
  assert.equal(await mesh.blobs.put(sha256, source(), 5, new AbortController().signal), { existed: false });
  assert.is(await here.held(sha256), 1);
});

test.run();
