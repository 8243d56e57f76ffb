// Who shall vote: the next step, and what is left alone.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { nextStep, type Replica } from '../../../node/policy/voters.ts';
import type { PeerId } from '../../../protocol/ids.ts';

const replica = (voterId: number, over: Partial<Replica> = {}): Replica => ({
  voterId,
  peerId: `p${voterId}` as PeerId,
  isSelf: voterId === 1,
  isVoter: true,
  isReady: true,
  silentMs: 0,
  ...over,
});

function stepOf(replicas: readonly Replica[], gone: readonly string[] = [], target = 3): ReturnType<typeof nextStep> {
  return nextStep({
    target,
    replicas,
    now: 1e9,
    member: (peerId) => ({
      name: peerId,
      roles: ['gateway', 'voter'],
      state: gone.includes(peerId) ? 'left' : 'alive',
      joinedAt: 0,
    }),
  });
}

test('a voter whose node left is removed', () => {
  assert.is(stepOf([replica(1), replica(2), replica(3)], ['p3'])?.kind, 'remove');
});

test('none is removed while those that would be left could not commit it', () => {
  const silent = { silentMs: 20_000, isReady: false };
  assert.is(stepOf([replica(1), replica(2, silent), replica(3)], ['p3']), undefined);
  const heir = replica(9, { isVoter: false });
  const longSilent = { silentMs: 31 * 60_000, isReady: false };
  const five = [replica(1), replica(2), replica(3, longSilent), replica(4, longSilent), replica(5, longSilent), heir];
  assert.is(stepOf(five, [], 5), undefined);
  assert.is(stepOf([replica(1), replica(2), replica(3, longSilent), heir])?.kind, 'remove');
});

test.run();
