// A snapshot on its way: its rows lie under a generation of their own, and how far they have come is kept beside them, in
// the same batch.
import { NOBODY } from '../../protocol/raft/message.ts';
import type { Operation } from './batch-writer.ts';
import { compareKeys, rowsPrefix } from './keys.ts';
import type { Staged, StagedPlace } from './port.ts';
import { encodeRecord } from './record.ts';
import { EMPTY_HASH, parseHash, printHash, rowHash, shiftHash } from './state-hash.ts';

/** At index 0 nothing is staged. */
export interface Staging extends StagedPlace {
  /** The highest that was ever used: the next one is free of rows. */
  readonly generation: number;
  readonly lastKey: string | null;
  readonly stateHash: string;
}

export function nothingStaged(generation: number): Staging {
  return { generation, from: NOBODY, index: 0, lastKey: null, stateHash: EMPTY_HASH };
}

/** Goes on at the same place, begins anew at another. */
export function stagingAt(before: Staging, { from, index }: StagedPlace): Staging {
  if (before.from === from && before.index === index) return before;
  return { ...nothingStaged(before.generation + 1), from, index };
}

export function stageRows(
  before: Staging,
  rows: readonly (readonly [string, unknown])[],
): { readonly staging: Staging; readonly operations: readonly Operation[] } {
  const operations: Operation[] = [];
  const prefix = rowsPrefix(before.generation);
  let { lastKey } = before;
  let sum = parseHash(before.stateHash);
  for (const [key, row] of rows) {
    if (lastKey !== null && compareKeys(key, lastKey) <= 0) continue;
    const json = JSON.stringify(row);
    const stored = Buffer.from(prefix + key);
    operations.push({ type: 'put', key: stored, value: encodeRecord(stored, json) });
    sum = shiftHash(sum, { removed: 0n, added: rowHash(key, json) });
    lastKey = key;
  }
  return { staging: { ...before, lastKey, stateHash: printHash(sum) }, operations };
}

export function stagedOf({ from, index, lastKey, stateHash }: Staging): Staged | undefined {
  return index === 0 ? undefined : { from, index, lastKey: lastKey ?? undefined, stateHash };
}
