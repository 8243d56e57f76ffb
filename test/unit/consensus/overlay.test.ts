// Rows not yet on disk: how long they are held, and how a scan lays them over the stored ones.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { seededRandom } from '../../../node/clock.ts';
import { mergeRows, Overlay } from '../../../node/consensus/overlay.ts';
import { MemoryDisk, MemoryStorage } from '../../../node/storage/memory.ts';
import { between } from '../../../protocol/random.ts';

test('a row is held until a write that carries it is on disk', () => {
  const overlay = new Overlay();
  overlay.set('a', 1, 5);
  overlay.set('a', 2, 6);
  overlay.set('b', undefined, 6);
  const changes = overlay.take();
  assert.equal(changes, [
    { key: 'a', row: 2 },
    { key: 'b', row: undefined },
  ]);
  assert.not.ok(overlay.hasUnwritten);
  assert.equal(overlay.get('b'), { row: undefined, index: 6 });
  overlay.onStored(changes, 6);
  assert.is(overlay.get('a'), undefined);
  assert.is(overlay.get('b'), undefined);
});

test('a row that changed again during the write stays, and goes into the next', () => {
  const overlay = new Overlay();
  overlay.set('a', 1, 5);
  const changes = overlay.take();
  overlay.set('a', 2, 6);
  overlay.onStored(changes, 5);
  assert.is(overlay.get('a')?.row, 2);
  assert.equal(overlay.take(), [{ key: 'a', row: 2 }]);
});

test('what a failed write carried goes into the next, in its latest form', () => {
  const overlay = new Overlay();
  overlay.set('a', 1, 5);
  overlay.set('b', 1, 5);
  const changes = overlay.take();
  overlay.set('a', 2, 6);
  overlay.onFailed(changes);
  assert.equal(
    overlay.take().sort((x, y) => (x.key < y.key ? -1 : 1)),
    [
      { key: 'a', row: 2 },
      { key: 'b', row: 1 },
    ],
  );
});

test('a scan of both is what a scan of one table with all rows would be', async () => {
  const random = seededRandom('merge');
  for (let round = 0; round < 300; round++) {
    const disk = new MemoryDisk();
    const overlay = new Overlay();
    const expected = new Map<string, number>();
    for (let n = 0; n < 12; n++) {
      const key = `k/${between(random, 0, 15).toString(16)}`;
      disk.rows.put(key, n);
      expected.set(key, n);
    }
    for (let n = 100; n < 108; n++) {
      const key = `k/${between(random, 0, 15).toString(16)}`;
      const row = random.next() < 0.4 ? undefined : n;
      overlay.set(key, row, n);
      if (row === undefined) expected.delete(key);
      else expected.set(key, row);
    }
    const reverse = random.next() < 0.5;
    const options = {
      reverse,
      ...(random.next() < 0.5 ? { after: `k/${between(random, 0, 15).toString(16)}` } : {}),
      ...(random.next() < 0.5 ? { limit: between(random, 0, 6) } : {}),
    };
    const sorted = [...expected].sort(([a], [b]) => (a < b ? -1 : 1));
    if (reverse) sorted.reverse();
    const isAfter = (key: string) =>
      options.after === undefined || (reverse ? key < options.after : key > options.after);
    const wanted = sorted.filter(([key]) => isAfter(key)).slice(0, options.limit);
    const fresh = overlay.select('k/', options);
    const limit = options.limit === undefined ? {} : { limit: options.limit + fresh.length };
    const stored = new MemoryStorage(disk).rows('k/', { ...options, ...limit });
    assert.equal(await Array.fromAsync(mergeRows(stored, fresh, options)), wanted);
  }
});

test.run();
