// A member list, heartbeats and a machine for the tests of this room.
import type { Machine } from '../../../node/gossip/machine.ts';
import type { EpochId, MeshId, PeerId } from '../../../protocol/ids.ts';
import type { Heartbeat } from '../../../protocol/wire/heartbeat.ts';
import type { MemberList } from '../../../protocol/wire/members.ts';

export const meshId = 'ab'.repeat(16) as MeshId;
export const epochId = 'cd'.repeat(16) as EpochId;

export type Member = MemberList['members'][number];

export function member(peerId: PeerId, name: string, change: Partial<Member> = {}): Member {
  return {
    peerId,
    name,
    roles: ['worker'],
    boxKey: '',
    observer: null,
    incarnation: 1,
    state: 'alive',
    joinedAt: 0,
    ticket: null,
    ...change,
  };
}

export function memberList(members: readonly Member[]): MemberList {
  return {
    meshId,
    meshName: 'test',
    epochId,
    epochNumber: 1,
    index: 1,
    heartbeatMs: 1000,
    leaseMs: 15_000,
    members: [...members],
    gateways: [],
  };
}

export function heartbeat(peerId: PeerId, change: Partial<Heartbeat> = {}): Heartbeat {
  return {
    peerId,
    name: 'x',
    roles: ['worker'],
    incarnation: 1,
    sequence: 1,
    version: '0.1.0',
    draining: false,
    restarting: false,
    begun: [],
    claim: { incarnation: 1, sequence: 1, slots: 2, prefetch: 0, memBytes: 0, wants: [] },
    slots: { busy: 1, total: 2 },
    load1: 0.25,
    memFreeBytes: 10,
    memTotalBytes: 20,
    cpus: 2,
    loopDelayMs: 1,
    blobs: { count: 3, bytes: 4 },
    reach: 'dials-out',
    addresses: [],
    sentAtUptimeMs: 0,
    ...change,
  };
}

export const fixedMachine: Machine = {
  sample: () => ({ load1: 0.5, memFreeBytes: 1, memTotalBytes: 2, cpus: 4, loopDelayMs: 0 }),
  close() {},
};
