// An entry as JSON. The disk, the wire and the bounds on both need the same text: it is made once for each entry, which
// never changes.
import type { Entry } from './message.ts';

interface Known {
  readonly text: string;
  sizeBytes: number | undefined;
}

const known = new WeakMap<Entry, Known>();
const utf8 = new TextEncoder();

export function entryText(entry: Entry): string {
  return knownOf(entry).text;
}

/** The size of its text in bytes of UTF-8. */
export function entryBytes(entry: Entry): number {
  const found = knownOf(entry);
  found.sizeBytes ??= utf8.encode(found.text).length;
  return found.sizeBytes;
}

function knownOf(entry: Entry): Known {
  const before = known.get(entry);
  if (before !== undefined) return before;
  const made = { text: JSON.stringify(entry), sizeBytes: undefined };
  known.set(entry, made);
  return made;
}
