import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { RunnerLink } from '../../../node/runtime/link.ts';
import { RunnerPool } from '../../../node/runtime/pool.ts';

test('whoever waits for a runner hears of a failed start, whoever asked for that', async () => {
  const start = Promise.withResolvers<RunnerLink>();
  const pool = new RunnerPool(
    () => start.promise,
    () => undefined,
  );
  const prepared = pool.startAhead(1).catch((error: Error) => error.message);
  const acquired = pool.acquire().catch((error: Error) => error.message);
  start.reject(new Error('no process could be made'));
  assert.is(await prepared, 'no process could be made');
  assert.is(await acquired, 'no process could be made');
});

test.run();
