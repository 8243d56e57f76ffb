import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PeerTable } from '../../../node/gossip/peer-table.ts';
import type { PeerId } from '../../../protocol/ids.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { heartbeat, member, memberList } from './fixtures.ts';

const a = 'a' as PeerId;
const b = 'b' as PeerId;

test('only a later heartbeat counts, by incarnation and then by sequence', () => {
  const table = new PeerTable(new ManualClock());
  assert.ok(table.hear(heartbeat(a, { incarnation: 1, sequence: 5 })));
  assert.not(table.hear(heartbeat(a, { incarnation: 1, sequence: 5 })));
  assert.not(table.hear(heartbeat(a, { incarnation: 1, sequence: 4 })));
  assert.ok(table.hear(heartbeat(a, { incarnation: 2, sequence: 1 })));
  assert.not(table.hear(heartbeat(a, { incarnation: 1, sequence: 99 })));
  assert.is(table.get(a)?.heartbeat.incarnation, 2);
});

test('a stale heartbeat that comes again does not make its sender younger', async () => {
  const clock = new ManualClock();
  const table = new PeerTable(clock);
  table.hear(heartbeat(a, { sequence: 5 }));
  await clock.advance(4000);
  table.hear(heartbeat(a, { sequence: 5 }));
  assert.is(table.lines(memberList([member(a, 'one')]))[0]?.state, 'suspect');
});

test('a line tells the heartbeat, its age here, and the lease where it is known', async () => {
  const clock = new ManualClock();
  const table = new PeerTable(clock);
  table.hear(heartbeat(a));
  await clock.advance(400);
  assert.equal(
    table.lines(memberList([member(a, 'one', { roles: ['gateway'] })]), () => 14_000),
    [
      {
        peerId: a,
        name: 'one',
        roles: ['gateway'],
        state: 'alive',
        reach: 'dials-out',
        version: '0.1.0',
        slots: { busy: 1, total: 2 },
        load1: 0.25,
        memFreeBytes: 10,
        heartbeatAgeMs: 400,
        leaseLeftMs: 14_000,
        loopDelayMs: 1,
        blobs: { count: 3, bytes: 4 },
        rented: null,
      },
    ],
  );
});

test('a member that was never heard is alive at first and suspect after three intervals', async () => {
  const clock = new ManualClock();
  const table = new PeerTable(clock);
  const list = memberList([member(a, 'one')]);
  assert.is(table.lines(list)[0]?.state, 'alive');
  assert.is(table.lines(list)[0]?.heartbeatAgeMs, null);
  await clock.advance(3001);
  assert.is(table.lines(list)[0]?.state, 'suspect');
});

test('the log has the last word: dead stays dead while its old incarnation is heard, and lives again with a new one', () => {
  const table = new PeerTable(new ManualClock());
  const list = memberList([member(a, 'one', { state: 'dead' }), member(b, 'two', { state: 'left' })]);
  table.hear(heartbeat(a));
  table.hear(heartbeat(b));
  assert.equal(
    table.lines(list).map(({ state }) => state),
    ['dead', 'left'],
  );
  table.hear(heartbeat(a, { incarnation: 2 }));
  assert.is(table.lines(list)[0]?.state, 'alive');
});

test('draining shows from the member row or from the heartbeat, whichever is known first', () => {
  const table = new PeerTable(new ManualClock());
  table.hear(heartbeat(a, { draining: true }));
  table.hear(heartbeat(b));
  const list = memberList([member(a, 'one'), member(b, 'two', { state: 'draining' })]);
  assert.equal(
    table.lines(list).map(({ state }) => state),
    ['draining', 'draining'],
  );
});

test('the table is bounded, and forgets who was heard longest ago', () => {
  const table = new PeerTable(new ManualClock());
  for (let n = 0; n < 4097; n++) table.hear(heartbeat(`p${n}` as PeerId));
  assert.is(table.get('p0' as PeerId), undefined);
  assert.ok(table.get('p1' as PeerId));
});

test.run();
