// The Range header of RFC 9110, one range of bytes: what more than one would ask for is answered whole.
import { SkeinError } from '../protocol/errors.ts';

export interface ByteRange {
  readonly offset: number;
  readonly sizeBytes: number;
}

/** The part asked for, undefined for the whole. Fails with `range-not-satisfiable`. */
export function parseRange(header: string | undefined, totalBytes: number): ByteRange | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? '');
  if (match === null) return undefined;
  const [, first = '', last = ''] = match;
  if (first === '' && last === '') return undefined;
  const offset = first === '' ? Math.max(0, totalBytes - Number(last)) : Number(first);
  const end = first === '' || last === '' ? totalBytes : Math.min(totalBytes, Number(last) + 1);
  if (first !== '' && last !== '' && Number(last) < Number(first)) return undefined;
  if (offset >= totalBytes || end <= offset) {
    throw new SkeinError(
      'range-not-satisfiable',
      `the range ${header} lies outside the ${totalBytes} bytes there are`,
      {
        extra: { totalBytes },
      },
    );
  }
  return { offset, sizeBytes: end - offset };
}

export const contentRange = (range: ByteRange, total: number | '*'): string =>
  `bytes ${range.offset}-${range.offset + range.sizeBytes - 1}/${total}`;
