// The way of 1 GiB through a node, in a process of its own whose memory is measured: put, staged, changed by a script,
// collected, fetched by another node. Usage: large-child.ts FOLDER BYTES; prints one line of JSON.
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { Fetcher } from '../../../node/blob/fetch.ts';
import { FileBlobStore } from '../../../node/blob/files.ts';
import { BlobServer } from '../../../node/blob/transfer.ts';
import { realClock, seededRandom } from '../../../node/clock.ts';
import { collectOutputs } from '../../../node/files/collect.ts';
import { stageAttempt } from '../../../node/files/stage.ts';
import type { Handler, Transport } from '../../../node/transport/port.ts';
import type { PeerId } from '../../../protocol/ids.ts';

const [folder = '', length = ''] = process.argv.slice(2);
const sizeBytes = Number(length);
const clock = realClock();
const times: Record<string, number> = {};

async function timed<T>(name: string, work: Promise<T>): Promise<T> {
  const startedAt = performance.now();
  const result = await work;
  times[name] = Math.round(performance.now() - startedAt);
  return result;
}

async function storeAt(name: string): Promise<FileBlobStore> {
  const store = new FileBlobStore({ clock }, { folder: join(folder, name), reserve: 0, durable: true });
  await store.start();
  return store;
}

/** No two blocks alike, quickly. */
async function* bytes(): AsyncGenerator<Uint8Array> {
  const block = Buffer.from(seededRandom('large').bytes(65_536));
  for (let at = 0; at < sizeBytes; at += block.length) {
    const next = Buffer.from(block);
    next.writeDoubleLE(at);
    yield next.subarray(0, Math.min(block.length, sizeBytes - at));
  }
}

const store = await storeAt('one');
const input = await timed('put', store.put(bytes(), {}));
const inputs = [{ path: 'large', sha256: input.sha256 }];
const attempt = join(folder, 'attempt');
const { workFolder } = await timed('stage', stageAttempt({ store, clock }, { folder: attempt, inputs, stdin: null }));
await store.remove(input.sha256);
const file = await open(join(workFolder, 'large'), 'r+');
await file.write('changed');
await file.close();
const collected = await timed('collect', collectOutputs({ store }, attempt));

const handlers = new Map<string, Handler>();
const transport = {
  self: 'two' as PeerId,
  handle: (_: string, method: string, handler: Handler) => handlers.set(method, handler),
  call: (_: PeerId, __: string, method: string, body: Uint8Array) => handlers.get(method)?.('two' as PeerId, body),
} as unknown as Transport;
new BlobServer({ transport, store, fetcher: new Fetcher({ transport, store }), clock }, { gateway: false }).start();
const other = await storeAt('two');
const [output] = collected.blobs;
if (output === undefined) throw new Error('nothing was collected');
const fetcher = new Fetcher({ transport, store: other });
const { sizeBytes: fetched } = await timed(
  'fetch',
  fetcher.fetch(output, ['one' as PeerId], AbortSignal.timeout(60_000)),
);
const rssMiB = Math.round(process.resourceUsage().maxRSS / 1024);
process.stdout.write(JSON.stringify({ rssMiB, fetched, changed: output !== input.sha256, times }));
