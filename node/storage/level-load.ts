// Reads the log back at a start and holds it against the witness: what is missing at or below it is damage and is said,
// what lies torn above it was never acknowledged and is cut (Protocol-Aware Recovery, FAST '18).
import type { Entry } from '../../protocol/raft/message.ts';
import type { Database } from './batch-writer.ts';
import { ENTRIES_BELOW, ENTRIES_FROM, entryIndex, entryKey } from './keys.ts';
import { DamagedRecord, decodeRecord } from './record.ts';
import { EMPTY_HASH } from './state-hash.ts';
import { TermRuns } from './term-runs.ts';
import type { Testimony } from './witness.ts';

/** Kept under one key and rewritten with every append. */
export interface LogState {
  readonly generation: number;
  readonly appliedIndex: number;
  /** Of the rows at `appliedIndex`. */
  readonly stateHash: string;
  /** May lag. */
  readonly commit: number;
  readonly firstIndex: number;
  /** The term of the entry before the first. */
  readonly termBefore: number;
}

export const emptyState: LogState = {
  generation: 1,
  appliedIndex: 0,
  stateHash: EMPTY_HASH,
  commit: 0,
  firstIndex: 1,
  termBefore: 0,
};

export interface LoadedLog {
  readonly terms: TermRuns;
  /** Keys above the last whole entry. */
  readonly torn: readonly Buffer[];
}

/** Throws DamagedRecord, whose message says what is wrong and where. */
export async function loadEntries(db: Database, state: LogState, witness: Testimony): Promise<LoadedLog> {
  const terms = new TermRuns({ index: state.firstIndex - 1, term: state.termBefore });
  const torn: Buffer[] = [];
  let reason = 'the log ends there';
  const limit = witness.sealed ? witness.lastIndex : Number.POSITIVE_INFINITY;
  for await (const [key, value] of db.iterator({ gte: ENTRIES_FROM, lt: ENTRIES_BELOW })) {
    const index = entryIndex(key);
    if (index < state.firstIndex) continue;
    const next = terms.lastIndex + 1;
    const found = index === next && index <= limit && torn.length === 0 ? tryDecode(key, value, index) : undefined;
    if (typeof found === 'object') {
      terms.push(found.term);
      continue;
    }
    if (torn.length === 0) reason = found ?? `the next one found is ${index}`;
    torn.push(key);
  }
  judge({ terms, state, witness, reason });
  return { terms, torn };
}

export function decodeEntry(key: Buffer, value: Buffer, index: number): Entry {
  const entry = JSON.parse(decodeRecord(key, value)) as Entry;
  if (entry.index !== index) throw new DamagedRecord(`under entry ${index} lies entry ${entry.index}`);
  return entry;
}

/** The entry, or what is wrong with it. */
function tryDecode(key: Buffer, value: Buffer, index: number): Entry | string {
  try {
    return decodeEntry(key, value, index);
  } catch (error) {
    if (error instanceof DamagedRecord) return error.message;
    throw error;
  }
}

function judge(found: {
  readonly terms: TermRuns;
  readonly state: LogState;
  readonly witness: Testimony;
  readonly reason: string;
}): void {
  const { terms, state, witness, reason } = found;
  const last = terms.lastIndex;
  const owed = Math.max(witness.lastIndex, state.appliedIndex);
  if (last < owed) {
    const held = last < state.firstIndex ? 'no entry is left' : `entries ${state.firstIndex} to ${last} are whole`;
    throw new DamagedRecord(
      `log entry ${last + 1} is missing: ${held}, but entry ${owed} was acknowledged (${reason}).`,
    );
  }
  const term = terms.at(witness.lastIndex);
  if (term !== undefined && term !== witness.lastTerm) {
    throw new DamagedRecord(
      `log entry ${witness.lastIndex} is of term ${term}, but the one acknowledged was of term ${witness.lastTerm}.`,
    );
  }
}

/** Entry keys `from` to `to`, both included. */
export function entryKeys(from: number, to: number): Buffer[] {
  const keys: Buffer[] = [];
  for (let index = from; index <= to; index++) keys.push(entryKey(index));
  return keys;
}
