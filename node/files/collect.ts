// Takes up what an attempt left behind: what its script created or changed in the work folder, and its two streams.
// Small ones share one blob, the pack, as fsyncs and not bytes are what small tasks cost; large ones become blobs as they
// lie. Nothing is taken away from the folder, so a node killed half way does it again with the same result. What is small
// is looked at and read at once, without a thread for each call; between files all else has its turn.
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, realpathSync } from 'node:fs';
import { readlink } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative } from 'node:path';
import { SkeinError } from '../../protocol/errors.ts';
import type { Sha256 } from '../../protocol/ids.ts';
import { linkFault } from '../../protocol/paths.ts';
import type { OutputFile, Outputs, Span } from '../../protocol/state/result.ts';
import { encodeManifest } from '../../protocol/wire/manifest.ts';
import { onDisk } from '../blob/disk.ts';
import type { BlobStore } from '../blob/port.ts';
import { readRegular } from '../blob/regular.ts';
import { type AttemptFolder, attemptFolder } from './attempt-folder.ts';
import { readSnapshot, type Snapshot, stampOf } from './snapshot.ts';
import { type Found, walk } from './walk.ts';
import { Window } from './window.ts';

const PACKED_MAX_BYTES = 256 * 1024;
const INLINE_MAX_FILES = 16;
/** Long names make a short list long: the record in the log stays small. */
const INLINE_MAX_CHARACTERS = 16_384;
const FILES_MAX = 250_000;
const ADOPTED_AT_ONCE = 4;
const NOTES_MAX = 10;

export interface Collected {
  readonly stdout: Span | null;
  readonly stderr: Span | null;
  readonly outputs: Outputs;
  /** All blobs that these name: what has to be on gateways before the log names them. */
  readonly blobs: readonly Sha256[];
  /** For people: what was left behind, and why. */
  readonly notes: readonly string[];
}

export interface CollectOptions {
  /** What the script began with: folders of another mode are outputs of their own. */
  readonly umask?: number;
  readonly signal?: AbortSignal;
}

/**
 * To be called once the attempt's whole tree is gone. Fails with `too-large` (over 250,000 files), `disk-full`,
 * `folder-unusable`, `folder-damaged`, `file-unreadable`.
 */
export async function collectOutputs(
  deps: { readonly store: BlobStore },
  folder: string,
  { umask = 0o022, signal }: CollectOptions = {},
): Promise<Collected> {
  const places = attemptFolder(folder);
  if (leftNothing(places)) return nothing;
  const snapshot = await readSnapshot(places.snapshotFile);
  const collection = new Collection(deps.store, places.workFolder, { snapshot, umask, signal });
  return await onDisk('gathering results', collection.run({ out: places.stdoutFile, err: places.stderrFile }));
}

const nothing: Collected = { stdout: null, stderr: null, outputs: { kind: 'inline', files: [] }, blobs: [], notes: [] };

/** The commonest end of a small task. */
function leftNothing({ workFolder, stdoutFile, stderrFile }: AttemptFolder): boolean {
  try {
    return isEmpty(stdoutFile) && isEmpty(stderrFile) && readdirSync(workFolder).length === 0;
  } catch {
    // What cannot be looked into is told by the long way, with its reason.
    return false;
  }
}

const isEmpty = (path: string): boolean => (lstatSync(path, { throwIfNoEntry: false })?.size ?? 0) === 0;

/** A place in the pack, whose hash is known only at its end; or a span of a blob of its own. */
type Placed = { readonly offset: number; readonly sizeBytes: number } | Span;

type Output =
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly mode: number;
      readonly sha256: Sha256;
      readonly at: Placed;
    }
  | Exclude<OutputFile, { kind: 'file' }>;

