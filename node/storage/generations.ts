// Rows of generations that nothing reads any more: what a snapshot replaced, what was staged and is void.
import type { Database, Operation } from './batch-writer.ts';
import { afterAllWith, ROWS_FROM, rowsGeneration, rowsPrefix } from './keys.ts';

const BATCH_ROWS = 500;

/** What deletes them, in batches, each found only after the last was written. `isLive` is asked anew for each. */
export async function* deadRows(
  db: Database,
  isLive: (generation: number) => boolean,
): AsyncGenerator<readonly Operation[]> {
  let from: Buffer = ROWS_FROM;
  for (;;) {
    const keys = await db.keys({ gte: from, lt: afterAllWith('s/'), limit: BATCH_ROWS }).all();
    const first = keys[0];
    if (first === undefined) return;
    const generation = rowsGeneration(first);
    const end = afterAllWith(rowsPrefix(generation));
    if (isLive(generation)) from = end;
    else yield keys.filter((key) => Buffer.compare(key, end) < 0).map((key) => ({ type: 'del', key }));
  }
}
