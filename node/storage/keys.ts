// Where what lies in the one database. Keys are bytes; LevelDB orders them as such.

/** Raised when an older program could no longer read the folder. */
export const LAYOUT_VERSION = 1;

export const LAYOUT_KEY = 'm/layout';
/** Missing in a folder that never held a replica, null in one whose replica was forgotten. */
export const EPOCH_KEY = 'm/epoch';
/** What changes with every append: see LogState. */
export const STATE_KEY = 'm/state';
/** How much of a snapshot has come: see Staging. */
export const STAGING_KEY = 'm/staging';

/** The rows' generation: a snapshot is written under the next one before it takes over. */
export const rowsPrefix = (generation: number): string => `s/${generation}/`;
export const ROWS_FROM = Buffer.from('s/');
export const rowsGeneration = (key: Buffer): number => Number(key.toString('utf8', ROWS_FROM.length).split('/', 1)[0]);
export const LOCAL_PREFIX = 'l/';

const ENTRY_PREFIX = Buffer.from('e/');
export const ENTRIES_FROM = ENTRY_PREFIX;
export const ENTRIES_BELOW = Buffer.from('e0');

export function entryKey(index: number): Buffer {
  const key = Buffer.allocUnsafe(ENTRY_PREFIX.length + 8);
  ENTRY_PREFIX.copy(key);
  key.writeBigUInt64BE(BigInt(index), ENTRY_PREFIX.length);
  return key;
}

export function entryIndex(key: Buffer): number {
  return Number(key.readBigUInt64BE(ENTRY_PREFIX.length));
}

/** The bounds of every key that begins with `prefix`, narrowed by the exclusive `after` in the direction of reading. */
export function prefixRange(prefix: string, options: { readonly after?: string; readonly reverse?: boolean }): Range {
  const range: Range = { gte: Buffer.from(prefix), lt: afterAllWith(prefix) };
  if (options.after === undefined) return range;
  const after = Buffer.from(options.after);
  if (options.reverse === true) return { ...range, lt: Buffer.compare(after, range.lt) < 0 ? after : range.lt };
  const next = Buffer.concat([after, Buffer.of(0)]);
  return { ...range, gte: Buffer.compare(next, range.gte) > 0 ? next : range.gte };
}
interface Range {
  readonly gte: Buffer;
  readonly lt: Buffer;
}

/** No byte of UTF-8 is 0xff, so this sorts after every key with the prefix and before all else. */
export function afterAllWith(prefix: string): Buffer {
  return Buffer.concat([Buffer.from(prefix), Buffer.of(0xff)]);
}

/** The order of two keys as their UTF-8 bytes have it. JavaScript's own differs for characters beyond U+FFFF. */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const x = a.charCodeAt(at);
    const y = b.charCodeAt(at);
    if (x !== y) return codePointRank(x) - codePointRank(y);
  }
  return a.length - b.length;
}

/** Half a surrogate pair stands for a code point above all that one unit can hold. */
function codePointRank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
