// Which task goes to which worker.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { misfits, type Offer, type OpenJob, place, recalls, slotsOf } from '../../../node/policy/placement.ts';
import type { Needs } from '../../../protocol/api/jobspec.ts';
import type { PeerId } from '../../../protocol/ids.ts';
import { ANN, BOB, CAT, job } from '../../support/state.ts';

function offer(peerId: PeerId, offered: Partial<Offer> = {}): Offer {
  return {
    peerId,
    incarnation: 1,
    slots: 2,
    prefetch: 0,
    used: 0,
    memTotalBytes: 8e9,
    diskFreeBytes: 100e9,
    wants: [],
    ...offered,
  };
}

function open(
  n: number,
  tasks: number,
  { needs, allowance = Number.POSITIVE_INFINITY }: Partial<OpenJob> = {},
): OpenJob {
  return { jobId: job(n), needs, allowance, head: Array.from({ length: tasks }, (_, at) => at + 1) };
}

const peersOf = (jobs: readonly OpenJob[], offers: readonly Offer[], most = 100) =>
  place(jobs, offers, most).map(({ peerId }) => peerId);

test('tasks go out in order, and stop where the room ends', () => {
  const placements = place([open(1, 5)], [offer(ANN)], 100);
  assert.equal(
    placements.map(({ task, peerId, incarnation, slots }) => [task, peerId, incarnation, slots]),
    [
      [1, ANN, 1, 1],
      [2, ANN, 1, 1],
    ],
  );
});

test('what the log already granted is no room', () => {
  assert.is(place([open(1, 5)], [offer(ANN, { used: 1 })], 100).length, 1);
  assert.is(place([open(1, 5)], [offer(ANN, { used: 2 })], 100).length, 0);
  assert.is(place([open(1, 5)], [offer(ANN, { used: 9 })], 100).length, 0);
});

test('no more are placed at once than asked for', () => {
  assert.is(place([open(1, 50)], [offer(ANN, { slots: 50 })], 3).length, 3);
});

test('work spreads to where most slots are free', () => {
  assert.equal(peersOf([open(1, 3)], [offer(ANN), offer(BOB, { slots: 3 })]), [BOB, ANN, BOB]);
});

test('real slots fill everywhere before anybody holds work ahead', () => {
  const offers = [offer(ANN, { slots: 1, prefetch: 2 }), offer(BOB, { slots: 1, prefetch: 2 })];
  assert.equal(peersOf([open(1, 9)], offers), [ANN, BOB, ANN, BOB, ANN, BOB]);
});

test('among workers with equal room the one that wants the job gets it, and never before a freer one', () => {
  const wants = [job(1)];
  assert.equal(peersOf([open(1, 1)], [offer(ANN), offer(BOB, { wants })]), [BOB]);
  assert.equal(peersOf([open(1, 1)], [offer(ANN), offer(BOB, { wants, used: 1 })]), [ANN]);
});

test('a job has no more tasks out than it allows', () => {
  assert.is(place([open(1, 5, { allowance: 1 })], [offer(ANN)], 100).length, 1);
  assert.is(place([open(1, 5, { allowance: 0 })], [offer(ANN)], 100).length, 0);
});

test('a job that finds no room does not keep a later one from it', () => {
  const placements = place([open(1, 3, { needs: { cpu: 4 } }), open(2, 1)], [offer(ANN)], 100);
  assert.equal(
    placements.map(({ jobId }) => jobId),
    [job(2)],
  );
});

test('a task that takes several slots needs them all free, and is never held ahead', () => {
  const needs = { cpu: 2 };
  assert.is(place([open(1, 1, { needs })], [offer(ANN, { used: 1, prefetch: 8 })], 100).length, 0);
  assert.equal(
    place([open(1, 3, { needs })], [offer(ANN), offer(BOB, { used: 1 })], 100).map(({ slots }) => slots),
    [2],
  );
});

test('a worker that offers no slots is given nothing', () => {
  assert.equal(peersOf([open(1, 1), open(2, 1, { needs: { cpu: 'all' } })], [offer(ANN, { slots: 0 })]), []);
});

const slotted: readonly [Needs | undefined, number][] = [
  [undefined, 1],
  [{}, 1],
  [{ cpu: 0.25 }, 1],
  [{ cpu: 1 }, 1],
  [{ cpu: 1.5 }, 2],
  [{ cpu: 'all' }, 6],
];
for (const [needs, slots] of slotted) {
  test(`needs of ${JSON.stringify(needs)} take ${slots} of 6 slots`, () => {
    assert.is(slotsOf(needs, { slots: 6 }), slots);
  });
}

test('a worker misfits by each thing that it lacks', () => {
  const needs = { cpu: 4, memBytes: 9e9, diskBytes: 200e9, gpu: 1 };
  assert.equal(misfits(needs, offer(ANN)), [
    { code: 'cpu', have: 2, want: 4 },
    { code: 'memory', have: 8e9, want: 9e9 },
    { code: 'disk', have: 100e9, want: 200e9 },
    { code: 'gpu', have: 0, want: 1 },
  ]);
  assert.equal(misfits({ cpu: 2, memBytes: 8e9, diskBytes: 100e9, gpu: 0 }, offer(ANN)), []);
  assert.equal(misfits(undefined, offer(ANN)), []);
});

const ahead = (peerId: PeerId, used: number, unbegun: number) => ({ ...offer(peerId, { used }), unbegun });

test('work held ahead is called back as far as others idle, from whom holds most', () => {
  assert.equal(recalls([ahead(ANN, 3, 1), ahead(BOB, 6, 4), ahead(CAT, 0, 0)], 0), [{ peerId: BOB, count: 2 }]);
  assert.equal(recalls([ahead(ANN, 4, 2), ahead(BOB, 3, 1), ahead(CAT, 0, 0), ahead(CAT, 1, 0)], 0), [
    { peerId: ANN, count: 2 },
    { peerId: BOB, count: 1 },
  ]);
});

test('nothing is called back while the queue has tasks, nobody idles, or nothing is held ahead', () => {
  assert.equal(recalls([ahead(ANN, 4, 2), ahead(CAT, 0, 0)], 1), []);
  assert.equal(recalls([ahead(ANN, 4, 2), ahead(CAT, 2, 0)], 0), []);
  assert.equal(recalls([ahead(ANN, 4, 0), ahead(CAT, 0, 0)], 0), []);
  assert.equal(recalls([ahead(ANN, 2, 2), ahead(CAT, 0, 0)], 0), [], 'these are about to begin where they are');
});

test.run();
