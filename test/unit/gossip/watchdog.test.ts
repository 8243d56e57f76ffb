import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PeerTable } from '../../../node/gossip/peer-table.ts';
import { Watchdog } from '../../../node/gossip/watchdog.ts';
import type { PeerId } from '../../../protocol/ids.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { heartbeat } from './fixtures.ts';

const peer = 'a' as PeerId;

function bed() {
  const clock = new ManualClock();
  const table = new PeerTable(clock);
  const reconnected: number[] = [];
  const transport = { connected: () => [peer], reconnect: async () => void reconnected.push(clock.uptime()) };
  const watchdog = new Watchdog({ transport, table, clock });
  watchdog.onConnection(peer);
  let sequence = 0;
  return {
    clock,
    watchdog,
    reconnected,
    beat: () => table.hear(heartbeat(peer, { sequence: ++sequence })),
    /** Looks four times a second, as gossip does. */
    watch: async (ms: number, each: () => void = () => {}) => {
      for (let passed = 0; passed < ms; passed += 250) {
        each();
        await clock.advance(250);
        watchdog.look(1000);
      }
    },
  };
}

test('a peer that is heard keeps its connection', async () => {
  const { watch, beat, reconnected } = bed();
  await watch(20_000, beat);
  assert.equal(reconnected, []);
});

test('a peer that went silent is reconnected after three intervals, then ever more rarely', async () => {
  const { watch, beat, reconnected } = bed();
  beat();
  await watch(30_000);
  assert.equal(
    reconnected.map((at) => at - 1000),
    [3250, 9250, 21_250],
  );
});

test('a peer that was heard again starts from nothing', async () => {
  const { watch, beat, reconnected } = bed();
  beat();
  await watch(15_000);
  assert.is(reconnected.length, 2);
  await watch(1000, beat);
  await watch(3500);
  assert.is(reconnected.length, 3);
});

test('a new connection gets its time before it is judged', async () => {
  const { watch, beat, reconnected, watchdog } = bed();
  beat();
  await watch(2500);
  watchdog.onConnection(peer);
  await watch(2500);
  assert.equal(reconnected, []);
});

test('a node that was itself stopped does not hang up on everyone when it wakes', async () => {
  const { watch, beat, clock, reconnected, watchdog } = bed();
  beat();
  await watch(1000);
  clock.jump(60_000);
  watchdog.look(1000);
  await watch(2500);
  assert.equal(reconnected, []);
  await watch(1500);
  assert.is(reconnected.length, 1);
});

test.run();
