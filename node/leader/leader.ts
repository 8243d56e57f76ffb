// The leader's loop: grants, deaths, cancellations, retention. It runs on every gateway and acts only while that one leads
// and has applied its own term's no-op; what concerns a gateway's own disk is done on each. Duties are level-triggered passes; the age of the last complete one is a metric.
import type { PeerId } from '../../protocol/ids.ts';
import { DEFAULT_SETTINGS } from '../../protocol/state/apply-member.ts';
import { keys, type SettingsRow } from '../../protocol/state/rows.ts';
import type { Clock } from '../../protocol/time.ts';
import type { Heartbeat } from '../../protocol/wire/heartbeat.ts';
import type { Beacon } from '../../protocol/wire/window.ts';
import type { BlobStore } from '../blob/port.ts';
import type { AppliedBatch, LogStatus, ReplicatedLog } from '../consensus/log.ts';
import type { Log } from '../log.ts';
import type { Transport } from '../transport/port.ts';
import { Answers } from './answers.ts';
import { Granting } from './granting.ts';
import { Items } from './items.ts';
import { LiveJobs } from './live-jobs.ts';
import { Reaper } from './reaper.ts';
import { Roster } from './roster.ts';

export interface LeaderParts {
  readonly log: ReplicatedLog;
  readonly transport: Transport;
  /** Where lists of items are read. */
  readonly blobs: Pick<BlobStore, 'read'>;
  readonly clock: Clock;
  readonly out: Log;
  /** Publishes the beacon under this node's signature. */
  readonly announce: (beacon: Beacon) => void;
}

/** Housekeeping that other rooms do: retention, the sweep of blobs. Each is a pass that may fail and is run again. */
export interface Duty {
  readonly name: string;
  readonly everyMs: number;
  /** Whether it is done for this gateway's own disk, whoever leads. */
  readonly everywhere?: boolean;
  pass(signal: AbortSignal): Promise<void>;
}

export class Leader {
  readonly jobs: LiveJobs;
  readonly roster: Roster;
  readonly answers: Answers;
  readonly #granting: Granting;
  readonly #reaper: Reaper;
  readonly #parts: LeaderParts;
  readonly #stopped = new AbortController();
  readonly #passedAt = new Map<string, number>();
  #leading = false;
  #loops: Promise<void>[] = [];

  constructor(parts: LeaderParts) {
    this.#parts = parts;
    const { log, clock, transport, out } = parts;
    const signal = this.#stopped.signal;
    this.jobs = new LiveJobs(log);
    this.roster = new Roster({ log, clock });
    const items = new Items(parts.blobs);
    this.#granting = new Granting({ log, transport, clock, jobs: this.jobs, roster: this.roster, items, out }, signal);
    this.#reaper = new Reaper({ log, transport, clock, roster: this.roster, out }, signal);
    this.answers = new Answers({ log, roster: this.roster, jobs: this.jobs, granting: this.#granting });
  }

  /** Reads what lives from the rows, after the log has started. */
  async load(): Promise<void> {
    await this.jobs.load();
    await this.roster.load();
  }

  start(duties: readonly Duty[]): void {
    this.#parts.log.onApplied((batch) => this.#onApplied(batch));
    this.#parts.log.onStatus((status) => this.#onStatus(status));
    this.#onStatus(this.#parts.log.status());
    const { leaseMs, heartbeatMs } = this.settings();
    const own: readonly Duty[] = [
      { name: 'reaper', everyMs: Math.min(1_000, leaseMs / 10), pass: () => this.#reaper.judge(this.settings()) },
      { name: 'stops', everyMs: 1_000, pass: async () => this.#reaper.stopWhatShould() },
      { name: 'grants', everyMs: 1_000, pass: async () => this.#granting.wake() },
      { name: 'beacon', everyMs: heartbeatMs, pass: async () => this.#beacon() },
    ];
    this.#loops = [...own, ...duties].map((duty) => this.#loop(duty));
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await Promise.all(this.#loops);
  }

  settings(): SettingsRow {
    return this.#parts.log.view.get(keys.settings) ?? DEFAULT_SETTINGS;
  }

  get leading(): boolean {
    return this.#leading;
  }

  /** Milliseconds since the last complete pass of each duty. */
  quiet(): ReadonlyMap<string, number> {
    const now = this.#parts.clock.monotonic();
    return new Map(Array.from(this.#passedAt, ([name, at]) => [name, now - at]));
  }

  /** A heartbeat came, by gossip or by stream. */
  onHeartbeat(heartbeat: Heartbeat): void {
    const before = this.roster.heartbeat(heartbeat.peerId as PeerId)?.claim;
    this.roster.heard(heartbeat);
    const { incarnation, sequence } = heartbeat.claim;
    if (incarnation !== before?.incarnation || sequence !== before.sequence) this.#granting.wake();
  }

  #onStatus(status: LogStatus): void {
    if (status.leading === this.#leading) return;
    this.#leading = status.leading;
    if (!status.leading) return;
    // Timers do not survive an election: nothing that the last leader timed is trusted.
    this.#reaper.rearm();
    this.#granting.wake();
  }

  #onApplied(batch: AppliedBatch): void {
    this.jobs.onApplied(batch.entries);
    this.roster.onApplied(batch.entries);
    if (!this.#leading) return;
    if (batch.entries.some(({ command }) => command.kind === 'job.cancelled')) this.#reaper.stopWhatShould();
    this.#granting.wake();
  }

  async #loop(duty: Duty): Promise<void> {
    const { clock, out } = this.#parts;
    while (!this.#stopped.signal.aborted) {
      try {
        if (this.#leading || duty.everywhere === true) await duty.pass(this.#stopped.signal);
        this.#passedAt.set(duty.name, clock.monotonic());
      } catch (error) {
        if (!this.#stopped.signal.aborted)
          out.warn({ duty: duty.name, err: error }, 'a pass failed; the next one tries again');
      }
      await clock.sleep(duty.everyMs, this.#stopped.signal).catch(() => undefined);
    }
  }

  #beacon(): void {
    const { log, transport } = this.#parts;
    const { epochId, term, commitIndex, voters } = log.status();
    const { heartbeatMs, leaseMs } = this.settings();
    const beacon: Beacon = {
      epochId,
      leader: transport.self,
      term,
      commitIndex,
      voters: { total: voters, healthy: voters, needed: Math.floor(voters / 2) + 1 },
      heartbeatMs,
      leaseMs,
      window: this.answers.window(),
    };
    this.#parts.announce(beacon);
  }
}