class Collection {
  readonly #store: BlobStore;
  readonly #work: string;
  /** The work folder's names, as skein and as the script see it. */
  #roots: readonly string[] | undefined;
  readonly #snapshot: Snapshot;
  readonly #folderMode: number;
  readonly #signal: AbortSignal | undefined;
  readonly #window = new Window(ADOPTED_AT_ONCE);
  /** In the order of the walk; undefined while a large file is taken over, and for ever where it turns out unchanged. */
  readonly #outputs: (Output | undefined)[] = [];
  readonly #streams: { out: Placed | null; err: Placed | null } = { out: null, err: null };
  readonly #notes: string[] = [];
  #skipped = 0;
  #packedFiles = 0;
  #packedBytes = 0;

  constructor(
    store: BlobStore,
    work: string,
    {
      snapshot,
      umask,
      signal,
    }: { readonly snapshot: Snapshot; readonly umask: number; readonly signal: AbortSignal | undefined },
  ) {
    this.#store = store;
    this.#work = work;
    this.#snapshot = snapshot;
    this.#folderMode = 0o777 & ~umask;
    this.#signal = signal;
  }

  async run(streams: { readonly out: string; readonly err: string }): Promise<Collected> {
    let pack: Sha256 | undefined;
    try {
      pack = await this.#putPack(this.#parts(streams));
      await this.#window.end();
    } finally {
      await this.#window.idle();
    }
    const spanOf = (at: Placed): Span => ('blob' in at ? at : { blob: pack as Sha256, ...at });
    const files = this.#outputs
      .filter((output) => output !== undefined)
      .map((output): OutputFile => {
        if (output.kind !== 'file') return output;
        const { kind, path, mode, sha256, at } = output;
        return { kind, path, mode, sha256, span: spanOf(at) };
      });
    const stdout = this.#streams.out === null ? null : spanOf(this.#streams.out);
    const stderr = this.#streams.err === null ? null : spanOf(this.#streams.err);
    const outputs = await this.#outputsOf(files);
    const blobs = new Set([stdout, stderr].flatMap((span) => (span === null ? [] : [span.blob])));
    for (const file of files) if (file.kind === 'file') blobs.add(file.span.blob);
    if (outputs.kind === 'manifest') blobs.add(outputs.blob);
    return { stdout, stderr, outputs, blobs: [...blobs], notes: this.#allNotes() };
  }

  /** Nothing written: no blob and no fsync. */
  async #putPack(parts: AsyncGenerator<Uint8Array>): Promise<Sha256 | undefined> {
    const first = await parts.next();
    if (first.done === true && this.#packedFiles === 0) return undefined;
    const all = async function* (): AsyncGenerator<Uint8Array> {
      if (first.done === true) return;
      yield first.value;
      yield* parts;
    };
    return (await this.#store.put(all(), {}, this.#signal)).sha256;
  }

  /** The bytes of the pack in order. On the way all else is noted, and large files are taken over beside it. */
  async *#parts(streams: { readonly out: string; readonly err: string }): AsyncGenerator<Uint8Array> {
    yield* this.#stream('out', streams.out);
    yield* this.#stream('err', streams.err);
    for await (const found of walk(this.#work, (path, why) => this.#skip(path, why))) {
      this.#signal?.throwIfAborted();
      if (found.stats.isSymbolicLink()) await this.#link(found);
      else if (found.stats.isDirectory()) this.#folder(found);
      else if (!found.stats.isFile()) this.#skip(found.path, 'is neither file nor link');
      else if (!this.#isUntouched(found)) yield* this.#file(found);
      if (this.#outputs.length > FILES_MAX) {
        const fix = 'let it put them into an archive';
        throw new SkeinError('too-large', `the script left more than ${FILES_MAX} files`, { fix });
      }
    }
  }

  async *#stream(name: 'out' | 'err', path: string): AsyncGenerator<Uint8Array> {
    if (isEmpty(path)) return;
    const bytes = readRegular(path, PACKED_MAX_BYTES);
    if (bytes === undefined) {
      const { sha256, sizeBytes } = await this.#store.adopt(path, { keepSource: false });
      this.#streams[name] = { blob: sha256, offset: 0, sizeBytes };
    } else {
      this.#streams[name] = this.#pack(bytes.length);
      yield bytes;
    }
  }

  #isUntouched({ path, stats }: Found): boolean {
    const known = this.#snapshot.get(path);
    return known?.kind === 'file' && known.stamp === stampOf(stats);
  }

  async *#file({ path, stats }: Found): AsyncGenerator<Uint8Array> {
    const mode = Number(stats.mode) & 0o777;
    const full = join(this.#work, path);
    const bytes = stats.size > PACKED_MAX_BYTES ? undefined : readRegular(full, PACKED_MAX_BYTES);
    if (bytes === undefined) {
      const slot = this.#outputs.push(undefined) - 1;
      await this.#window.add(async () => {
        const { sha256, sizeBytes } = await this.#store.adopt(full, { keepSource: false });
        if (this.#isSame(path, mode, sha256)) return;
        this.#outputs[slot] = { kind: 'file', path, mode, sha256, at: { blob: sha256, offset: 0, sizeBytes } };
      });
      return;
    }
    const sha256 = createHash('sha256').update(bytes).digest('hex') as Sha256;
    if (this.#isSame(path, mode, sha256)) return;
    this.#packedFiles++;
    this.#outputs.push({ kind: 'file', path, mode, sha256, at: this.#pack(bytes.length) });
    if (bytes.length > 0) yield bytes;
  }

  /** Written again with the bytes it had. */
  #isSame(path: string, mode: number, sha256: Sha256): boolean {
    const known = this.#snapshot.get(path);
    return known?.kind === 'file' && known.sha256 === sha256 && known.mode === mode;
  }

