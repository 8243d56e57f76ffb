// The entries of arrays whose items lie in a manifest blob, read once and kept for the arrays in work.
import type { ItemEntry, JobSpec } from '../../protocol/api/jobspec.ts';
import { SkeinError } from '../../protocol/errors.ts';
import type { Sha256 } from '../../protocol/ids.ts';
import { itemManifest } from '../../protocol/wire/manifest.ts';
import type { BlobStore } from '../blob/port.ts';

const ARRAYS_KEPT = 8;

export class Items {
  readonly #blobs: Pick<BlobStore, 'read'>;
  readonly #parsed = new Map<Sha256, Promise<readonly ItemEntry[]>>();

  constructor(blobs: Pick<BlobStore, 'read'>) {
    this.#blobs = blobs;
  }

  /** The entry of task `n` (from 1). Fails with `not-found` where the manifest is not here. */
  async entry(spec: JobSpec, n: number): Promise<ItemEntry> {
    if (spec.items === undefined || !('manifest' in spec.items))
      throw new SkeinError('not-found', 'the job has no manifest');
    const entry = (await this.#load(spec.items.manifest.sha256 as Sha256))[n - 1];
    if (entry === undefined) throw new SkeinError('not-found', `the manifest has no item ${n}`);
    return entry;
  }

  #load(sha256: Sha256): Promise<readonly ItemEntry[]> {
    const known = this.#parsed.get(sha256);
    if (known !== undefined) return known;
    const parsed = this.#parse(sha256);
    this.#parsed.set(sha256, parsed);
    parsed.catch(() => this.#parsed.delete(sha256));
    const [oldest] = this.#parsed.keys();
    if (this.#parsed.size > ARRAYS_KEPT && oldest !== undefined) this.#parsed.delete(oldest);
    return parsed;
  }

  async #parse(sha256: Sha256): Promise<readonly ItemEntry[]> {
    const manifest = itemManifest();
    for await (const chunk of await this.#blobs.read(sha256)) manifest.push(chunk as Uint8Array);
    manifest.end();
    return manifest.take();
  }
}
