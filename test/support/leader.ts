// A leader's parts over rows in memory: a log that commits at once or when a test says so, a transport that records.
import type { BlobStore } from '../../node/blob/port.ts';
import type { Applied, AppliedBatch, LogStatus, ReplicatedLog } from '../../node/consensus/log.ts';
import { Answers } from '../../node/leader/answers.ts';
import { Granting } from '../../node/leader/granting.ts';
import { Items } from '../../node/leader/items.ts';
import { LiveJobs } from '../../node/leader/live-jobs.ts';
import { Reaper } from '../../node/leader/reaper.ts';
import { Roster } from '../../node/leader/roster.ts';
import { silentLog } from '../../node/log.ts';
import { type ErrorCode, SkeinError } from '../../protocol/errors.ts';
import type { Fence, PeerId } from '../../protocol/ids.ts';
import type { Command } from '../../protocol/state/command.ts';
import type { RowKey } from '../../protocol/state/rows.ts';
import type { Heartbeat } from '../../protocol/wire/heartbeat.ts';
import { ManualClock } from './manual-clock.ts';
import { begunAt, CAT, STARTED, type State } from './state.ts';

class LocalLog
  implements Pick<ReplicatedLog, 'view' | 'scan' | 'status' | 'propose' | 'readBarrier' | 'onApplied' | 'onStatus'>
{
  readonly state: State;
  readonly view: State['view'];
  leading = true;
  failing: ErrorCode | undefined;
  /** What a quorum round takes. */
  barrier: () => Promise<void> = async () => {};
  readonly proposed: Command[] = [];
  readonly #listeners: ((batch: AppliedBatch) => void)[] = [];

  constructor(state: State) {
    this.state = state;
    this.view = state.view;
  }

  status(): LogStatus {
    const { index, epochId } = this.state;
    return {
      epochId,
      epochNumber: 1,
      term: 1,
      state: this.leading ? 'leader' : 'follower',
      leading: this.leading,
      commitIndex: index,
      appliedIndex: index,
      lastIndex: index,
      voters: 1,
      disk: 'ok',
    };
  }

  async propose(command: Command): Promise<Applied> {
    this.proposed.push(command);
    if (this.failing !== undefined) throw new SkeinError(this.failing, 'it is not known whether it committed');
    return this.commit(command);
  }

  commit(command: Command): Applied {
    const { index, outcome, events } = this.state.apply(command);
    const logged = events.map((event, sub) => ({ ...event, index, sub }));
    for (const hear of this.#listeners) {
      hear({ appliedIndex: index, entries: [{ index, command, outcome, events: logged }] });
    }
    return { index, outcome };
  }

  async readBarrier(): Promise<number> {
    await this.barrier();
    return this.state.index;
  }

  async *scan<Row>(prefix: string): AsyncIterable<readonly [RowKey<Row>, Row]> {
    for (const key of [...this.state.rows.keys()].sort()) {
      if (key.startsWith(prefix)) yield [key as RowKey<Row>, this.state.rows.get(key) as Row];
    }
  }

  onStatus(): () => void {
    return () => {};
  }

  onApplied(listener: (batch: AppliedBatch) => void): () => void {
    this.#listeners.push(listener);
    return () => {};
  }
}

interface Told {
  readonly peerId: PeerId;
  readonly method: string;
  readonly body: Uint8Array;
}

export async function leaderOf(
  state: State,
  read: BlobStore['read'] = async () => {
    throw new SkeinError('not-found', 'no blobs here');
  },
) {
  const log = new LocalLog(state) as LocalLog & ReplicatedLog;
  const clock = new ManualClock();
  const stopped = new AbortController();
  const told: Told[] = [];
  const deaf = new Set<PeerId>();
  const handlers = new Map<string, (from: PeerId, body: Uint8Array) => Promise<Uint8Array>>();
  const transport = {
    self: CAT,
    addresses: () => [],
    reach: () => 'direct' as const,
    start: async () => {},
    stop: async () => {},
    keep: () => {},
    release: () => {},
    dial: async () => CAT,
    connected: () => [],
    onConnection: () => {},
    publish: async () => {},
    subscribe: () => {},
    reconnect: async () => {},
    handle(_channel: string, method: string, handler: (from: PeerId, body: Uint8Array) => Promise<Uint8Array>): void {
      handlers.set(method, handler);
    },
    async call(peerId: PeerId, _channel: string, method: string, body: Uint8Array): Promise<Uint8Array> {
      if (deaf.has(peerId)) throw new SkeinError('unreachable', 'nobody there');
      told.push({ peerId, method, body });
      return new Uint8Array();
    },
  };
  const jobs = new LiveJobs(log);
  const roster = new Roster({ log, clock });
  await jobs.load();
  await roster.load();
  log.onApplied((batch) => {
    jobs.onApplied(batch.entries);
    roster.onApplied(batch.entries);
  });
  const items = new Items({ read });
  const granting = new Granting({ log, transport, clock, jobs, roster, items, out: silentLog }, stopped.signal);
  const reaper = new Reaper({ log, transport, clock, roster, out: silentLog }, stopped.signal);
  const answers = new Answers({ log, roster, jobs, granting });
  reaper.rearm();
  return { log, clock, told, deaf, handlers, transport, jobs, roster, granting, reaper, answers };
}

export function heartbeatOf(
  peerId: PeerId,
  sequence: number,
  {
    incarnation = 1,
    begun = [],
    slots = 2,
    prefetch = 0,
    draining = false,
    restarting = false,
  }: {
    incarnation?: number;
    begun?: readonly Fence[];
    slots?: number;
    prefetch?: number;
    draining?: boolean;
    restarting?: boolean;
  } = {},
): Heartbeat {
  return {
    peerId,
    name: peerId.slice(5),
    roles: ['worker'],
    incarnation,
    sequence,
    version: '0',
    draining,
    restarting,
    begun: begunAt(STARTED, begun),
    claim: { incarnation, sequence, slots, prefetch, memBytes: 8e9, wants: [] },
    slots: { busy: 0, total: slots },
    load1: 0,
    memFreeBytes: 8e9,
    memTotalBytes: 8e9,
    cpus: slots,
    loopDelayMs: 0,
    blobs: { count: 0, bytes: 0 },
    reach: 'direct',
    addresses: [],
    sentAtUptimeMs: 0,
  };
}

/** Lets everything go on that waits for nothing but a turn of the loop. */
export async function turns(count = 5): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}
