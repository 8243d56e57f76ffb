// The log, the rows and the node's own values in one LevelDB, as DESIGN.md section 5 has it. Every write is one synced
// batch; after a failed one this class refuses all writes, waits for room, opens anew and checks what is there.
import { assert, SkeinError } from '../../protocol/errors.ts';
import { entryText } from '../../protocol/raft/entry-text.ts';
import { type Entry, FIRST_VOTER, type HardState, NOBODY, type VoterId } from '../../protocol/raft/message.ts';
import type { Clock } from '../../protocol/time.ts';
import { type Faults, noFaults } from '../faults.ts';
import { BatchWriter, type Database, type Operation } from './batch-writer.ts';
import { deadRows } from './generations.ts';
import {
  EPOCH_KEY,
  entryKey,
  LAYOUT_KEY,
  LAYOUT_VERSION,
  LOCAL_PREFIX,
  prefixRange,
  rowsPrefix,
  STAGING_KEY,
  STATE_KEY,
} from './keys.ts';
import {
  damaged,
  exists,
  hasMarker,
  hasRoom,
  makeFolder,
  openDatabase,
  storageError,
  syncFolder,
  witnessPath,
  writeMarker,
} from './level-folder.ts';
import { decodeEntry, emptyState, entryKeys, type LogState, loadEntries } from './level-load.ts';
import type {
  Append,
  Epoch,
  Install,
  Loaded,
  LogStorage,
  RowChange,
  RowsOptions,
  Snapshot,
  Staged,
  StagedPlace,
} from './port.ts';
import { DamagedRecord, decodeRecord, encodeRecord } from './record.ts';
import { type CachedRow, RowCache } from './row-cache.ts';
import { nothingStaged, type Staging, stagedOf, stageRows, stagingAt } from './staging.ts';
import { parseHash, printHash, rowHash, shiftHash } from './state-hash.ts';
import { TermRuns } from './term-runs.ts';
import { blankTestimony, type Testimony, Witness } from './witness.ts';

export interface LevelStorageOptions {
  /** The node's data folder; made, for its owner alone, where it is missing. */
  readonly folder: string;
  readonly cacheBytes?: number;
  /** How long a node that is just ending may take to let go of the folder. */
  readonly lockWaitMs?: number;
}

const CACHE_BYTES = 16 * 1024 * 1024;
const LOCK_WAIT_MS = 5_000;
const WITNESS_SYNC_MS = 1_000;
const RETRY_MIN_MS = 200;
const RETRY_MAX_MS = 2_000;
const PAGE_ROWS = 500;

/** All that belongs to one opened handle. */
interface Opened {
  readonly db: Database;
  readonly writer: BatchWriter;
  terms: TermRuns;
}

export class LevelStorage implements LogStorage {
  readonly #clock: Clock;
  readonly #faults: Faults;
  readonly #folder: string;
  readonly #cache: RowCache;
  readonly #lockWaitMs: number;
  #epoch: Epoch | undefined;
  #opened: Opened | undefined;
  #witness: Witness | undefined;
  #state: LogState = emptyState;
  #rowsPrefix = rowsPrefix(emptyState.generation);
  #staging: Staging = nothingStaged(emptyState.generation);
  #clearing: Promise<void> = Promise.resolve();
  /** From the first failed write until it is opened anew. */
  #failure: SkeinError | undefined;
  #failing: Promise<SkeinError> | undefined;
  #healing: Promise<void> | undefined;
  #life = new AbortController();

  constructor(collaborators: { readonly clock: Clock; readonly faults?: Faults }, options: LevelStorageOptions) {
    this.#clock = collaborators.clock;
    this.#faults = collaborators.faults ?? noFaults;
    this.#folder = options.folder;
    this.#lockWaitMs = options.lockWaitMs ?? LOCK_WAIT_MS;
    this.#cache = new RowCache({ maxBytes: options.cacheBytes ?? CACHE_BYTES });
  }

  // Opening and closing

