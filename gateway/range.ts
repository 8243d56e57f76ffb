// The Range header of RFC 9110, one range of bytes: what more than one would ask for is answered whole.
import { SkeinError } from '../protocol/errors.ts';

export interface ByteRange {
  readonly offset: number;
  readonly sizeBytes: number;
}

/** The part asked for, undefined for the whole. Fails with `range-not-satisfiable`. */
export function parseRange(header: string | undefined, totalBytes: number): ByteRange | undefined {
  const match = /^bytes=(\d*)-(\d*)$/i.exec(header?.trim() ?? '');
  if (match === null) return undefined;
  const [, first = '', last = ''] = match;
  if (first === '') return lastBytes(last, totalBytes);
  if (last !== '' && Number(last) < Number(first)) return undefined;
  const end = last === '' ? totalBytes : Math.min(totalBytes, Number(last) + 1);
  if (Number(first) >= totalBytes) throw outside(totalBytes);
  return { offset: Number(first), sizeBytes: end - Number(first) };
}

function lastBytes(length: string, totalBytes: number): ByteRange | undefined {
  if (length === '') return undefined;
  if (Number(length) === 0) throw outside(totalBytes);
  // All of nothing is nothing; no Content-Range can say so.
  if (totalBytes === 0) return undefined;
  const offset = Math.max(0, totalBytes - Number(length));
  return { offset, sizeBytes: totalBytes - offset };
}

const outside = (totalBytes: number): SkeinError =>
  new SkeinError('range-not-satisfiable', `the range lies outside the ${totalBytes} bytes there are`, {
    extra: { totalBytes },
  });

export const contentRange = (range: ByteRange, total: number | '*'): string =>
  `bytes ${range.offset}-${range.offset + range.sizeBytes - 1}/${total}`;
