// What a job takes along: each work path once, with the argument that named it.
import type { InputFile } from '../../../protocol/api/jobspec.ts';

export type Taken =
  | {
      readonly kind: 'file';
      readonly path: string;
      /** Absolute. */
      readonly local: string;
      readonly mode: number;
      readonly sizeBytes: number;
      /** For people: what on the command line brought it. */
      readonly because: string;
    }
  | { readonly kind: 'link'; readonly path: string; readonly target: string; readonly because: string }
  | {
      readonly kind: 'folder';
      readonly path: string;
      /** Absent: as folders are made there. */
      readonly mode?: number;
      readonly because: string;
    };

export class Collection {
  readonly #byPath = new Map<string, Taken>();

  add(taken: Taken): void {
    // The first argument that names a file is the one told to the user.
    if (!this.#byPath.has(taken.path)) this.#byPath.set(taken.path, taken);
  }

  has(path: string): boolean {
    return this.#byPath.has(path);
  }

  /** Sorted by path; folders that hold something taken come to be by themselves, and are left out but for a mode. */
  entries(): readonly Taken[] {
    const holding = new Set<string>();
    for (const taken of this.#byPath.values()) {
      for (const parent of parents(taken.path)) holding.add(parent);
    }
    return [...this.#byPath.values()]
      .filter((taken) => taken.kind !== 'folder' || taken.mode !== undefined || !holding.has(taken.path))
      .sort((a, b) => (a.path < b.path ? -1 : 1));
  }
}

function* parents(path: string): Iterable<string> {
  for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) yield path.slice(0, at);
}

/** @param hashOf the sha-256 of a local file that was hashed before. */
export function toInputFile(taken: Taken, hashOf: (local: string) => string): InputFile {
  if (taken.kind === 'link') return { path: taken.path, link: taken.target };
  if (taken.kind === 'folder') {
    return { path: taken.path, folder: true, ...(taken.mode === undefined ? {} : { mode: taken.mode }) };
  }
  return { path: taken.path, sha256: hashOf(taken.local), sizeBytes: taken.sizeBytes, mode: taken.mode };
}
