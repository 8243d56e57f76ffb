// What stands between a well-formed body and `job.submitted`: the checks a schema cannot make, and making the record fit.
import { Check } from 'typebox/value';
import { type InputFile, type ItemEntry, type JobSpec, SpecRest } from '../protocol/api/jobspec.ts';
import { inputsFault, specFault } from '../protocol/api/speccheck.ts';
import { SkeinError } from '../protocol/errors.ts';
import type { Sha256 } from '../protocol/ids.ts';
import { elementMaxBytes, inputManifest, itemManifest, type ManifestReader } from '../protocol/wire/manifest.ts';
import { keepJsonBlob, readJsonBlob } from './manifest.ts';
import type { BlobPort } from './port.ts';

/** Of the 64 KiB that a record may have; the rest of the command comes on top. A body up to this fits as it is. */
export const SPEC_BYTES_MAX = 60 * 1024;
const MISSING_SHOWN = 1000;

/** Fails with `invalid-request` that names the field. */
export function checkSpec(spec: JobSpec): void {
  const fault = specFault(spec);
  if (fault === undefined) return;
  throw new SkeinError('invalid-request', `the body's field ${fault.field} ${fault.expected}`, { extra: { ...fault } });
}

export interface NamedBlobs {
  readonly named: ReadonlySet<Sha256>;
  /** Those that this mesh does not hold; at most 1,000. */
  readonly missing: readonly Sha256[];
}

/** What a job names, in manifests too where none is missing. */
export async function namedBlobs(blobs: BlobPort, spec: JobSpec): Promise<NamedBlobs> {
  const named = namedDirectly(spec);
  if (named.size === 0) return { named, missing: [] };
  const missing = await blobs.lacking(named, MISSING_SHOWN);
  if (missing.length > 0) return { named, missing };
  const listed = await inManifests(blobs, spec);
  return { named: named.union(listed), missing: await blobs.lacking(listed, MISSING_SHOWN) };
}

export function namedDirectly(spec: JobSpec): Set<Sha256> {
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

/** Reads every list that is a blob: one that cannot be used must be refused here, not met by a worker later. */
async function inManifests(blobs: BlobPort, spec: JobSpec): Promise<Set<Sha256>> {
  const named = new Set<Sha256>();
  if (spec.rest !== undefined) await checkRest(blobs, spec.rest.sha256 as Sha256);
  if (spec.inputsManifest !== undefined) {
    collect(await readList(blobs, spec.inputsManifest, inputManifest(), 'inputsManifest'), named);
  }
  if (spec.items === undefined || !('manifest' in spec.items)) return named;
  const entries = await readList(blobs, spec.items.manifest, itemManifest(), 'items.manifest');
  const lists = new Map<string, NonNullable<ItemEntry['inputsManifest']>>();
  for (const { inputs, inputsManifest } of entries) {
    if (inputs !== undefined) collect(inputs, named);
    if (inputsManifest !== undefined) lists.set(inputsManifest.sha256, inputsManifest);
  }
  for (const list of lists.values()) {
    const sha256 = list.sha256 as Sha256;
    // Named before it is read: one that is missing is asked for together with the files.
    named.add(sha256);
    if ((await blobs.stat(sha256)) === undefined) continue;
    collect(await readList(blobs, list, inputManifest(), 'inputsManifest of an item'), named);
  }
  return named;
}

async function checkRest(blobs: BlobPort, sha256: Sha256): Promise<void> {
  const rest = await readJsonBlob<unknown>(blobs, sha256);
  if (Check(SpecRest, rest)) return;
  throw new SkeinError('invalid-request', "the body's field rest must name a blob with {args?, env?}", {
    extra: { field: 'rest' },
  });
}

async function readList<T>(
  blobs: BlobPort,
  { sha256, count }: { readonly sha256: string; readonly count: number },
  reader: ManifestReader<T>,
  field: string,
): Promise<T[]> {
  const list: T[] = [];
  // One by one: an array may be longer than what one call takes.
  const take = (): void => {
    for (const element of reader.take()) list.push(element);
  };
  try {
    for await (const chunk of await blobs.read(sha256 as Sha256)) {
      reader.push(chunk as Uint8Array);
      take();
    }
    reader.end();
    take();
  } catch (error) {
    if (!(error instanceof SkeinError)) throw error;
    throw new SkeinError(error.code, `the blob that the body's field ${field} names: ${error.message}`, {
      cause: error,
      fix: 'its form is described at /docs',
      extra: { field },
    });
  }
  if (list.length === count) return list;
  const sentence = `the body's field ${field} must name a blob with ${count} entries; it has ${list.length}`;
  throw new SkeinError('invalid-request', sentence, { extra: { field } });
}

function collect(inputs: readonly InputFile[], named: Set<Sha256>): void {
  const fault = inputsFault(inputs, 'inputs');
  if (fault !== undefined) {
    throw new SkeinError('invalid-request', `in a manifest, the field ${fault.field} ${fault.expected}`);
  }
  for (const { sha256 } of inputs) if (sha256 !== undefined) named.add(sha256 as Sha256);
}

/** The spec as the log takes it: lists that make it too long are put into blobs of their own. */
export async function fitRecord(blobs: BlobPort, spec: JobSpec, signal: AbortSignal): Promise<JobSpec> {
  let fitted = spec;
  if (fitted.items !== undefined && 'list' in fitted.items && sizeOf(fitted.items.list) > SPEC_BYTES_MAX / 4) {
    const entries = fitted.items.list.map((item): ItemEntry => ({ item }));
    const large = entries.findIndex((entry) => sizeOf(entry) > elementMaxBytes);
    if (large >= 0) {
      throw new SkeinError(
        'too-large',
        `the body's field items.list.${large} is larger than ${elementMaxBytes} bytes`,
        {
          fix: 'put it into a file, and make that an input of the item',
          extra: { field: `items.list.${large}`, maxBytes: elementMaxBytes },
        },
      );
    }
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
