// One operation of a blob store in a process of its own, which kills itself with SIGKILL when a point is reached.
// Usage: victim.ts FOLDER OPERATION POINT; the file `source` in FOLDER is what is stored.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FileBlobStore } from '../../../node/blob/files.ts';
import { realClock } from '../../../node/clock.ts';
import type { Sha256 } from '../../../protocol/ids.ts';

const [folder, operation, point] = process.argv.slice(2) as [string, string, string];
const faults = {
  reach(name: string): void {
    if (name === point) process.kill(process.pid, 'SIGKILL');
  },
};
const store = new FileBlobStore({ clock: realClock(), faults }, { folder, reserve: 0, durable: true });
await store.start();

const path = join(folder, 'source');
const bytes = readFileSync(path);
const source = async function* (): AsyncGenerator<Uint8Array> {
  yield bytes;
};
if (operation === 'put') await store.put(source(), {});
else if (operation === 'adopt') await store.adopt(path, { keepSource: false });
else if (operation === 'copy') await store.adopt(path, { keepSource: true });
else {
  const sha256 = createHash('sha256').update(bytes).digest('hex') as Sha256;
  await store.uploadAppend(sha256, 0, bytes.length, source());
}
