// Which blobs a row keeps alive. Every hash anywhere in it counts, whatever the field is called: one too many only keeps
// a blob for longer, one too few loses it.
import { isSha256, type Sha256 } from '../../protocol/ids.ts';
import type { JobRow, TaskRow } from '../../protocol/state/rows.ts';

export interface References {
  readonly blobs: ReadonlySet<Sha256>;
  /** Those of them that are lists and name further blobs. */
  readonly manifests: ReadonlySet<Sha256>;
}

export function jobReferences({ spec }: Pick<JobRow, 'spec'>): References {
  const manifests = new Set<Sha256>();
  if (spec.inputsManifest !== undefined) manifests.add(spec.inputsManifest.sha256 as Sha256);
  if (spec.items !== undefined && 'manifest' in spec.items) manifests.add(spec.items.manifest.sha256 as Sha256);
  return { blobs: hashesIn(spec), manifests };
}

export function taskReferences({ attempts }: Pick<TaskRow, 'attempts'>): References {
  const manifests = new Set<Sha256>();
  for (const { outputs } of attempts) if (outputs?.kind === 'manifest') manifests.add(outputs.blob);
  return { blobs: hashesIn(attempts), manifests };
}

/** The list of inputs that an element of a manifest of items names, where it has one. */
export function itemManifestOf(element: unknown): Sha256 | undefined {
  const list = (element as { readonly inputsManifest?: { readonly sha256?: unknown } } | null)?.inputsManifest;
  return typeof list?.sha256 === 'string' && isSha256(list.sha256) ? list.sha256 : undefined;
}

/** Every string in a JSON value that is a hash. Not recursive: how deep a value goes is its sender's choice. */
export function hashesIn(value: unknown): ReadonlySet<Sha256> {
  const hashes = new Set<Sha256>();
  const open: unknown[] = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next === 'string') {
      if (isSha256(next)) hashes.add(next);
    } else if (typeof next === 'object' && next !== null) {
      // One by one: an array may be longer than what one call takes.
      for (const inner of Object.values(next)) open.push(inner);
    }
  }
  return hashes;
}
