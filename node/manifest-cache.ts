// Output manifests as they were lately read: each file that is fetched asks for its whole task's. They never change, as
// their names are their hashes.
import type { Sha256 } from '../protocol/ids.ts';
import type { OutputFile } from '../protocol/state/result.ts';

export class ManifestCache {
  readonly #filesMax: number;
  /** The oldest first. */
  readonly #kept = new Map<Sha256, readonly OutputFile[]>();
  #files = 0;

  constructor({ filesMax }: { readonly filesMax: number }) {
    this.#filesMax = filesMax;
  }

  async get(blob: Sha256, read: () => Promise<readonly OutputFile[]>): Promise<readonly OutputFile[]> {
    const files = this.#take(blob) ?? (await read());
    // Another one may have read it meanwhile.
    this.#take(blob);
    this.#kept.set(blob, files);
    this.#files += files.length;
    for (const oldest of this.#kept.keys()) {
      // The last one stays however long it is: its files are being asked for one by one.
      if (this.#files <= this.#filesMax || this.#kept.size === 1) break;
      this.#take(oldest);
    }
    return files;
  }

  #take(blob: Sha256): readonly OutputFile[] | undefined {
    const files = this.#kept.get(blob);
    if (files !== undefined && this.#kept.delete(blob)) this.#files -= files.length;
    return files;
  }
}
