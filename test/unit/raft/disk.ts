// A disk as the tests' shell keeps it.
import type { Entry, HardState } from '../../../protocol/raft/message.ts';

/** The synced image. */
export interface Disk {
  hardState: HardState;
  /** The entry before the first one kept. */
  base: { index: number; term: number };
  entries: Entry[];
  applied: number;
}

export const lastOf = (disk: Disk): number => disk.base.index + disk.entries.length;

/** Whether that disk holds this entry, or a snapshot that does. */
export function holds(disk: Disk, entry: { readonly index: number; readonly term: number }): boolean {
  return entry.index <= disk.base.index || disk.entries[entry.index - disk.base.index - 1]?.term === entry.term;
}
