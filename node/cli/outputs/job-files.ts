// What a job's spec says of files here: which were uploaded, under which names its tasks' results go, and to which
// places outside its results may come back. All from the spec and its manifests, so that `attach` knows it too.
import { resolve } from 'node:path';
import type { InputFile, ItemEntry, JobSpec } from '../../../protocol/api/jobspec.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import { localPath, outsideFolders } from '../upload/paths.ts';
import { folderNames } from './folder-names.ts';

export interface JobFiles {
  /** Absolute path to the sha-256 that was uploaded from there. */
  readonly uploaded: ReadonlyMap<string, string>;
  readonly outside: readonly string[];
  /** The name of a task's output folder; tasks count from 1. */
  readonly nameOf: (task: number) => string;
  /** The item as people know it, or undefined where the job has no items. */
  readonly itemOf: (task: number) => string | undefined;
}

/** A manifest of a million items with a few inputs each. */
const MANIFEST_MAX_BYTES = 512 * 1024 * 1024;

/** @param folder absolute; where the job was submitted. @param readBlob the bytes of a manifest. */
export async function jobFiles(
  spec: JobSpec,
  taskCount: number,
  folder: string,
  readBlob: (sha256: string) => Promise<AsyncIterable<Uint8Array>>,
): Promise<JobFiles> {
  const inputs: InputFile[] = [...(spec.inputs ?? [])];
  if (spec.inputsManifest !== undefined)
    for (const input of await readJson<InputFile[]>(spec.inputsManifest.sha256, readBlob)) inputs.push(input);
  if (spec.script !== undefined) inputs.push(spec.script);
  const entries = await entriesOf(spec, readBlob);
  const uploaded = new Map<string, string>();
  for (const entry of entries) {
    inputs.push(...(entry.inputs ?? []));
    if (entry.inputsManifest !== undefined)
      for (const input of await readJson<InputFile[]>(entry.inputsManifest.sha256, readBlob)) inputs.push(input);
  }
  for (const input of inputs) {
    if (input.sha256 !== undefined) uploaded.set(resolve(localPath(input.path, folder).path), input.sha256);
  }
  // Of a range there are no entries: every task has its number.
  const folders = folderNames(Array.from({ length: taskCount }, (_, at) => entries[at]?.name));
  const nameOf = (task: number): string => folders[task - 1] ?? String(task);
  return {
    uploaded,
    outside: outsideFolders(textsOf(spec, entries)),
    nameOf,
    itemOf: (task) => (spec.items === undefined ? undefined : (entries[task - 1]?.name ?? nameOf(task))),
  };
}

async function entriesOf(
  spec: JobSpec,
  readBlob: (sha256: string) => Promise<AsyncIterable<Uint8Array>>,
): Promise<readonly ItemEntry[]> {
  if (spec.items === undefined || 'range' in spec.items) return [];
  if ('list' in spec.items) return spec.items.list.map((item) => ({ item }));
  return readJson<ItemEntry[]>(spec.items.manifest.sha256, readBlob);
}

async function readJson<T>(
  sha256: string,
  readBlob: (sha256: string) => Promise<AsyncIterable<Uint8Array>>,
): Promise<T> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of await readBlob(sha256)) {
    bytes += chunk.length;
    if (bytes > MANIFEST_MAX_BYTES) throw new SkeinError('too-large', 'a list of the job is larger than 512 MiB');
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString('utf8')) as T;
}

/** Every text of the spec that may hold a rewritten path. */
function* textsOf(spec: JobSpec, entries: readonly ItemEntry[]): Iterable<string> {
  yield* spec.args ?? [];
  if (spec.script !== undefined) yield spec.script.path;
  for (const { item } of entries) {
    if (typeof item === 'string') yield item;
    else if (typeof item === 'object' && item !== null)
      yield* Object.values(item).filter((each) => typeof each === 'string');
  }
}
