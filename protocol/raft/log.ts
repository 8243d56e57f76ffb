// The log as the core sees it: recent entries in memory on top of a reader of what is stored. It knows how far entries
// are handed out to be persisted, persisted, committed and handed out to be applied. It decides nothing.
import { assert } from '../errors.ts';
import type { Entry } from './message.ts';

/** The stored log. Read synchronously; only entries that were reported as persisted are asked for. */
export interface LogReader {
  readonly lastIndex: number;
  /** Undefined where it is not known: below the entry before the first one kept, or above the last. */
  term(index: number): number | undefined;
  entry(index: number): Entry | undefined;
}

/** Applied entries kept in memory, so that a follower a little behind costs no disk read. */
const KEEP_RECENT = 512;

export class RaftLog {
  readonly #reader: LogReader;
  /** Without a gap, from #recentFrom to the last index; never empty of what is unpersisted or unapplied in this life. */
  #recent: Entry[] = [];
  #recentFrom: number;
  #offered: number;
  #stable: number;
  #committed: number;
  #handed: number;

  constructor(reader: LogReader, places: { readonly committed: number; readonly applied: number }) {
    this.#reader = reader;
    this.#recentFrom = reader.lastIndex + 1;
    this.#offered = reader.lastIndex;
    this.#stable = reader.lastIndex;
    this.#committed = Math.max(places.committed, places.applied);
    this.#handed = places.applied;
    assert(this.#committed <= reader.lastIndex, `commit index ${this.#committed} above the last ${reader.lastIndex}`);
  }

  get lastIndex(): number {
    return this.#recentFrom + this.#recent.length - 1;
  }

  get lastTerm(): number {
    const term = this.term(this.lastIndex);
    assert(term !== undefined, `the term of the last entry ${this.lastIndex} is not known`);
    return term;
  }

  /** Up to here this node's own disk holds the log. */
  get stable(): number {
    return this.#stable;
  }

  get committed(): number {
    return this.#committed;
  }

  term(index: number): number | undefined {
    if (index === 0) return 0;
    if (index > this.lastIndex) return undefined;
    return index >= this.#recentFrom ? this.#recent[index - this.#recentFrom]?.term : this.#reader.term(index);
  }

  /** Undefined when part of the range is kept no longer. */
  entries(from: number, toExclusive: number): readonly Entry[] | undefined {
    if (from >= this.#recentFrom) return this.#recent.slice(from - this.#recentFrom, toExclusive - this.#recentFrom);
    const found: Entry[] = [];
    for (let index = from; index < toExclusive; index++) {
      const entry = index < this.#recentFrom ? this.#reader.entry(index) : this.#recent[index - this.#recentFrom];
      if (entry === undefined) return undefined;
      found.push(entry);
    }
    return found;
  }

  /** The last index at or below `index` whose term is at most `term`: where two logs may last agree. */
  lastAtMost(index: number, term: number): number {
    let at = Math.min(index, this.lastIndex);
    for (; at > 0; at--) {
      const here = this.term(at);
      if (here === undefined || here <= term) break;
    }
    return at;
  }

  /** Whether a log that ends in (index, term) holds at least as much as this one (section 5.4.1). */
  isUpToDate(index: number, term: number): boolean {
    return term > this.lastTerm || (term === this.lastTerm && index >= this.lastIndex);
  }

  /** Adds entries; what stood at or above the first of them is dropped. */
  append(entries: readonly Entry[]): void {
    const first = entries[0]?.index;
    if (first === undefined) return;
    assert(first > this.#committed, `entry ${first} would replace a committed one (commit index ${this.#committed})`);
    assert(first <= this.lastIndex + 1, `entry ${first} would leave a gap after ${this.lastIndex}`);
    if (first <= this.lastIndex) this.#dropFrom(first);
    this.#recent.push(...entries);
  }

  #dropFrom(index: number): void {
    this.#recent.length = Math.max(0, index - this.#recentFrom);
    this.#recentFrom = Math.min(this.#recentFrom, index);
    this.#offered = Math.min(this.#offered, index - 1);
    this.#stable = Math.min(this.#stable, index - 1);
  }

  /** Never goes back, nor above what is here. */
  commitTo(index: number): boolean {
    const to = Math.min(index, this.lastIndex);
    if (to <= this.#committed) return false;
    this.#committed = to;
    return true;
  }

  /** What has not yet been handed out to be persisted. */
  takeUnoffered(): readonly Entry[] {
    if (this.#offered === this.lastIndex) return [];
    const entries = this.#recent.slice(this.#offered + 1 - this.#recentFrom);
    this.#offered = this.lastIndex;
    return entries;
  }

  /** The entry (index, term) and all before it are persisted. One that was replaced meanwhile proves nothing. */
  stableTo(index: number, term: number): void {
    if (index > this.#stable && this.term(index) === term) this.#stable = index;
  }

  /** The next entries to apply, at most `max`: committed, and on this node's own disk. */
  takeCommitted(max: number): readonly Entry[] {
    const to = Math.min(this.#committed, this.#stable, this.#handed + max);
    if (to <= this.#handed) return [];
    const entries = this.entries(this.#handed + 1, to + 1);
    assert(entries !== undefined, `committed entries ${this.#handed + 1} to ${to} are not there`);
    this.#handed = to;
    this.#forget();
    return entries;
  }

  #forget(): void {
    const surplus = Math.min(this.#handed, this.#stable) + 1 - KEEP_RECENT - this.#recentFrom;
    if (surplus < KEEP_RECENT) return;
    this.#recent = this.#recent.slice(surplus);
    this.#recentFrom += surplus;
  }
}