  async open(initialEpoch?: Epoch): Promise<Loaded> {
    if (this.#opened === undefined) await this.#openFirst();
    if (this.#epoch === undefined && initialEpoch !== undefined) await this.become(initialEpoch, FIRST_VOTER);
    return this.#loaded();
  }

  async #openFirst(): Promise<void> {
    this.#life = new AbortController();
    await makeFolder(this.#folder);
    try {
      const started = await hasMarker(this.#folder);
      const db = await this.#openDatabase({ createIfMissing: !started });
      try {
        if (!started) await firstWrites(db);
        this.#witness = await this.#openWitness(started);
        await this.#load(db);
        if (!started) {
          this.#faults.reach('storage.created.before-marker');
          await writeMarker(this.#folder);
          this.#faults.reach('storage.created.after-marker');
        }
      } catch (error) {
        await db.close();
        await this.#witness?.close();
        this.#witness = undefined;
        throw error;
      }
    } catch (error) {
      throw this.#explained(error);
    }
    this.#clock.every(WITNESS_SYNC_MS, () => void this.#syncWitness(), this.#life.signal);
  }

  #openDatabase(options: { readonly createIfMissing: boolean }): Promise<Database> {
    return openDatabase(this.#folder, { ...options, clock: this.#clock, lockWaitMs: this.#lockWaitMs });
  }

  async #openWitness(started: boolean): Promise<Witness> {
    const path = witnessPath(this.#folder);
    const found = (await exists(path)) ? await Witness.open(path) : undefined;
    if (found !== undefined) return found;
    if (started) throw new DamagedRecord(`the witness file ${path} is missing or unreadable.`);
    const witness = await Witness.create(path, blankTestimony);
    await syncFolder(this.#folder);
    return witness;
  }

  /** Reads everything back; what is torn, or was answered as failed, is cut before anything else is written. */
  async #load(db: Database): Promise<void> {
    const layout = read<{ version: number }>(db, LAYOUT_KEY);
    if (layout === undefined) throw new DamagedRecord('its database has lost the layout version.');
    if (layout.version > LAYOUT_VERSION) throw newer(this.#folder, layout.version);
    const state = read<LogState>(db, STATE_KEY);
    if (state === undefined) throw new DamagedRecord('its database has lost the applied index.');
    const epoch = read<Epoch | null>(db, EPOCH_KEY);
    const witness = await this.#settledTestimony(epoch);
    const { terms, torn } = await loadEntries(db, state, witness);
    const writer = new BatchWriter(db);
    if (torn.length > 0) await writer.write(torn.map((key) => ({ type: 'del', key })));
    if (witness.sealed) await this.#testimony.keep({ sealed: false });
    this.#epoch = epoch ?? undefined;
    this.#opened = { db, writer, terms };
    const staging = read<Staging>(db, STAGING_KEY) ?? nothingStaged(state.generation);
    // What has been applied since is of no use any more.
    this.#use(state, staging.index > state.appliedIndex ? staging : nothingStaged(staging.generation));
  }

  /** What the witness says of this replica, once what a crash left of another is put right. */
  async #settledTestimony(epoch: Epoch | null | undefined): Promise<Testimony> {
    const { voterId, term, lastIndex } = this.#testimony.current;
    if (epoch === undefined && (term > 0 || lastIndex > 0)) {
      throw new DamagedRecord('its database has lost the epoch.');
    }
    const blank = voterId === NOBODY && term === 0 && lastIndex === 0;
    if (epoch === undefined || epoch === null) {
      if (!blank) await this.#testimony.keep(blankTestimony);
    } else if (voterId === NOBODY) {
      // Earlier versions wrote the epoch of a new log before its voter.
      await this.#testimony.keep({ voterId: FIRST_VOTER });
    }
    return this.#testimony.current;
  }

  /** From here on rows are read from this state's generation; those of others are cleared in the background. */
  #use(state: LogState, staging: Staging): void {
    this.#state = state;
    this.#staging = staging;
    this.#rowsPrefix = rowsPrefix(state.generation);
    this.#cache.clear();
    this.#startClearing();
  }

  // Which replica this is

  async become(epoch: Epoch, voterId: VoterId): Promise<Loaded> {
    assert(this.#epoch === undefined, `the data folder ${this.#folder} holds a replica already`);
    this.#faults.reach('storage.become.before');
    await this.#testify({ ...blankTestimony, voterId });
    this.#faults.reach('storage.become.before-sync');
    await this.#write([put(EPOCH_KEY, JSON.stringify(epoch))]);
    this.#faults.reach('storage.become.after-sync');
    this.#epoch = epoch;
    return this.#loaded();
  }

  async forget(): Promise<void> {
    const generation = this.#staging.generation + 1;
    const state = { ...emptyState, generation };
    const staging = nothingStaged(generation);
    this.#faults.reach('storage.forget.before-sync');
    await this.#write([
      ...deletions(entryKeys(this.#state.firstIndex, this.#handle.terms.lastIndex)),
      put(EPOCH_KEY, JSON.stringify(null)),
      put(STATE_KEY, JSON.stringify(state)),
      put(STAGING_KEY, JSON.stringify(staging)),
    ]);
    this.#faults.reach('storage.forget.after-sync');
    await this.#testify(blankTestimony);
    this.#epoch = undefined;
    this.#handle.terms = new TermRuns({ index: 0, term: 0 });
    this.#use(state, staging);
  }

  #loaded(): Loaded {
    const { term, vote, voterId } = this.#testimony.current;
    const { commit, firstIndex, appliedIndex } = this.#state;
    return {
      epoch: this.#epoch,
      voterId,
      hardState: { term, vote, commit: Math.max(commit, appliedIndex) },
      firstIndex,
      lastIndex: this.#handle.terms.lastIndex,
      appliedIndex,
    };
  }

  async close(): Promise<void> {
    this.#life.abort(new Error('the storage was closed'));
    await this.#healing;
    await this.#clearing;
    const opened = this.#opened;
    this.#opened = undefined;
    await opened?.db.close();
    const witness = this.#witness;
    this.#witness = undefined;
    await witness?.sync();
    await witness?.close();
    this.#failure = undefined;
    this.#failing = undefined;
    this.#healing = undefined;
  }

  // The log

  term(index: number): number | undefined {
    return this.#handle.terms.at(index);
  }

  entry(index: number): Entry | undefined {
    if (this.term(index) === undefined || index < this.#state.firstIndex) return undefined;
    const key = entryKey(index);
    const value = this.#handle.db.getSync(key);
    if (value === undefined) throw damaged(this.#folder, `log entry ${index} is missing.`);
    return this.#checked(() => decodeEntry(key, value, index));
  }

  async append(append: Append): Promise<void> {
    const { terms } = this.#handle;
    const first = append.entries[0]?.index ?? terms.lastIndex + 1;
    assert(first <= terms.lastIndex + 1, `entry ${first} would leave a gap after ${terms.lastIndex}`);
    const last = append.entries.at(-1);
    await this.#testifyTo(append.hardState, first);
    const isVoteAlone =
      last === undefined &&
      append.changes.length === 0 &&
      append.appliedIndex === this.#state.appliedIndex &&
      append.compactTo === undefined;
    if (!isVoteAlone) await this.#appendBatch(append, first);
    if (last !== undefined) {
      this.#faults.reach('storage.witness.before');
      this.#testimony.raise(last.index, last.term);
    }
  }

  async #appendBatch(append: Append, first: number): Promise<void> {
    const { terms } = this.#handle;
    const rows = this.#prepareRows(append.changes);
    const state = this.#nextState(append, rows.stateHash);
    const kept = first + append.entries.length - 1;
    await this.#write([
      ...deletions(entryKeys(kept + 1, terms.lastIndex)),
      ...append.entries.map((entry) => putEntry(entry)),
      ...rows.operations,
      ...deletions(entryKeys(this.#state.firstIndex, state.firstIndex - 1)),
      put(STATE_KEY, JSON.stringify(state)),
    ]);
    terms.cutAbove(first - 1);
    for (const entry of append.entries) terms.push(entry.term);
    terms.cutBelow(state.firstIndex - 1);
    this.#state = state;
    for (const [key, cached] of rows.cached) {
      if (cached === undefined) this.#cache.delete(key);
      else this.#cache.set(key, cached);
    }
  }

  /** Term and vote before any answer that depends on them; and no entry is cut that the witness still vouches for. */
  async #testifyTo(hardState: HardState | undefined, cutFrom: number): Promise<void> {
    const now = this.#testimony.current;
    const { term, vote } = hardState ?? now;
    const cuts = cutFrom <= now.lastIndex;
    if (term === now.term && vote === now.vote && !cuts) return;
    const end = cuts ? { lastIndex: cutFrom - 1, lastTerm: this.term(cutFrom - 1) ?? 0 } : {};
    await this.#testify({ term, vote, ...end });
  }

  async #testify(changed: Partial<Testimony>): Promise<void> {
    this.#refuseIfFailed();
    try {
      await this.#testimony.keep(changed);
    } catch (error) {
      throw await this.#fail(error);
    }
  }

  #nextState(append: Append, stateHash: string): LogState {
    const { commit } = append.hardState ?? this.#state;
    const firstIndex = Math.max(this.#state.firstIndex, (append.compactTo ?? 0) + 1);
    assert(
      firstIndex <= append.appliedIndex + 1,
      `entries above the applied index ${append.appliedIndex} would be dropped`,
    );
    const termBefore = this.term(firstIndex - 1);
    assert(termBefore !== undefined, `the term of entry ${firstIndex - 1} is not known`);
    return { ...this.#state, appliedIndex: append.appliedIndex, stateHash, commit, firstIndex, termBefore };
  }

  // Snapshots

  async stage(place: StagedPlace, rows: readonly (readonly [string, unknown])[]): Promise<void> {
    const before = this.#staging;
    const { staging, operations } = stageRows(stagingAt(before, place), rows);
    this.#faults.reach('storage.stage.before-sync');
    await this.#write([...operations, put(STAGING_KEY, JSON.stringify(staging))]);
    this.#faults.reach('storage.stage.after-sync');
    this.#staging = staging;
    if (staging.generation !== before.generation) this.#startClearing();
  }

  staged(): Staged | undefined {
    return stagedOf(this.#staging);
  }

  async install({ index, term, keepsTail, hardState }: Install): Promise<void> {
    const { generation, stateHash, index: stagedIndex } = this.#staging;
    const { appliedIndex, firstIndex, commit } = this.#state;
    assert(stagedIndex === index, `no snapshot is staged at ${index}`);
    assert(index > appliedIndex, `a snapshot at ${index} would undo what is applied (${appliedIndex})`);
    const { terms } = this.#handle;
    const keeps = keepsTail && terms.at(index) === term;
    const state = {
      generation,
      appliedIndex: index,
      stateHash,
      commit: Math.max(index, hardState?.commit ?? commit),
      firstIndex: index + 1,
      termBefore: term,
    };
    const staging = nothingStaged(generation);
    this.#faults.reach('storage.install.before-witness');
    // Where this fails, what the witness vouches for must still be whole: only entries that the snapshot contradicts go.
    await this.#testifyTo(hardState, keeps ? terms.lastIndex + 1 : index);
    this.#faults.reach('storage.install.before-sync');
    await this.#write([
      ...deletions(entryKeys(firstIndex, keeps ? index : terms.lastIndex)),
      put(STATE_KEY, JSON.stringify(state)),
      put(STAGING_KEY, JSON.stringify(staging)),
    ]);
    this.#faults.reach('storage.install.after-sync');
    if (keeps) terms.cutBelow(index);
    else this.#handle.terms = new TermRuns({ index, term });
    this.#use(state, staging);
    const { lastIndex, lastTerm } = this.#handle.terms;
    this.#testimony.raise(lastIndex, lastTerm);
  }

  #startClearing(): void {
    const { db } = this.#handle;
    this.#clearing = this.#clearing.then(() => this.#clear(db));
  }

  async #clear(db: Database): Promise<void> {
    const isLive = (generation: number): boolean =>
      generation === this.#state.generation || (generation === this.#staging.generation && this.#staging.index > 0);
    try {
      for await (const operations of deadRows(db, isLive)) {
        if (this.#life.signal.aborted || this.#opened?.db !== db) return;
        this.#faults.reach('storage.clear.before-sync');
        await this.#write(operations);
      }
    } catch {
      // A write that failed is dealt with where all are. What is left is cleared after the next opening.
    }
  }

  // Rows

  #prepareRows(changes: readonly RowChange[]): PreparedRows {
    const operations: Operation[] = [];
    const cached: [string, CachedRow | undefined][] = [];
    let sum = parseHash(this.#state.stateHash);
    for (const { key, row } of changes) {
      const removed = this.#cachedRow(key)?.hash ?? 0n;
      const stored = Buffer.from(this.#rowsPrefix + key);
      if (row === undefined) {
        operations.push({ type: 'del', key: stored });
        cached.push([key, undefined]);
        sum = shiftHash(sum, { removed, added: 0n });
        continue;
      }
      const json = JSON.stringify(row);
      const added = rowHash(key, json);
      operations.push({ type: 'put', key: stored, value: encodeRecord(stored, json) });
      cached.push([key, { row, hash: added, sizeBytes: json.length }]);
      sum = shiftHash(sum, { removed, added });
    }
    return { operations, cached, stateHash: printHash(sum) };
  }

  row(key: string): unknown {
    return this.#cachedRow(key)?.row;
  }

  #cachedRow(key: string): CachedRow | undefined {
    const cached = this.#cache.get(key);
    if (cached !== undefined) return cached;
    const stored = Buffer.from(this.#rowsPrefix + key);
    const value = this.#handle.db.getSync(stored);
    if (value === undefined) return undefined;
    const json = this.#checked(() => decodeRecord(stored, value));
    const found = { row: JSON.parse(json) as unknown, hash: rowHash(key, json), sizeBytes: json.length };
    this.#cache.set(key, found);
    return found;
  }

  async *rows(prefix: string, options: RowsOptions): AsyncGenerator<readonly [string, unknown]> {
    const { after, ...rest } = options;
    // A snapshot may be taken into use while this reads on.
    const generation = this.#rowsPrefix;
    const from = after === undefined ? {} : { after: generation + after };
    for await (const [key, json] of this.#scan(generation + prefix, { ...rest, ...from })) {
      yield [key.slice(generation.length), JSON.parse(json)];
    }
  }

  snapshot(): Snapshot {
    const { index, stateHash, texts } = this.#texts();
    async function* rows(): AsyncGenerator<readonly [string, unknown]> {
      for await (const [key, json] of texts) yield [key, JSON.parse(json)];
    }
    return { index, stateHash, rows: rows() };
  }

  async verify(signal: AbortSignal): Promise<void> {
    const { index, stateHash, texts } = this.#texts();
    let sum = 0n;
    for await (const [key, json] of texts) {
      signal.throwIfAborted();
      sum = shiftHash(sum, { removed: 0n, added: rowHash(key, json) });
    }
    if (printHash(sum) === stateHash) return;
    throw damaged(this.#folder, `the rows at index ${index} have the state hash ${printHash(sum)}, not ${stateHash}.`);
  }

  /** Every row as it is stored, as of this call. */
  #texts(): Omit<Snapshot, 'rows'> & { readonly texts: AsyncIterable<readonly [string, string]> } {
    const { db } = this.#handle;
    const snapshot = db.snapshot();
    // Read from the snapshot too: a batch just written may be in it before this class knows.
    const state = this.#checked(() => read<LogState>(db, STATE_KEY, snapshot)) ?? emptyState;
    const prefix = rowsPrefix(state.generation);
    const pages = this.#scan(prefix, {}, snapshot);
    async function* texts(): AsyncGenerator<readonly [string, string]> {
      try {
        for await (const [key, json] of pages) yield [key.slice(prefix.length), json];
      } finally {
        await snapshot.close();
      }
    }
    return { index: state.appliedIndex, stateHash: state.stateHash, texts: texts() };
  }

  // The node's own values

  getLocal(key: string): unknown {
    return this.#checked(() => read(this.#handle.db, LOCAL_PREFIX + key));
  }

  async putLocal(changes: readonly { readonly key: string; readonly value: unknown }[]): Promise<void> {
    this.#faults.reach('storage.local.before-sync');
    await this.#write(
      changes.map(({ key, value }) =>
        value === undefined
          ? { type: 'del', key: Buffer.from(LOCAL_PREFIX + key) }
          : put(LOCAL_PREFIX + key, JSON.stringify(value)),
      ),
    );
    this.#faults.reach('storage.local.after-sync');
  }

  async *scanLocal(prefix: string): AsyncGenerator<readonly [string, unknown]> {
    for await (const [key, json] of this.#scan(LOCAL_PREFIX + prefix, {})) {
      yield [key.slice(LOCAL_PREFIX.length), JSON.parse(json)];
    }
  }

  async *#scan(
    prefix: string,
    options: RowsOptions,
    snapshot?: ReturnType<Database['snapshot']>,
  ): AsyncGenerator<readonly [string, string]> {
    const { reverse = false, limit = -1 } = options;
    const at = snapshot === undefined ? {} : { snapshot };
    const iterator = this.#handle.db.iterator({ ...prefixRange(prefix, options), reverse, limit, ...at });
    try {
      for (;;) {
        const page = await iterator.nextv(PAGE_ROWS);
        if (page.length === 0) return;
        for (const [key, value] of page) {
          yield [key.toString(), this.#checked(() => decodeRecord(key, value))];
        }
      }
    } catch (error) {
      throw this.#explained(error);
    } finally {
      await iterator.close();
    }
  }

  // Failed writes

  async #write(operations: readonly Operation[]): Promise<void> {
    this.#refuseIfFailed();
    try {
      await this.#handle.writer.write(operations);
    } catch (error) {
      throw await this.#fail(error);
    }
  }

