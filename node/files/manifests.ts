// Manifests of the store, element by element: whatever their length, no more than a chunk of them is held.
import type { Sha256 } from '../../protocol/ids.ts';
import type { ManifestReader } from '../../protocol/wire/manifest.ts';
import type { BlobStore } from '../blob/port.ts';

/** Fails with `not-found`, `invalid-request`, `too-large`. */
export async function* readManifest<T>(
  store: Pick<BlobStore, 'read'>,
  sha256: Sha256,
  reader: ManifestReader<T>,
): AsyncGenerator<T> {
  for await (const chunk of await store.read(sha256)) {
    reader.push(chunk as Uint8Array);
    yield* reader.take();
  }
  reader.end();
}
