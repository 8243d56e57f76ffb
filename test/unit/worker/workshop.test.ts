// What becomes of an attempt's files on its worker.
import { readdirSync } from 'node:fs';
import { Readable } from 'node:stream';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MemoryBlobStore } from '../../../node/blob/memory.ts';
import { silentLog } from '../../../node/log.ts';
import type { Runtime } from '../../../node/runtime/port.ts';
import { FileWorkshop } from '../../../node/worker/workshop.ts';
import type { SkeinError } from '../../../protocol/errors.ts';
import { type TestFolder, testFolder } from '../../support/folder.ts';
import { pushed } from '../../support/grants.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { specOf } from '../../support/state.ts';

const clock = new ManualClock();

function workshopIn(
  folder: TestFolder,
  containment: Runtime['containment'],
  store = new MemoryBlobStore({ clock }),
): FileWorkshop {
  folder.write({ attempts: null });
  return new FileWorkshop(
    {
      store,
      carrier: { fetch: async () => {}, deliver: async () => {} },
      room: { ensure: async () => {}, isShort: async () => false },
      clock,
      out: silentLog,
    },
    {
      attemptsFolder: folder.at('attempts'),
      spareFolder: folder.at('spare'),
      slots: 2,
      containment,
      path: '/usr/bin:/bin',
      lang: 'C.UTF-8',
    },
  );
}

test('a folder is used again only where nothing can have escaped the end of its attempt', async () => {
  for (const [containment, spares] of [
    ['pid-namespace', 1],
    ['process-group', 0],
  ] as const) {
    using folder = testFolder();
    const workshop = workshopIn(folder, containment);
    const grant = { ...pushed(5), spec: specOf({ command: ['true'] }) };
    await workshop.stage(grant, new AbortController().signal);
    await workshop.discard(grant.fence);
    assert.equal(readdirSync(folder.at('attempts')), []);
    assert.is(readdirSync(folder.at('spare')).length, spares, containment);
  }
});

test('what a life before had begun, and what it had only made ready, can be told apart', async () => {
  using folder = testFolder();
  const before = workshopIn(folder, 'pid-namespace');
  const grants = [5, 6, 7].map((index) => ({ ...pushed(index), spec: specOf({ command: ['true'] }) }));
  for (const grant of grants) await before.stage(grant, new AbortController().signal);
  const [kept, begun] = grants.map(({ fence }) => fence);
  for (const grant of grants.slice(0, 2)) await before.begin(grant);
  const leftovers = await workshopIn(folder, 'pid-namespace').leftovers(new Set(kept === undefined ? [] : [kept]));
  assert.equal(
    leftovers.begun.map(([fence]) => fence),
    [begun],
  );
  await leftovers.discard();
  assert.equal(readdirSync(folder.at('attempts')), [kept]);
});

test('arguments that were too long for the log are checked where they come back', async () => {
  for (const [rest, args] of [
    [{ args: ['a', 'b'] }, ['a', 'b']],
    [{ args: 5 }, 'invalid-request'],
  ] as const) {
    using folder = testFolder();
    const store = new MemoryBlobStore({ clock });
    const { sha256 } = await store.put(Readable.from([Buffer.from(JSON.stringify(rest))]), {});
    const grant = { ...pushed(5), spec: specOf({ command: ['echo'], rest: { sha256 } }) };
    const staged = workshopIn(folder, 'pid-namespace', store).stage(grant, new AbortController().signal);
    const got = await staged.then(
      ({ argv }) => argv.slice(1),
      (error: SkeinError) => error.code,
    );
    assert.equal(got, args);
  }
});

test.run();