  #pack(sizeBytes: number): Placed {
    const offset = this.#packedBytes;
    this.#packedBytes += sizeBytes;
    return { offset, sizeBytes };
  }

  #folder({ path, stats, isEmpty }: Found): void {
    const mode = Number(stats.mode) & 0o777;
    const known = this.#snapshot.get(path);
    const expected = known?.kind === 'folder' ? known.mode : this.#folderMode;
    if (mode === expected && (known !== undefined || !isEmpty)) return;
    this.#outputs.push({ kind: 'folder', path, mode });
  }

  async #link({ path }: Found): Promise<void> {
    const raw = await onDisk('reading a link', readlink(join(this.#work, path), { encoding: 'buffer' }));
    const target = this.#insideTarget(path, raw.toString('utf8'));
    const known = this.#snapshot.get(path);
    if (known?.kind === 'link' && known.target === target) return;
    const fault = linkFault(path, target);
    if (fault === undefined) this.#outputs.push({ kind: 'link', path, target });
    else this.#skip(path, `is a link that ${fault}`);
  }

  /** A script that links to its own files by their full paths means them wherever they come to lie. */
  #insideTarget(path: string, target: string): string {
    if (!isAbsolute(target)) return target;
    this.#roots ??= [this.#work, realpathSync(this.#work)];
    for (const root of this.#roots) {
      const inside = relative(root, target);
      if (inside !== '..' && !inside.startsWith('../')) return relative(dirname(path), inside) || '.';
    }
    return target;
  }

  async #outputsOf(files: readonly OutputFile[]): Promise<Outputs> {
    if (files.length <= INLINE_MAX_FILES && JSON.stringify(files).length <= INLINE_MAX_CHARACTERS) {
      return { kind: 'inline', files };
    }
    const source = async function* (): AsyncGenerator<Uint8Array> {
      yield* encodeManifest(files);
    };
    const { sha256 } = await this.#store.put(source(), {}, this.#signal);
    const sizeBytes = files.reduce((sum, file) => sum + (file.kind === 'file' ? file.span.sizeBytes : 0), 0);
    return { kind: 'manifest', blob: sha256, files: files.length, sizeBytes };
  }

  #skip(path: string, why: string): void {
    this.#skipped++;
    if (this.#notes.length < NOTES_MAX) this.#notes.push(`${JSON.stringify(path)} was left behind: it ${why}`);
  }

  #allNotes(): readonly string[] {
    const more = this.#skipped - this.#notes.length;
    return more > 0 ? [...this.#notes, `${more} more were left behind`] : this.#notes;
  }
}
