import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { seededRandom } from '../../../node/clock.ts';
import { type BeatStatus, Gossip } from '../../../node/gossip/gossip.ts';
import { makePeerKey } from '../../../node/identity/identity.ts';
import { makeVerifier } from '../../../node/identity/signing.ts';
import { silentLog } from '../../../node/log.ts';
import { MemoryTransport } from '../../../node/transport/memory.ts';
import { MemoryNetwork } from '../../../node/transport/memory-network.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import type { EpochId } from '../../../protocol/ids.ts';
import type { Heartbeat } from '../../../protocol/wire/heartbeat.ts';
import type { MemberList } from '../../../protocol/wire/members.ts';
import type { Beacon } from '../../../protocol/wire/window.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { epochId, fixedMachine, member, memberList, meshId } from './fixtures.ts';

const status: BeatStatus = {
  incarnation: 1,
  begun: [],
  claim: { incarnation: 1, sequence: 1, slots: 2, prefetch: 1, memBytes: 0, wants: [] },
  busy: 1,
  draining: false,
  restarting: false,
};

async function bed(names: readonly string[]) {
  const clock = new ManualClock();
  const random = seededRandom('gossip');
  const network = new MemoryNetwork({ clock, random });
  const keys = await Promise.all(names.map((name) => makePeerKey(random.fork(name))));
  let list = memberList(
    keys.map(({ peerId }, n) => member(peerId, names[n] ?? '', { roles: n === 0 ? ['gateway'] : ['worker'] })),
  );
  const admission = {
    isMember: () => true,
    isGateway: (peer: string) => peer === keys[0]?.peerId,
    isObserver: () => false,
    joinable: () => false,
  };
  const nodes = await Promise.all(
    keys.map(async (key, n) => {
      const transport = new MemoryTransport(
        {
          network,
          self: key.peerId,
          admission,
          verifier: makeVerifier(),
          clock,
          random: random.fork(`${n}`),
          log: silentLog,
        },
        { meshId, dialOutOnly: false },
      );
      let own: BeatStatus | undefined;
      const parts = {
        transport,
        signer: key.signer,
        verifier: makeVerifier(),
        clock,
        log: silentLog,
        machine: fixedMachine,
        members: { current: () => list },
        blobs: () => ({ count: 1, bytes: 2 }),
        status: () => own,
      };
      const gossip = new Gossip(parts, {
        name: names[n] ?? '',
        roles: ['worker'],
        version: '0.1.0',
      });
      const heard: Heartbeat[] = [];
      gossip.onHeartbeat((heartbeat) => heard.push(heartbeat));
      await transport.start();
      gossip.start();
      return { transport, gossip, heard, key, self: key.peerId, beatBy: (s: BeatStatus | undefined) => (own = s) };
    }),
  );
  for (const { transport } of nodes) for (const other of nodes) transport.keep(other.self, other.transport.addresses());
  await clock.advance(3000);
  return {
    clock,
    nodes: nodes as [(typeof nodes)[0], (typeof nodes)[0]],
    setList: (next: (list: MemberList) => MemberList) => {
      list = next(list);
    },
    close: async () => {
      for (const { gossip, transport } of nodes) {
        gossip.stop();
        await transport.stop();
      }
    },
  };
}

test('a heartbeat is heard once by others and by its sender, with what the machine says', async () => {
  const { clock, nodes, close } = await bed(['one', 'two']);
  const [one, two] = nodes;
  const beat = one.gossip.beat(status);
  await clock.advance(10);
  assert.equal([one.heard.length, two.heard.length], [1, 1]);
  assert.is(two.heard[0]?.peerId, one.self);
  assert.equal(
    [two.heard[0]?.slots, two.heard[0]?.cpus, two.heard[0]?.blobs],
    [{ busy: 1, total: 2 }, 4, { count: 1, bytes: 2 }],
  );
  assert.equal([two.heard[0]?.sequence, two.heard[0]?.sentAtUptimeMs], [beat.sequence, beat.sentAtUptimeMs]);
  await close();
});

test('a node whose status is given beats by itself once an interval, and one without is silent', async () => {
  const { clock, nodes, close } = await bed(['one', 'two']);
  const [one, two] = nodes;
  await clock.advance(3000);
  assert.is(two.heard.length, 0);
  one.beatBy(status);
  await clock.advance(10_000);
  assert.ok(two.heard.length >= 9 && two.heard.length <= 11, `${two.heard.length} heartbeats in 10 s`);
  await close();
});

test('the sealed heartbeat counts from whoever brings it, once, and only as it was sealed', async () => {
  const { nodes, clock, close } = await bed(['one', 'two']);
  const [one, two] = nodes;
  const { bytes } = one.gossip.beat(status);
  assert.is(two.gossip.receive(bytes).peerId, one.self);
  await clock.advance(10);
  assert.is(two.heard.length, 1);
  const forged = bytes.slice();
  forged[60] = (forged[60] ?? 0) ^ 1;
  assert.throws(
    () => two.gossip.receive(forged),
    (error: unknown) => error instanceof SkeinError && error.code === 'invalid-request',
  );
  await close();
});

test('what is not of the member list or of another epoch is refused', async () => {
  const { nodes, setList, clock, close } = await bed(['one', 'two']);
  const [one, two] = nodes;
  const { bytes } = one.gossip.beat(status);
  setList((list) => ({ ...list, epochId: 'ee'.repeat(16) as EpochId }));
  const isForbidden = (error: unknown) => error instanceof SkeinError && error.code === 'forbidden';
  assert.throws(() => two.gossip.receive(bytes), isForbidden);
  await clock.advance(10);
  assert.is(two.heard.length, 0);
  setList((list) => ({ ...list, epochId, members: list.members.filter(({ peerId }) => peerId !== one.self) }));
  assert.throws(() => two.gossip.receive(bytes), isForbidden);
  await close();
});

test('a beacon is taken from the gateway that it names and from nobody else', async () => {
  const { nodes, clock, close } = await bed(['one', 'two']);
  const [one, two] = nodes;
  const beacon: Beacon = {
    epochId,
    leader: one.self,
    term: 4,
    commitIndex: 9,
    voters: { total: 1, healthy: 1, needed: 1 },
    heartbeatMs: 1000,
    leaseMs: 15_000,
    window: [],
  };
  two.gossip.announce(beacon);
  two.gossip.announce({ ...beacon, leader: two.self });
  await clock.advance(10);
  assert.is(one.gossip.beacon, undefined);
  one.gossip.announce(beacon);
  await clock.advance(10);
  assert.equal(two.gossip.beacon, beacon);
  one.gossip.announce({ ...beacon, term: 3 });
  await clock.advance(10);
  assert.is(two.gossip.beacon?.term, 4);
  await close();
});

test('a restart within one incarnation is heard at once', async () => {
  const { nodes, clock, close } = await bed(['one', 'two']);
  const [one, two] = nodes;
  one.gossip.beat(status);
  await clock.advance(2000);
  const again = new Gossip(
    {
      transport: one.transport,
      signer: one.key.signer,
      verifier: makeVerifier(),
      clock,
      log: silentLog,
      machine: fixedMachine,
      members: { current: () => memberList([]) },
      blobs: () => ({ count: 0, bytes: 0 }),
    },
    { name: 'one', roles: ['worker'], version: '0.1.0' },
  );
  again.beat(status);
  await clock.advance(10);
  assert.is(two.heard.length, 2);
  await close();
});

test.run();
