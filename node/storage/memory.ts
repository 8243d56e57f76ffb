// The log's storage in memory, for tests and the simulator: it passes the same suite as the one on disk. What a MemoryDisk
// holds is what was synced; a storage opened on it again finds exactly that.
import { assert, SkeinError } from '../../protocol/errors.ts';
import { entryText } from '../../protocol/raft/entry-text.ts';
import { type Entry, FIRST_VOTER, NOBODY, type VoterId } from '../../protocol/raft/message.ts';
import { HashedRows } from './hashed-rows.ts';
import { compareKeys } from './keys.ts';
import type { Append, Epoch, Install, Loaded, LogStorage, RowsOptions, Snapshot, Staged, StagedPlace } from './port.ts';

/** Values are kept as JSON, so that nothing is shared with those who wrote it. */
export class MemoryDisk {
  readonly entries = new Map<number, string>();
  rows = new HashedRows();
  staged: (StagedPlace & { lastKey: string | undefined; readonly rows: HashedRows }) | undefined;
  readonly local = new HashedRows();
  epoch: Epoch | undefined;
  voterId: VoterId = NOBODY;
  hardState = { term: 0, vote: NOBODY, commit: 0 };
  firstIndex = 1;
  termBefore = 0;
  lastIndex = 0;
  appliedIndex = 0;
  locked = false;
  /** A test may hold or watch each sync here. */
  sync: () => Promise<void> = async () => undefined;
  #refusal: 'disk-full' | 'folder-unusable' | undefined;
  #onRoom: (() => void)[] = [];

  get refusal(): 'disk-full' | 'folder-unusable' | undefined {
    return this.#refusal;
  }

  /** Every write fails from now on. */
  refuse(code: 'disk-full' | 'folder-unusable'): void {
    this.#refusal = code;
  }

  /** There is room again. */
  allow(): void {
    this.#refusal = undefined;
    for (const wake of this.#onRoom.splice(0)) wake();
  }

  forget(): void {
    this.entries.clear();
    this.rows = new HashedRows();
    this.staged = undefined;
    this.epoch = undefined;
    this.voterId = NOBODY;
    this.hardState = { term: 0, vote: NOBODY, commit: 0 };
    this.firstIndex = 1;
    this.termBefore = 0;
    this.lastIndex = 0;
    this.appliedIndex = 0;
  }

  room(signal: AbortSignal): Promise<void> {
    if (this.#refusal === undefined) return Promise.resolve();
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      this.#onRoom.push(resolve);
    });
  }
}

export class MemoryStorage implements LogStorage {
  readonly #disk: MemoryDisk;
  #open = false;
  #failed = false;

  constructor(disk: MemoryDisk) {
    this.#disk = disk;
  }

  async open(initialEpoch?: Epoch): Promise<Loaded> {
    const disk = this.#disk;
    if (!this.#open && disk.locked) throw new SkeinError('folder-locked', 'The memory disk is in use by another node.');
    this.#open = true;
    disk.locked = true;
    if (disk.epoch === undefined && initialEpoch !== undefined) await this.become(initialEpoch, FIRST_VOTER);
    return this.#loaded();
  }

  #loaded(): Loaded {
    const { epoch, voterId, hardState, firstIndex, lastIndex, appliedIndex } = this.#disk;
    const commit = Math.max(hardState.commit, appliedIndex);
    return { epoch, voterId, hardState: { ...hardState, commit }, firstIndex, lastIndex, appliedIndex };
  }

