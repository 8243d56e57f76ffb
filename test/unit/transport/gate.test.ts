import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Gate, type GatedConnection, strangersMax } from '../../../node/transport/gate.ts';
import type { PeerId } from '../../../protocol/ids.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const stranger = 's' as PeerId;
const connection = (peer: string, direction: 'inbound' | 'outbound' = 'inbound'): GatedConnection => ({
  remotePeer: peer,
  direction,
});

function bed(joinable: boolean) {
  const clock = new ManualClock();
  const members = new Set(['m']);
  const rule = { joinable };
  const admission = {
    isMember: (peer: PeerId) => members.has(peer),
    isGateway: () => false,
    isObserver: (peer: PeerId) => peer === 'o',
    joinable: () => rule.joinable,
  };
  const gate = new Gate(admission, clock);
  gate.openToStrangers();
  return { clock, gate, members, rule };
}

test('members and observers always come in, strangers only while a ticket is open', () => {
  const { gate, rule } = bed(false);
  const comesIn = (peer: string) => gate.admitsInbound(peer as PeerId, []);
  assert.equal([comesIn('m'), comesIn('o'), comesIn('s')], [true, true, false]);
  rule.joinable = true;
  assert.ok(comesIn('s'));
});

test('no stranger comes in before the guards stand', () => {
  const admission = { isMember: () => false, isGateway: () => false, isObserver: () => false, joinable: () => true };
  assert.not(new Gate(admission, new ManualClock()).admitsInbound(stranger, []));
});

test('sixteen strangers at a time, members not counted', () => {
  const { gate } = bed(true);
  const strangers = Array.from({ length: strangersMax }, (_, n) => connection(`s${n}`));
  assert.not(gate.admitsInbound(stranger, strangers));
  assert.ok(gate.admitsInbound(stranger, [...strangers.slice(1), connection('m'), connection('o')]));
});

test('a stranger stays ten seconds, and not a moment longer than the ticket is open', async () => {
  const { gate, clock, rule } = bed(true);
  const one = connection('s');
  gate.opened(one);
  await clock.advance(9999);
  assert.equal(gate.overdue([one, connection('m')]), []);
  await clock.advance(1);
  assert.equal(gate.overdue([one]), [one]);
  const two = connection('t');
  gate.opened(two);
  rule.joinable = false;
  assert.equal(gate.overdue([two]), [two]);
});

test('a member that is removed is overdue at once, in whichever direction it was connected', () => {
  const { gate, members } = bed(false);
  const both = [connection('m'), connection('m', 'outbound')];
  for (const one of both) gate.opened(one);
  assert.equal(gate.overdue(both), []);
  members.delete('m');
  assert.equal(gate.overdue(both), both);
});

test('whom this node dialled in order to join may stay a minute without being listed', async () => {
  const { gate, clock } = bed(false);
  const one = connection('s', 'outbound');
  gate.dialled(stranger);
  assert.ok(gate.admitsDial(stranger) && gate.isPeer(stranger));
  assert.equal(gate.overdue([one]), []);
  await clock.advance(60_000);
  assert.equal(gate.overdue([one]), [one]);
  assert.not(gate.admitsDial(stranger));
});

test.run();
