import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { seededRandom } from '../../../node/clock.ts';
import { Redial } from '../../../node/transport/redial.ts';
import type { PeerId } from '../../../protocol/ids.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const low = 'a' as PeerId;
const high = 'b' as PeerId;

function bed(self: PeerId, options: { dialsAlways?: boolean; gateways?: readonly PeerId[]; mayDial?: boolean } = {}) {
  const clock = new ManualClock();
  const stop = new AbortController();
  const dials: number[] = [];
  const world = { connected: false, answers: false };
  const redial = new Redial({
    self,
    clock,
    random: seededRandom('redial'),
    dialsAlways: options.dialsAlways ?? false,
    isGateway: (peer) => options.gateways?.includes(peer) ?? false,
    isConnected: () => world.connected,
    mayDial: () => options.mayDial ?? true,
    dial: async () => {
      dials.push(clock.monotonic() - 1000);
      if (!world.answers) throw new Error('nobody there');
      world.connected = true;
    },
  });
  redial.start(stop.signal);
  return { clock, redial, dials, world, stop };
}

test('the lower peer id dials at once, the higher one only when that has not worked', async () => {
  const first = bed(low);
  first.redial.keep(high, ['x']);
  assert.is(first.dials.length, 1);
  const second = bed(high);
  second.redial.keep(low, ['x']);
  await second.clock.advance(1900);
  assert.is(second.dials.length, 0);
  await second.clock.advance(300);
  assert.is(second.dials.length, 1);
});

test('a node that only dials out does not wait for anyone', () => {
  const { redial, dials } = bed(high, { dialsAlways: true });
  redial.keep(low, ['x']);
  assert.is(dials.length, 1);
});

test('a worker dials its gateway at once whatever their ids, and the gateway waits for it', async () => {
  const worker = bed(high, { gateways: [low] });
  worker.redial.keep(low, ['x']);
  assert.is(worker.dials.length, 1);
  const gateway = bed(low, { gateways: [low] });
  gateway.redial.keep(high, ['x']);
  await gateway.clock.advance(1900);
  assert.is(gateway.dials.length, 0);
});

test('it tries for ever, a few seconds apart, and never in step', async () => {
  const { redial, dials, clock } = bed(low);
  redial.keep(high, ['x']);
  await clock.advance(600_000);
  assert.ok(dials.length > 150 && dials.length < 600, `${dials.length} dials in 10 min`);
  const gaps = dials.slice(10).map((at, n) => at - (dials[n + 9] ?? 0));
  assert.ok(Math.max(...gaps) <= 4800);
  assert.ok(new Set(gaps).size > 5);
});

test('a lost connection is dialled again within a second', async () => {
  const { redial, dials, clock, world } = bed(low);
  world.answers = true;
  redial.keep(high, ['x']);
  await clock.advance(60_000);
  assert.is(dials.length, 1);
  world.connected = false;
  redial.onLost(high);
  await clock.advance(1000);
  assert.is(dials.length, 2);
});

test('who is released, has no address or is no member is not dialled', async () => {
  const released = bed(low);
  released.redial.keep(high, ['x']);
  released.redial.release(high);
  const nowhere = bed(low);
  nowhere.redial.keep(high, []);
  const foreign = bed(low, { mayDial: false });
  foreign.redial.keep(high, ['x']);
  for (const { clock } of [released, nowhere, foreign]) await clock.advance(60_000);
  assert.equal([released.dials.length, nowhere.dials.length, foreign.dials.length], [1, 0, 0]);
});

test.run();
