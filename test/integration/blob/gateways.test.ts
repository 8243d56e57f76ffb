// Copies between gateways over real connections and disks: large blobs, and one that goes down in the middle.
import { randomBytes } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FileBlobStore } from '../../../node/blob/files.ts';
import { realClock, realRandom } from '../../../node/clock.ts';
import { makePeerKey } from '../../../node/identity/identity.ts';
import { makeVerifier } from '../../../node/identity/signing.ts';
import { silentLog } from '../../../node/log.ts';
import { ranked } from '../../../node/policy/holders.ts';
import { Libp2pTransport } from '../../../node/transport/libp2p.ts';
import type { Sha256 } from '../../../protocol/ids.ts';
import { type TestFolder, testFolder } from '../../support/folder.ts';
import { type BlobNode, GatewayBed, hashOf, MESH } from '../../support/gateways.ts';

const SIZE = 24 * 1024 ** 2 + 7;

interface Context {
  folder: TestFolder;
  bed: GatewayBed;
  first: BlobNode;
  second: BlobNode;
  holder: BlobNode;
  sha256: Sha256;
}

const test = suite<Context>('copies between gateways');

async function gatewayOf(bed: GatewayBed): Promise<BlobNode> {
  const parts = {
    identity: await makePeerKey(realRandom()),
    verifier: makeVerifier(),
    admission: bed.admission,
    clock: bed.clock,
    random: realRandom(),
    log: silentLog,
  };
  const options = { listen: ['/ip4/127.0.0.1/tcp/0'], announce: [], meshId: MESH, dialOutOnly: false };
  return bed.add('gateway', new Libp2pTransport(parts, options));
}

test.before.each(async (context) => {
  const clock = realClock();
  const folder = testFolder();
  const newStore = (self: string) =>
    new FileBlobStore({ clock }, { folder: folder.at(self), reserve: 0, durable: true });
  const bed = new GatewayBed(clock, newStore);
  const holder = await gatewayOf(bed);
  await gatewayOf(bed);
  await gatewayOf(bed);
  const sha256 = await holder.keep(randomBytes(SIZE));
  const [first, second] = ranked(sha256, holder.others).map((peer) => bed.gateways.find(({ self }) => self === peer));
  Object.assign(context, { folder, bed, holder, first, second, sha256 });
});

test.after.each(async ({ folder, bed }) => {
  await bed[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

test('a large blob is copied to one other gateway, and read through by the third in parts and whole', async (context) => {
  const { holder, first, second, sha256 } = context;
  await holder.copies.make([sha256]);
  assert.equal([await first.held(sha256), await second.held(sha256)], [1, 0]);
  const end = await second.blobs.chunk(sha256, SIZE - 10, 10);
  assert.equal(end, await holder.store.chunk(sha256, SIZE - 10, 10));
  const chunks: Uint8Array[] = [];
  for await (const chunk of await second.blobs.read(sha256)) chunks.push(chunk as Uint8Array);
  assert.is(hashOf(Buffer.concat(chunks)), sha256);
});

test('a gateway that goes down half way through its pull is passed over; what had come stays', async (context) => {
  const { holder, first, second, sha256 } = context;
  let reads = 0;
  holder.onCall = async ({ from }, _body, answer) => {
    if (from === first.self && ++reads === 40) await first.transport.stop();
    return answer();
  };
  await holder.copies.make([sha256]);
  assert.equal([await first.held(sha256), await second.held(sha256)], [0, 1]);
  const had = await first.store.uploadOffset(sha256);
  assert.ok(had > 0 && had < SIZE, `${had} bytes had come`);
});

test('many small blobs go over together', async ({ holder, first, second }) => {
  const blobs: Sha256[] = [];
  for (let n = 0; n < 300; n++) blobs.push(await holder.keep(`output ${n}`));
  await holder.copies.make(blobs);
  assert.is((await first.held(...blobs)) + (await second.held(...blobs)), 300);
  assert.ok(first.times('pull') + second.times('pull') === 2);
});

test.run();