  async close(): Promise<void> {
    if (this.#open) this.#disk.locked = false;
    this.#open = false;
    this.#failed = false;
  }

  term(index: number): number | undefined {
    if (index === this.#disk.firstIndex - 1) return this.#disk.termBefore;
    return this.entry(index)?.term;
  }

  entry(index: number): Entry | undefined {
    return parse<Entry>(this.#disk.entries.get(index));
  }

  async append(append: Append): Promise<void> {
    await this.#sync();
    const disk = this.#disk;
    const first = append.entries[0]?.index ?? disk.lastIndex + 1;
    assert(first <= disk.lastIndex + 1, `entry ${first} would leave a gap after ${disk.lastIndex}`);
    if (append.hardState !== undefined) disk.hardState = append.hardState;
    for (let index = first; index <= disk.lastIndex; index++) disk.entries.delete(index);
    for (const entry of append.entries) disk.entries.set(entry.index, entryText(entry));
    disk.lastIndex = first + append.entries.length - 1;
    for (const { key, row } of append.changes) disk.rows.put(key, row);
    disk.appliedIndex = append.appliedIndex;
    this.#compact(append.compactTo ?? 0);
  }

  #compact(to: number): void {
    const disk = this.#disk;
    if (to < disk.firstIndex) return;
    disk.termBefore = this.term(to) ?? 0;
    for (let index = disk.firstIndex; index <= to; index++) disk.entries.delete(index);
    disk.firstIndex = to + 1;
  }

  async stage({ from, index }: StagedPlace, rows: readonly (readonly [string, unknown])[]): Promise<void> {
    await this.#sync();
    const disk = this.#disk;
    if (disk.staged?.from !== from || disk.staged.index !== index) {
      disk.staged = { from, index, lastKey: undefined, rows: new HashedRows() };
    }
    for (const [key, row] of rows) {
      if (disk.staged.lastKey !== undefined && compareKeys(key, disk.staged.lastKey) <= 0) continue;
      disk.staged.rows.put(key, row);
      disk.staged.lastKey = key;
    }
  }

  staged(): Staged | undefined {
    const { staged } = this.#disk;
    if (staged === undefined) return undefined;
    const { rows, ...place } = staged;
    return { ...place, stateHash: rows.hash };
  }

  async install({ index, term, keepsTail, hardState }: Install): Promise<void> {
    const disk = this.#disk;
    const { staged } = disk;
    assert(staged?.index === index, `no snapshot is staged at ${index}`);
    assert(index > disk.appliedIndex, `a snapshot at ${index} would undo what is applied (${disk.appliedIndex})`);
    await this.#sync();
    const keeps = keepsTail && this.term(index) === term;
    for (const at of disk.entries.keys()) if (!keeps || at <= index) disk.entries.delete(at);
    disk.rows = staged.rows;
    disk.staged = undefined;
    disk.hardState = hardState ?? disk.hardState;
    disk.lastIndex = keeps ? disk.lastIndex : index;
    disk.firstIndex = index + 1;
    disk.termBefore = term;
    disk.appliedIndex = index;
  }

  async become(epoch: Epoch, voterId: VoterId): Promise<Loaded> {
    assert(this.#disk.epoch === undefined, 'the memory disk holds a replica already');
    await this.#sync();
    this.#disk.epoch = epoch;
    this.#disk.voterId = voterId;
    return this.#loaded();
  }

  async forget(): Promise<void> {
    await this.#sync();
    this.#disk.forget();
  }

  async #sync(): Promise<void> {
    assert(this.#open, 'the storage is not open');
    if (!this.#failed) await this.#disk.sync();
    if (this.#disk.refusal !== undefined) this.#failed = true;
    if (this.#failed) throw new SkeinError(this.#disk.refusal ?? 'disk-full', 'The memory disk refuses writes.');
  }

  async reopen(signal: AbortSignal): Promise<Loaded> {
    await this.#disk.room(signal);
    this.#failed = false;
    return this.#loaded();
  }

  row(key: string): unknown {
    return parse(this.#disk.rows.get(key));
  }

  async *rows(prefix: string, options: RowsOptions): AsyncGenerator<readonly [string, unknown]> {
    for (const [key, json] of this.#disk.rows.select(prefix, options)) yield [key, parse(json)];
  }

  snapshot(): Snapshot {
    const { rows: all, appliedIndex } = this.#disk;
    const held = all.select('', {});
    async function* rows(): AsyncGenerator<readonly [string, unknown]> {
      for (const [key, json] of held) yield [key, parse(json)];
    }
    return { index: appliedIndex, stateHash: all.hash, rows: rows() };
  }

  /** The hash is kept up with the rows, so it cannot differ. */
  async verify(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
  }

  getLocal(key: string): unknown {
    return parse(this.#disk.local.get(key));
  }

  async putLocal(changes: readonly { readonly key: string; readonly value: unknown }[]): Promise<void> {
    await this.#sync();
    for (const { key, value } of changes) this.#disk.local.put(key, value);
  }

  async *scanLocal(prefix: string): AsyncGenerator<readonly [string, unknown]> {
    for (const [key, json] of this.#disk.local.select(prefix, {})) yield [key, parse(json)];
  }
}

function parse<Value>(json: string | undefined): Value | undefined {
  return json === undefined ? undefined : (JSON.parse(json) as Value);
}