  #refuseIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** @returns what to tell those whose write it was. The first failure decides for all. */
  #fail(error: unknown): Promise<SkeinError> {
    this.#failure ??= storageError(this.#folder, error);
    this.#failing ??= this.#onFirstFailure(this.#failure);
    return this.#failing;
  }

  async #onFirstFailure(failure: SkeinError): Promise<SkeinError> {
    const sealed = await this.#seal();
    this.#healing = this.#heal();
    if (sealed || failure.code !== 'disk-full') return failure;
    const { message, cause, fix = '' } = failure;
    this.#failure = new SkeinError('folder-unusable', message, { cause, fix });
    return this.#failure;
  }

  /** The failed batch may yet be found whole at the next opening. Its senders are told that it failed: this makes it so. */
  async #seal(): Promise<boolean> {
    try {
      await this.#testimony.keep({ sealed: true });
      return true;
    } catch {
      // The disk refuses even the witness's own blocks; then the outcome is told as unknown.
      return false;
    }
  }

  /** Reads go on through the failed handle until there is room; only then is it closed. */
  async #heal(): Promise<void> {
    const { signal } = this.#life;
    for (let waitMs = RETRY_MIN_MS; !signal.aborted; waitMs = Math.min(RETRY_MAX_MS, 2 * waitMs)) {
      try {
        await this.#clock.sleep(waitMs, signal);
        if (!(await hasRoom(this.#folder))) continue;
        await this.#openAgain();
        this.#failure = undefined;
        this.#failing = undefined;
        return;
      } catch (error) {
        const failure = this.#explained(error);
        if (failure.code !== 'folder-damaged') continue;
        this.#failure = failure;
        return;
      }
    }
  }

  async #openAgain(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    await opened?.db.close();
    const db = await this.#openDatabase({ createIfMissing: false });
    try {
      await this.#load(db);
    } catch (error) {
      await db.close();
      throw error;
    }
  }

  async reopen(signal: AbortSignal): Promise<Loaded> {
    await this.#failing;
    if (this.#healing !== undefined) await orAborted(this.#healing, signal);
    this.#refuseIfFailed();
    return this.#loaded();
  }

  async #syncWitness(): Promise<void> {
    try {
      await this.#witness?.sync();
    } catch (error) {
      await this.#fail(error);
    }
  }

  get #handle(): Opened {
    if (this.#opened !== undefined) return this.#opened;
    assert(this.#failure !== undefined, 'the storage is not open');
    throw new SkeinError('disk-full', `The database under ${this.#folder} is just being opened again.`, {
      fix: 'Try again in a moment.',
      retryAfterMs: RETRY_MIN_MS,
    });
  }

  get #testimony(): Witness {
    assert(this.#witness !== undefined, 'the storage is not open');
    return this.#witness;
  }

  #checked<T>(reading: () => T): T {
    try {
      return reading();
    } catch (error) {
      throw this.#explained(error);
    }
  }

  #explained(error: unknown): SkeinError {
    return error instanceof DamagedRecord
      ? damaged(this.#folder, error.message, error)
      : storageError(this.#folder, error);
  }
}

interface PreparedRows {
  readonly operations: readonly Operation[];
  readonly cached: readonly (readonly [string, CachedRow | undefined])[];
  readonly stateHash: string;
}

/** What a new database holds from its first write on. */
async function firstWrites(db: Database): Promise<void> {
  if (read(db, STATE_KEY) !== undefined) return;
  const layout = put(LAYOUT_KEY, JSON.stringify({ version: LAYOUT_VERSION }));
  await db.batch([layout, put(STATE_KEY, JSON.stringify(emptyState))], { sync: true });
}

function read<Value>(db: Database, name: string, snapshot?: ReturnType<Database['snapshot']>): Value | undefined {
  const key = Buffer.from(name);
  const value = db.getSync(key, snapshot === undefined ? {} : { snapshot });
  return value === undefined ? undefined : (JSON.parse(decodeRecord(key, value)) as Value);
}

function put(name: string, json: string): Operation {
  const key = Buffer.from(name);
  return { type: 'put', key, value: encodeRecord(key, json) };
}

const deletions = (keys: readonly Buffer[]): Operation[] => keys.map((key) => ({ type: 'del', key }));

function putEntry(entry: Entry): Operation {
  const key = entryKey(entry.index);
  return { type: 'put', key, value: encodeRecord(key, entryText(entry)) };
}

function newer(folder: string, version: number): SkeinError {
  return new SkeinError(
    'folder-newer',
    `The data folder ${folder} has layout ${version}; this version knows ${LAYOUT_VERSION}.`,
    {
      fix: 'Start it with the version of skein that wrote it, or a newer one.',
    },
  );
}

/** Waits for `work`, which never fails, unless the signal fires first. */
function orAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    void work.then(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    });
  });
}
