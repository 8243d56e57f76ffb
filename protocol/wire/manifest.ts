// Lists that are too long for a record rest as blobs: a JSON array, read element by element as its bytes come in.
// Nothing of it is held but the element under way, whose size is bounded, as is their count.
import { type Static, type TSchema, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { InputFile, ItemEntry } from '../api/jobspec.ts';
import { SkeinError } from '../errors.ts';
import { linkFault, pathFault } from '../paths.ts';
import type { OutputFile } from '../state/result.ts';
import { bodyMaxBytes } from './codec.ts';
import { OutputFileShape } from './result.ts';

/** What one element may take: an item travels with the spec in one grant, whose body is bounded. */
export const elementMaxBytes = bodyMaxBytes / 2;
/** What walks over an element later may recurse. */
const DEPTH_MAX = 64;
const COUNT_MAX = 1_000_000;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;

/** Cuts the bytes of a JSON array into its elements. Fails with `invalid-request`, `too-large`. */
class ArraySplitter {
  #depth = 0;
  #inString = false;
  #escaped = false;
  #ended = false;
  #isFirst = true;
  #parts: Uint8Array[] = [];
  #bytes = 0;
  readonly #what: string;
  readonly #element: (bytes: Uint8Array) => void;

  constructor(what: string, element: (bytes: Uint8Array) => void) {
    this.#what = what;
    this.#element = element;
  }

  push(chunk: Uint8Array): void {
    let start = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (byte === BACKSLASH) this.#escaped = true;
        else if (byte === QUOTE) this.#inString = false;
      } else if (byte === QUOTE) {
        if (this.#depth === 0) throw this.#malformed();
        this.#inString = true;
      } else if (byte === 0x5b || byte === 0x7b) {
        if (this.#ended || (this.#depth === 0 && byte === 0x7b)) throw this.#malformed();
        if (++this.#depth === 1) start = at + 1;
        if (this.#depth > DEPTH_MAX) {
          throw new SkeinError('invalid-request', `${this.#what} nests deeper than ${DEPTH_MAX} levels`);
        }
      } else if (byte === 0x5d || byte === 0x7d) {
        if (this.#depth === 1 && byte === 0x7d) throw this.#malformed();
        if (this.#depth === 1) this.#cut(chunk.subarray(start, at), 'last');
        if (--this.#depth === 0) this.#ended = true;
        if (this.#depth < 0) throw this.#malformed();
      } else if (byte === COMMA && this.#depth === 1) {
        this.#cut(chunk.subarray(start, at), 'more');
        start = at + 1;
      } else if (this.#depth === 0 && !isSpace(byte)) {
        throw this.#malformed();
      }
    }
    if (this.#depth > 0) this.#gather(chunk.subarray(start));
  }

  end(): void {
    if (!this.#ended) throw this.#malformed();
  }

  #gather(bytes: Uint8Array): void {
    this.#bytes += bytes.length;
    if (this.#bytes > elementMaxBytes) {
      throw new SkeinError('too-large', `an element of ${this.#what} has more than ${elementMaxBytes} bytes`);
    }
    // A copy: the chunk is its sender's.
    if (bytes.length > 0) this.#parts.push(bytes.slice());
  }

  #cut(bytes: Uint8Array, position: 'more' | 'last'): void {
    this.#gather(bytes);
    const element = join(this.#parts, this.#bytes);
    this.#parts = [];
    this.#bytes = 0;
    // `[]` and `[ ]` have no element; an empty one anywhere else does not parse and is refused there.
    if (position === 'last' && this.#isFirst && element.every(isSpace)) return;
    this.#isFirst = false;
    this.#element(element);
  }

  #malformed(): SkeinError {
    return new SkeinError('invalid-request', `${this.#what} is no JSON array`);
  }
}

const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;

function join(parts: readonly Uint8Array[], length: number): Uint8Array {
  if (parts.length === 1) return parts[0] as Uint8Array;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Reads one manifest: `push` its bytes in order, `take` what they held, then `end`. All fail with `invalid-request`, `too-large`. */
export interface ManifestReader<T> {
  push(chunk: Uint8Array): void;
  /** The elements since the last call, less those to be skipped. */
  take(): T[];
  end(): void;
}

interface ManifestOptions {
  /** Elements at the start that are counted but not parsed. */
  readonly skip?: number;
}

function reader<S extends TSchema, T>(what: string, schema: S, refine: (value: Static<S>) => T) {
  // Compiled at first use, for the command line's sake.
  let check: { Check(value: unknown): boolean } | undefined;
  const parse = (bytes: Uint8Array, n: number): T => {
    check ??= Compile(schema as TSchema);
    const value = parseJson(bytes, what, n);
    if (check.Check(value)) return refine(value as Static<S>);
    throw new SkeinError('invalid-request', `element ${n} of ${what} is not of the documented form`);
  };
  return (options: ManifestOptions = {}): ManifestReader<T> => {
    let count = 0;
    let taken: T[] = [];
    const splitter = new ArraySplitter(what, (bytes) => {
      if (++count > COUNT_MAX) throw new SkeinError('too-large', `${what} has more than ${COUNT_MAX} elements`);
      if (count > (options.skip ?? 0)) taken.push(parse(bytes, count));
    });
    return {
      push: (chunk) => splitter.push(chunk),
      end: () => splitter.end(),
      take() {
        const elements = taken;
        taken = [];
        return elements;
      },
    };
  };
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function parseJson(bytes: Uint8Array, what: string, n: number): unknown {
  try {
    return JSON.parse(utf8.decode(bytes));
  } catch (cause) {
    throw new SkeinError('invalid-request', `element ${n} of ${what} is no JSON`, { cause });
  }
}

function refuse(what: string, path: string, fault: string | undefined): void {
  if (fault !== undefined) throw new SkeinError('invalid-request', `${what} ${JSON.stringify(path)} ${fault}`);
}

/** Fails with `invalid-request` where an input names a place outside of its folder, or is not one of file, link and folder. */
export function judgeInput(input: InputFile): InputFile {
  refuse('the input', input.path, pathFault(input.path));
  if (input.link !== undefined) refuse('the link', input.path, linkFault(input.path, input.link));
  const kinds = [input.sha256 !== undefined, input.link !== undefined, input.folder === true].filter(Boolean).length;
  refuse('the input', input.path, kinds === 1 ? undefined : 'must have one of sha256, link and folder');
  return input;
}

/** The same for what an attempt left behind. */
function judgeOutput(output: OutputFile): OutputFile {
  refuse('the output', output.path, pathFault(output.path));
  if (output.kind === 'link') refuse('the link', output.path, linkFault(output.path, output.target));
  return output;
}

/** Any of them, for who does not care which. */
export const anyManifest = reader('a manifest', Type.Unknown(), (value) => value);
export const outputManifest = reader('a manifest of outputs', OutputFileShape, judgeOutput);
export const inputManifest = reader('a manifest of inputs', InputFile, judgeInput);
export const itemManifest = reader('a manifest of items', ItemEntry, (entry: ItemEntry): ItemEntry => {
  entry.inputs?.forEach(judgeInput);
  return entry;
});

/** The bytes of a manifest, piece by piece. */
export function* encodeManifest(elements: Iterable<unknown>): Generator<Uint8Array> {
  const encoder = new TextEncoder();
  let text = '[';
  let first = true;
  for (const element of elements) {
    text += `${first ? '' : ','}\n${JSON.stringify(element)}`;
    first = false;
    if (text.length < 65_536) continue;
    yield encoder.encode(text);
    text = '';
  }
  yield encoder.encode(`${text}\n]\n`);
}

/** A whole manifest of outputs that is in memory already. Fails with `invalid-request`, `too-large`. */
export function parseManifest(bytes: Uint8Array): readonly OutputFile[] {
  const manifest = outputManifest();
  manifest.push(bytes);
  manifest.end();
  return manifest.take();
}
