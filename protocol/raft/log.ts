// The log as the core sees it: recent entries in memory on top of a reader of what is stored. It knows how far entries
// are handed out to be persisted, persisted, committed and handed out to be applied, and the configurations among them.
// It decides nothing.
import { assert } from '../errors.ts';
import { ConfigurationHistory } from './configuration.ts';
import type { Configuration, Entry, SnapshotPlace } from './message.ts';
import type { Installation } from './ready.ts';

/** The stored log. Read synchronously; only entries that were reported as persisted are asked for. */
export interface LogReader {
  readonly lastIndex: number;
  /** Undefined where it is not known: below the entry before the first one kept, or above the last. */
  term(index: number): number | undefined;
  entry(index: number): Entry | undefined;
}

export interface LogPlaces {
  readonly committed: number;
  readonly applied: number;
  /** As of `applied`. */
  readonly configuration: Configuration;
  /** Applied entries kept in memory, so that a follower a little behind costs no disk read. */
  readonly recentMax: number;
}

export class RaftLog {
  readonly #reader: LogReader;
  readonly #recentMax: number;
  readonly configurations: ConfigurationHistory;
  /** Without a gap, from #recentFrom to the last index; never empty of what is unpersisted or unapplied in this life. */
  #recent: Entry[] = [];
  #recentFrom: number;
  /** The latest snapshot taken over in this life: what lies below is gone. */
  #base = { index: 0, term: 0 };
  #installation: Installation | undefined;
  #offered: number;
  /**
   * The last index of each hand-out that is not persisted yet. Lowered when the log is cut meanwhile: that the disk held
   * an entry which a later write replaces proves nothing, even if the same entry comes back after that.
   */
  #underWay: number[] = [];
  #stable: number;
  #committed: number;
  #applied: number;

  constructor(reader: LogReader, places: LogPlaces) {
    this.#reader = reader;
    this.#recentMax = places.recentMax;
    this.#recentFrom = reader.lastIndex + 1;
    this.#offered = reader.lastIndex;
    this.#stable = reader.lastIndex;
    this.#committed = Math.max(places.committed, places.applied);
    this.#applied = places.applied;
    assert(this.#committed <= reader.lastIndex, `commit index ${this.#committed} above the last ${reader.lastIndex}`);
    this.configurations = new ConfigurationHistory({ index: places.applied, configuration: places.configuration });
    for (let index = places.applied + 1; index <= reader.lastIndex; index++) {
      const entry = reader.entry(index);
      assert(entry !== undefined, `entry ${index} is not there, but only ${places.applied} are applied`);
      this.configurations.push([entry]);
    }
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

  /** Handed out to be applied. */
  get applied(): number {
    return this.#applied;
  }

  term(index: number): number | undefined {
    if (index > this.lastIndex || index < this.#base.index) return undefined;
    if (index >= this.#recentFrom) return this.#recent[index - this.#recentFrom]?.term;
    return index === this.#base.index ? this.#base.term : this.#reader.term(index);
  }

  /** Undefined when part of the range is kept no longer. */
  entries(from: number, toExclusive: number): readonly Entry[] | undefined {
    if (from >= this.#recentFrom) return this.#recent.slice(from - this.#recentFrom, toExclusive - this.#recentFrom);
    const found: Entry[] = [];
    for (let index = from; index < toExclusive; index++) {
      const entry = this.#entry(index);
      if (entry === undefined) return undefined;
      found.push(entry);
    }
    return found;
  }

  #entry(index: number): Entry | undefined {
    if (index <= this.#base.index) return undefined;
    return index < this.#recentFrom ? this.#reader.entry(index) : this.#recent[index - this.#recentFrom];
  }

  /** Whether one whose log ends in `index` can be sent what follows. */
  continuesAfter(index: number): boolean {
    return this.term(index) !== undefined && (index === this.lastIndex || this.#entry(index + 1) !== undefined);
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
    if (first <= this.lastIndex) this.#cutFrom(first);
    this.#recent.push(...entries);
    this.configurations.push(entries);
  }

  #cutFrom(index: number): void {
    this.#recent.length = Math.max(0, index - this.#recentFrom);
    this.#recentFrom = Math.min(this.#recentFrom, index);
    this.#offered = Math.min(this.#offered, index - 1);
    this.#stable = Math.min(this.#stable, index - 1);
    this.#underWay = this.#underWay.map((last) => Math.min(last, index - 1));
    this.configurations.cutFrom(index);
  }

  /** Takes a snapshot's place as the log's beginning. Only one beyond what is applied. */
  restore(place: SnapshotPlace): void {
    const { index, term, configuration } = place;
    assert(index > this.#applied, `a snapshot at ${index} would undo what is applied (${this.#applied})`);
    const keepsTail = this.term(index) === term;
    if (!keepsTail) this.#cutFrom(this.#committed + 1);
    if (!keepsTail || this.#recentFrom <= index) {
      this.#recent = keepsTail ? this.#recent.slice(index + 1 - this.#recentFrom) : [];
      this.#recentFrom = index + 1;
    }
    this.#base = { index, term };
    this.#offered = Math.max(this.#offered, index);
    this.#committed = Math.max(this.#committed, index);
    this.#applied = index;
    this.configurations.restore({ index, configuration }, keepsTail);
    this.#installation = { ...place, keepsTail };
  }

  /** Never goes back, nor above what is here. */
  commitTo(index: number): boolean {
    const to = Math.min(index, this.lastIndex);
    if (to <= this.#committed) return false;
    this.#committed = to;
    return true;
  }

  /** What has not yet been handed out to be persisted. */
  takeUnoffered(): { readonly entries: readonly Entry[]; readonly snapshot: Installation | undefined } {
    const snapshot = this.#installation;
    const isEmpty = this.#offered === this.lastIndex;
    const entries = isEmpty ? [] : this.#recent.slice(this.#offered + 1 - this.#recentFrom);
    if (snapshot !== undefined || !isEmpty)
      this.#underWay.push(Math.max(snapshot?.index ?? 0, entries.at(-1)?.index ?? 0));
    this.#offered = this.lastIndex;
    this.#installation = undefined;
    return { entries, snapshot };
  }

  /** The oldest hand-out that was not empty is persisted. */
  onPersisted(): void {
    const last = this.#underWay.shift();
    assert(last !== undefined, 'more was reported as persisted than was handed out');
    this.#stable = Math.max(this.#stable, last);
  }

  /** The next entries to apply, at most `max`: committed, and on this node's own disk. */
  takeCommitted(max: number): readonly Entry[] {
    const to = Math.min(this.#committed, this.#stable, this.#applied + max);
    if (to <= this.#applied) return [];
    const entries = this.entries(this.#applied + 1, to + 1);
    assert(entries !== undefined, `committed entries ${this.#applied + 1} to ${to} are not there`);
    this.#applied = to;
    this.configurations.onApplied(to);
    this.#forget();
    return entries;
  }

  #forget(): void {
    const surplus = Math.min(this.#applied, this.#stable) + 1 - this.#recentMax - this.#recentFrom;
    if (surplus < Math.max(1, this.#recentMax)) return;
    this.#recent = this.#recent.slice(surplus);
    this.#recentFrom += surplus;
  }
}
