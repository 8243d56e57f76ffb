// A tar archive whose every byte is known beforehand: entries sorted, no times, no owners. So it has a length,
// and a range of it can be read without making the rest. Libraries write archives only from the start on.
import { SkeinError } from '../protocol/errors.ts';
import type { Span } from '../protocol/state/result.ts';
import type { ByteRange } from './range.ts';

export interface TarFile {
  /** Relative, forward slashes; a folder's ends with one. */
  readonly path: string;
  readonly mode: number;
  /** A symbolic link's target, or undefined for a file and a folder. */
  readonly target?: string;
  /** Where a file's bytes are. */
  readonly span?: Span;
}

const BLOCK = 512;
const ENTRIES_MAX = 200_000;
/** The largest size and the longest names that the plain header holds; beyond them a pax header goes before. */
const SIZE_MAX = 0o77777777777;
const NAME_MAX = 100;
const END_BLOCKS = 2;

interface Piece {
  readonly offset: number;
  readonly sizeBytes: number;
  readonly part:
    | { readonly kind: 'header'; readonly file: TarFile }
    | { readonly kind: 'data'; readonly span: Span }
    | { readonly kind: 'zeros' };
}

/** Reads a span of a blob. */
type ReadSpan = (span: Span) => Promise<AsyncIterable<Uint8Array>>;

/** To be asked while they gather, too: a job may have a million tasks. Fails with `too-large`. */
export function checkEntries(count: number): void {
  if (count <= ENTRIES_MAX) return;
  throw new SkeinError('too-large', `more than ${ENTRIES_MAX} files are too many for one archive`, {
    fix: 'ask for some tasks (?tasks=1-1000) or a ?prefix',
  });
}

export class Tar {
  readonly sizeBytes: number;
  readonly #pieces: readonly Piece[];

  /** Fails with `too-large` where there are too many files for one archive. */
  constructor(files: readonly TarFile[]) {
    checkEntries(files.length);
    const sorted = files.toSorted((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)));
    const pieces: Piece[] = [];
    let offset = 0;
    const add = (sizeBytes: number, part: Piece['part']) => {
      if (sizeBytes > 0) pieces.push({ offset, sizeBytes, part });
      offset += sizeBytes;
    };
    for (const file of sorted) {
      add(headerLength(file), { kind: 'header', file });
      if (file.span === undefined) continue;
      add(file.span.sizeBytes, { kind: 'data', span: file.span });
      add(-file.span.sizeBytes & (BLOCK - 1), { kind: 'zeros' });
    }
    add(END_BLOCKS * BLOCK, { kind: 'zeros' });
    this.sizeBytes = offset;
    this.#pieces = pieces;
  }

  async *read(range: ByteRange, readSpan: ReadSpan): AsyncGenerator<Uint8Array> {
    const end = range.offset + range.sizeBytes;
    for (const piece of this.#pieces) {
      if (piece.offset >= end) return;
      const from = Math.max(range.offset, piece.offset) - piece.offset;
      const to = Math.min(end, piece.offset + piece.sizeBytes) - piece.offset;
      if (from >= to) continue;
      if (piece.part.kind === 'header') yield header(piece.part.file).subarray(from, to);
      else if (piece.part.kind === 'zeros') yield Buffer.alloc(to - from);
      else {
        const { span } = piece.part;
        yield* await readSpan({ ...span, offset: span.offset + from, sizeBytes: to - from });
      }
    }
  }
}

function headerLength(file: TarFile): number {
  const pax = paxOf(file);
  return pax === undefined ? BLOCK : BLOCK + roundUp(pax.length) + BLOCK;
}

const roundUp = (bytes: number): number => Math.ceil(bytes / BLOCK) * BLOCK;

function header(file: TarFile): Buffer {
  const pax = paxOf(file);
  const sizeBytes = file.span?.sizeBytes ?? 0;
  const plainType = file.path.endsWith('/') ? '5' : '0';
  const type = file.target === undefined ? plainType : '2';
  const own = block(file.path, file.mode, Math.min(sizeBytes, SIZE_MAX), type, file.target);
  if (pax === undefined) return own;
  const padded = Buffer.alloc(roundUp(pax.length));
  pax.copy(padded);
  return Buffer.concat([block('pax', 0o644, pax.length, 'x'), padded, own]);
}

/** What the plain header cannot say, or undefined. */
function paxOf(file: TarFile): Buffer | undefined {
  let records = '';
  if (!isPlain(file.path)) records += paxRecord('path', file.path);
  if (file.target !== undefined && !isPlain(file.target)) records += paxRecord('linkpath', file.target);
  if ((file.span?.sizeBytes ?? 0) > SIZE_MAX) records += paxRecord('size', String(file.span?.sizeBytes));
  return records === '' ? undefined : Buffer.from(records);
}

const isPlain = (name: string): boolean => name.length <= NAME_MAX && /^[\x20-\x7e]*$/.test(name);

/** The length at the front counts its own digits. */
function paxRecord(name: string, value: string): string {
  const rest = Buffer.byteLength(` ${name}=${value}\n`);
  let length = rest + String(rest).length;
  if (String(length).length !== String(rest).length) length = rest + String(length).length;
  return `${length} ${name}=${value}\n`;
}

function block(name: string, mode: number, sizeBytes: number, type: '0' | '2' | '5' | 'x', target = ''): Buffer {
  const out = Buffer.alloc(BLOCK);
  out.write(name, 0, NAME_MAX);
  out.write(octal(mode & 0o7777, 7), 100);
  out.write(octal(0, 7), 108);
  out.write(octal(0, 7), 116);
  out.write(octal(sizeBytes, 11), 124);
  out.write(octal(0, 11), 136);
  out.write('        ', 148);
  out.write(type, 156);
  out.write(target, 157, NAME_MAX);
  out.write('ustar\0', 257);
  out.write('00', 263);
  const sum = out.reduce((total, byte) => total + byte, 0);
  out.write(`${octal(sum, 6)}\0 `, 148);
  return out;
}

const octal = (n: number, digits: number): string => n.toString(8).padStart(digits, '0');
