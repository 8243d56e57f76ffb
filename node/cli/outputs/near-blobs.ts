// The blobs of a node on this machine, read from its disk where this user may: a large result then does not go through a
// socket only to come back to the same disk.
import { open } from 'node:fs/promises';
import { isSha256 } from '../../../protocol/ids.ts';
import { blobFile } from '../../blob/path.ts';
import { chunksIn } from '../upload/chunks.ts';

/**
 * The bytes of a blob from `offset` on. What is not a file of its own here, or another user's, is asked for instead.
 * @param folder the data folder of a node of the mesh on this machine, or null
 */
export async function* readNear(
  {
    folder,
    sha256,
    offset,
  }: { readonly folder: string | null; readonly sha256: string | null; readonly offset: number },
  ask: () => Promise<AsyncIterable<Uint8Array>>,
): AsyncGenerator<Uint8Array> {
  const path = folder !== null && sha256 !== null && isSha256(sha256) ? blobFile(folder, sha256) : undefined;
  // Once it is open it may leave the store.
  const file = path && (await open(path).catch(() => undefined));
  yield* file ? chunksIn(file, { start: offset }) : await ask();
}
