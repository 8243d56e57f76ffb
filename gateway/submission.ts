// What stands between a well-formed body and `job.submitted`: the checks a schema cannot make, and making the record fit.

import type { InputFile, ItemEntry, JobSpec } from '../protocol/api/jobspec.ts';
import { inputsFault, specFault } from '../protocol/api/speccheck.ts';
import { SkeinError } from '../protocol/errors.ts';
import { isSha256, type Sha256 } from '../protocol/ids.ts';
import { keepJsonBlob, readJsonBlob } from './manifest.ts';
import type { BlobPort } from './port.ts';

/** Of the 64 KiB that a record may have; the rest of the command comes on top. A body up to this fits as it is. */
export const SPEC_BYTES_MAX = 60 * 1024;
const MISSING_SHOWN = 1000;
const STATS_AT_ONCE = 32;

/** Fails with `invalid-request` that names the field. */
export function checkSpec(spec: JobSpec): void {
  const fault = specFault(spec);
  if (fault === undefined) return;
  throw new SkeinError('invalid-request', `the body's field ${fault.field} ${fault.expected}`, { extra: { ...fault } });
}

/** The blobs that a job names and this mesh does not hold; at most 1,000. Manifests that are here are read, too. */
export async function missingBlobs(blobs: BlobPort, spec: JobSpec): Promise<Sha256[]> {
  const named = namedBlobs(spec);
  if (named.size === 0) return [];
  const missing = await absent(blobs, named);
  if (missing.length > 0) return missing;
  return absent(blobs, await inManifests(blobs, spec));
}

function namedBlobs(spec: JobSpec): Set<Sha256> {
  const named = new Set<Sha256>();
  const add = (sha256: string | undefined) => sha256 !== undefined && named.add(sha256 as Sha256);
  add(spec.script?.sha256);
  add(spec.stdin?.sha256);
  add(spec.rest?.sha256);
  add(spec.inputsManifest?.sha256);
  if (spec.items !== undefined && 'manifest' in spec.items) add(spec.items.manifest.sha256);
  for (const input of spec.inputs ?? []) add(input.sha256);
  return named;
}

async function inManifests(blobs: BlobPort, spec: JobSpec): Promise<Set<Sha256>> {
  const named = new Set<Sha256>();
  const lists: (readonly InputFile[])[] = [];
  if (spec.inputsManifest !== undefined) {
    lists.push(await readList<InputFile>(blobs, spec.inputsManifest, 'inputsManifest'));
  }
  if (spec.items !== undefined && 'manifest' in spec.items) {
    const entries = await readList<ItemEntry>(blobs, spec.items.manifest, 'items.manifest');
    for (const entry of entries) if (entry.inputs !== undefined) lists.push(entry.inputs);
  }
  for (const list of lists) collect(list, named);
  return named;
}

async function readList<T>(blobs: BlobPort, manifest: { sha256: string; count: number }, field: string): Promise<T[]> {
  const list = await readJsonBlob<unknown>(blobs, manifest.sha256 as Sha256);
  if (Array.isArray(list) && list.length === manifest.count && list.every(isObject)) return list as T[];
  throw new SkeinError('invalid-request', `the body's field ${field} must name a blob with ${manifest.count} entries`, {
    extra: { field },
  });
}

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);

function collect(inputs: readonly InputFile[], named: Set<Sha256>): void {
  const sound = Array.isArray(inputs) && inputs.every((input) => isObject(input) && typeof input.path === 'string');
  const fault = sound ? inputsFault(inputs, 'inputs') : { field: 'inputs', expected: 'must be a list of files' };
  if (fault !== undefined) {
    throw new SkeinError('invalid-request', `in a manifest, the field ${fault.field} ${fault.expected}`);
  }
  for (const { sha256 } of inputs) {
    if (sha256 === undefined) continue;
    if (!isSha256(sha256)) throw new SkeinError('invalid-request', 'a manifest names a blob by what is no sha-256');
    named.add(sha256);
  }
}

async function absent(blobs: BlobPort, named: ReadonlySet<Sha256>): Promise<Sha256[]> {
  const missing: Sha256[] = [];
  const left = named.values();
  const look = async (): Promise<void> => {
    for (const sha256 of left) {
      if (missing.length >= MISSING_SHOWN) return;
      if ((await blobs.stat(sha256)) === undefined) missing.push(sha256);
    }
  };
  await Promise.all(Array.from({ length: Math.min(STATS_AT_ONCE, named.size) }, look));
  return missing;
}

/** The spec as the log takes it: lists that make it too long are put into blobs of their own. */
export async function fitRecord(blobs: BlobPort, spec: JobSpec, signal: AbortSignal): Promise<JobSpec> {
  let fitted = spec;
  if (fitted.items !== undefined && 'list' in fitted.items && sizeOf(fitted.items.list) > SPEC_BYTES_MAX / 4) {
    const entries = fitted.items.list.map((item): ItemEntry => ({ item }));
    const sha256 = await keepJsonBlob(blobs, entries, signal);
    fitted = { ...fitted, items: { manifest: { sha256, count: entries.length } } };
  }
  if (sizeOf(fitted) > SPEC_BYTES_MAX && fitted.inputs !== undefined) {
    const { inputs, ...rest } = fitted;
    const sha256 = await keepJsonBlob(blobs, inputs, signal);
    fitted = { ...rest, inputsManifest: { sha256, count: inputs.length } };
  }
  if (sizeOf(fitted) > SPEC_BYTES_MAX) fitted = await withoutRest(blobs, fitted, signal);
  if (sizeOf(fitted) <= SPEC_BYTES_MAX) return fitted;
  throw new SkeinError('too-large', `the job's own fields are larger than ${SPEC_BYTES_MAX} bytes`, {
    fix: 'put long texts into an input file',
  });
}

/** Arguments and environment are the last to go: a worker then reads them from the blob `rest`. */
async function withoutRest(blobs: BlobPort, spec: JobSpec, signal: AbortSignal): Promise<JobSpec> {
  const { args, env, ...kept } = spec;
  const rest = { ...(args === undefined ? {} : { args }), ...(env === undefined ? {} : { env }) };
  return { ...kept, rest: { sha256: await keepJsonBlob(blobs, rest, signal) } };
}

const sizeOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));
