// Drives the Raft core: Ready -> storage -> messages -> apply, with group commit and an overlay of rows not yet on disk.
// What it decides is order and durability; what the log means is decided by `apply`. See DESIGN.md beside this file.
import { assert, SkeinError } from '../../protocol/errors.ts';
import type { EpochId, PeerId } from '../../protocol/ids.ts';
import type { MembershipChange } from '../../protocol/raft/configuration.ts';
import { entryBytes } from '../../protocol/raft/entry-text.ts';
import {
  type Configuration,
  type Entry,
  type Envelope,
  type HardState,
  type Message,
  NOBODY,
  type VoterId,
} from '../../protocol/raft/message.ts';
import { Raft } from '../../protocol/raft/raft.ts';
import type { Installation, Ready } from '../../protocol/raft/ready.ts';
import type { Random } from '../../protocol/random.ts';
import { replicasOf } from '../../protocol/state/apply-replica.ts';
import type { Command, Outcome } from '../../protocol/state/command.ts';
import type { LoggedEvent, StateEvent } from '../../protocol/state/event.ts';
import type { Place } from '../../protocol/state/place.ts';
import type { RowKey, View } from '../../protocol/state/rows.ts';
import type { Clock } from '../../protocol/time.ts';
import { appendMaxBytes } from '../../protocol/wire/raft.ts';
import type { RowsTaken, SnapshotRows } from '../../protocol/wire/replica.ts';
import { type Faults, noFaults } from '../faults.ts';
import type { Epoch, Loaded, LogStorage, RowChange, Snapshot } from '../storage/port.ts';
import { Barriers } from './barriers.ts';
import { EventRing } from './event-ring.ts';
import { Following } from './following.ts';
import type { Links, ReplicaDoor } from './links.ts';
import type {
  Applied,
  AppliedBatch,
  AppliedEntry,
  LogStatus,
  ReplicaStatus,
  ReplicatedLog,
  ScanOptions,
  WaitLimits,
} from './log.ts';
import { mergeRows, Overlay } from './overlay.ts';
import { outcomeUnknown, Proposals } from './proposals.ts';
import { asSkeinError, foreignEpoch, lostEntries, noQuorum, notLeading, refusedByDisk } from './refusals.ts';
import { ReplicaPeers } from './replica-peers.ts';
import { SnapshotReceiver, sendSnapshot } from './snapshots.ts';

/** The rules of the state machine: pure, deterministic, and never throwing for what a command may say. */
export type Apply = (
  view: View,
  command: Command,
  place: Place,
) => { readonly changes: readonly RowChange[]; readonly events: readonly StateEvent[]; readonly outcome: Outcome };

export interface ConsensusCollaborators {
  readonly storage: LogStorage;
  readonly clock: Clock;
  readonly random: Random;
  readonly apply: Apply;
  /** Undefined where this replica will always be alone. */
  readonly links?: Links;
  readonly faults?: Faults;
}

export interface ConsensusOptions {
  /** What a folder without a log begins with; one that has a log keeps its own. */
  readonly initialEpoch: Epoch;
  readonly tickMs?: number;
  /** Applied entries kept for those who are behind. */
  readonly keepEntries?: number;
  /** They are dropped so many at a time, at least. */
  readonly compactStride?: number;
  readonly eventsMax?: number;
}

const TICK_MS = 100;
const ELECTION_TICKS = 10;
const HEARTBEAT_TICKS = 1;
const KEEP_ENTRIES = 10_000;
const COMPACT_STRIDE = 256;
const COMPACT_MAX = 2_048;
const EVENTS_MAX = 10_000;
/** Most entries applied, or sent, in one go: bounds the time that one turn takes. */
const BATCH_MAX = 512;
const INFLIGHT_MAX = 64;
const INFLIGHT_MAX_BYTES = 4 * 1024 * 1024;
const RECENT_MAX = 512;
/** Entries in the log that are not yet on this disk: the batch under way and the one that gathers. */
const UNSTABLE_MAX = 1_024;
const UNSTABLE_MAX_BYTES = 4 * 1024 * 1024;
/** Silence after which a voter is not called healthy: a leader hears of each with every heartbeat. */
const SILENT_MS = 2 * ELECTION_TICKS * TICK_MS;
/** Rows with no append to ride on are written by themselves after so long. */
const IDLE_MS = 100;

export class Consensus implements ReplicatedLog, ReplicaDoor {
  readonly #storage: LogStorage;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #apply: Apply;
  readonly #links: Links | undefined;
  readonly #faults: Faults;
  readonly #options: Required<ConsensusOptions>;

  #raft: Raft | undefined;
  #epoch: Epoch;
  #voterId: VoterId = NOBODY;
  readonly #life = new AbortController();
  #disk: LogStatus['disk'] = 'ok';
  #diskFailure: SkeinError | undefined;

  readonly #proposals = new Proposals();
  readonly #barriers = new Barriers();
  readonly #peers = new ReplicaPeers();
  readonly #following: Following | undefined;
  readonly #received: SnapshotReceiver;
  readonly #sending = new Set<VoterId>();
  #wasLeader = false;
  #pumpScheduled = false;
  #idleArmed = false;

  #unsynced: Ready[] = [];
  #hardState: HardState | undefined;
  #write: Promise<void> | undefined;
  #installing = false;
  #writes = 0;
  #unstableBytes = 0;
  #firstIndex = 1;
  #storedIndex = 0;
  #onStored: { readonly index: number; readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = [];

  readonly #overlay = new Overlay();
  #appliedIndex = 0;
  /** The term whose no-op was applied last. */
  #noopTerm = 0;
  #events: EventRing;

  readonly #appliedListeners = new Set<(batch: AppliedBatch) => void>();
  readonly #statusListeners = new Set<(status: LogStatus) => void>();
  readonly #replacedListeners = new Set<() => Promise<void>>();
  #announced = '';
  readonly #settled = Promise.withResolvers<void>();

  readonly view: View = {
    get: <Row>(key: RowKey<Row>): Row | undefined => {
      const fresh = this.#overlay.get(key);
      return (fresh === undefined ? this.#storage.row(key) : fresh.row) as Row | undefined;
    },
  };

  constructor(collaborators: ConsensusCollaborators, options: ConsensusOptions) {
    this.#storage = collaborators.storage;
    this.#clock = collaborators.clock;
    this.#random = collaborators.random;
    this.#apply = collaborators.apply;
    this.#links = collaborators.links;
    this.#faults = collaborators.faults ?? noFaults;
    this.#options = {
      tickMs: TICK_MS,
      keepEntries: KEEP_ENTRIES,
      compactStride: COMPACT_STRIDE,
      eventsMax: EVENTS_MAX,
      ...options,
    };
    this.#epoch = options.initialEpoch;
    this.#events = new EventRing({ max: this.#options.eventsMax, appliedIndex: 0 });
    this.#received = new SnapshotReceiver(this.#storage, () => this.#isInstalling);
    if (this.#links === undefined) return;
    const { links, clock, proposals, barriers } = {
      links: this.#links,
      clock: this.#clock,
      proposals: this.#proposals,
      barriers: this.#barriers,
    };
    this.#following = new Following({ links, clock, proposals, barriers, wake: () => this.#schedulePump() });
    links.onUnreachable((peer) => this.#onUnreachable(peer));
  }

  /**
   * Opens the storage (its owner closes it) and replays. A sole voter is up once it leads and has applied every entry that it
   * ever acknowledged, or once its disk has refused; any other at once, behind the others.
   */
  async start(): Promise<void> {
    const loaded = await this.#storage.open(this.#options.initialEpoch);
    assert(loaded.epoch !== undefined, 'a log without an epoch');
    this.#epoch = loaded.epoch;
    this.#appliedIndex = loaded.appliedIndex;
    this.#events = new EventRing({ max: this.#options.eventsMax, appliedIndex: loaded.appliedIndex });
    this.#begin(loaded);
    this.#clock.every(this.#options.tickMs, () => this.#onTick(), this.#life.signal);
    if (this.#isAlone) await this.#settled.promise;
  }

  /** Lets the write under way end, then answers all that still wait. Rows not yet on disk are replayed at the next start. */
  async stop(): Promise<void> {
    const stopping = new SkeinError('no-leader', 'This node is stopping.', { fix: 'Try again.' });
    this.#life.abort(stopping);
    this.#proposals.rejectQueued(stopping);
    while (this.#write !== undefined) await this.#write;
    this.#proposals.rejectInLog(outcomeUnknown('this node is stopping'));
    this.#barriers.rejectAll(stopping);
    for (const waiting of this.#onStored.splice(0)) waiting.reject(stopping);
    this.#settled.resolve();
  }

  /** Whether this replica is the only one that is counted. */
  get #isAlone(): boolean {
    const { voters } = this.#configuration;
    return voters.length === 1 && voters[0] === this.#voterId;
  }

  get #configuration(): Configuration {
    return this.#raft?.configuration ?? this.#peers.configuration;
  }

  status(): LogStatus {
    const raft = this.#raft;
    const state = raft?.state === 'precandidate' ? 'candidate' : (raft?.state ?? 'follower');
    const { voters } = this.#configuration;
    return {
      epochId: this.#epoch.id,
      epochNumber: this.#epoch.number,
      term: raft?.term ?? 0,
      state,
      leading: state === 'leader' && this.#noopTerm === raft?.term,
      commitIndex: raft?.commitIndex ?? this.#appliedIndex,
      appliedIndex: this.#appliedIndex,
      lastIndex: raft?.lastIndex ?? this.#appliedIndex,
      leader: this.#leader ?? null,
      voterId: this.#voterId,
      removed: raft?.wasRemoved ?? false,
      voters: voters.length,
      healthy: this.#healthy(voters),
      disk: this.#disk,
    };
  }

  get #leader(): PeerId | undefined {
    const leader = this.#raft?.leader ?? NOBODY;
    return leader === NOBODY ? undefined : this.#peers.of(leader);
  }

  #healthy(voters: readonly VoterId[]): number {
    const raft = this.#raft;
    if (raft === undefined || raft.leader === NOBODY) return 0;
    if (raft.state !== 'leader') return Math.floor(voters.length / 2) + 1;
    const now = this.#clock.monotonic();
    const isUp = (id: VoterId): boolean =>
      id === this.#voterId ? this.#disk === 'ok' : (this.#peers.silentMs(id, now) ?? SILENT_MS) < SILENT_MS;
    return voters.filter(isUp).length;
  }

  replicas(): readonly ReplicaStatus[] {
    const raft = this.#raft;
    if (raft?.state !== 'leader') return [];
    const now = this.#clock.monotonic();
    return raft.followers.map(({ voterId, match, state }) => ({
      voterId,
      peerId: this.#peers.of(voterId) ?? null,
      isVoter: raft.configuration.voters.includes(voterId),
      matchIndex: match,
      state,
      silentMs: this.#peers.silentMs(voterId, now),
    }));
  }

  async changeReplicas(change: MembershipChange, command: Command, options: WaitLimits): Promise<Applied> {
    const raft = this.#raft;
    if (raft?.state !== 'leader') throw notLeading();
    const result = raft.changeMembership(change, command);
    if (!result.ok) {
      throw new SkeinError('state-conflict', `who holds the log cannot be changed now: ${result.reason}`);
    }
    const answer = this.#proposals.follow(result.index, raft.term, { command, options }, this.#clock.monotonic());
    this.#schedulePump();
    return answer;
  }

  transferTo(voterId: VoterId): boolean {
    const begun = this.#raft?.transferTo(voterId) ?? false;
    this.#schedulePump();
    return begun;
  }

  async propose(command: Command, options: WaitLimits): Promise<Applied> {
    this.#life.signal.throwIfAborted();
    if (this.#diskFailure !== undefined) throw refusedByDisk(this.#diskFailure);
    const answer = this.#proposals.add(command, options, this.#clock.monotonic());
    this.#schedulePump();
    return answer;
  }

  async readBarrier(options: WaitLimits): Promise<number> {
    this.#life.signal.throwIfAborted();
    if (this.#knowsAll) return this.#appliedIndex;
    const answer = this.#barriers.add(options, this.#clock.monotonic());
    this.#schedulePump();
    return answer;
  }

  /**
   * Alone, with a disk that takes no more, this voter has applied all that was ever acknowledged, and nobody can add to it: so
   * reads and leases go on without a round. Not before its first own entry, which comes after all that the log holds.
   */
  get #knowsAll(): boolean {
    return this.#disk === 'full' && this.#isAlone && this.#noopTerm > 0;
  }

  async *scan<Row>(prefix: string, options: ScanOptions = {}): AsyncGenerator<readonly [RowKey<Row>, Row]> {
    // Both are taken in one turn: the overlay here, the stored rows at the merge's first step.
    const fresh = this.#overlay.select(prefix, options);
    const stored = this.#storage.rows(
      prefix,
      options.limit === undefined ? options : { ...options, limit: options.limit + fresh.length },
    );
    for await (const [key, row] of mergeRows(stored, fresh, options)) yield [key as RowKey<Row>, row as Row];
  }

  onApplied(listener: (batch: AppliedBatch) => void): () => void {
    this.#appliedListeners.add(listener);
    return () => this.#appliedListeners.delete(listener);
  }

  onStatus(listener: (status: LogStatus) => void): () => void {
    this.#statusListeners.add(listener);
    return () => this.#statusListeners.delete(listener);
  }

  onReplaced(listener: () => Promise<void>): () => void {
    this.#replacedListeners.add(listener);
    return () => this.#replacedListeners.delete(listener);
  }

  eventsSince(index: number, sub: number): readonly LoggedEvent[] | undefined {
    return this.#events.since(index, sub);
  }

  /** Fails with `disk-full` while rows cannot be written. */
  async snapshot(): Promise<Snapshot> {
    await this.#flushRows();
    return this.#storage.snapshot();
  }

  // What other replicas ask

  /** What comes from a peer that is not that replica's is dropped. */
  step(from: PeerId, message: Message): void {
    if (this.#disk === 'failed' || message.epochId !== this.#epoch.id) return;
    // It ends the stream of rows, in `takeRows`, and means nothing without them.
    if (message.kind === 'snapshot') return;
    if (!this.#peers.hear(message.from, from, this.#clock.monotonic())) return;
    this.#raft?.step(message);
    this.#schedulePump();
  }

  async proposeHere(epochId: EpochId, command: Command, limits: WaitLimits): Promise<Applied> {
    this.#mustLead(epochId);
    return this.propose(command, limits);
  }

  async readIndexHere(epochId: EpochId, limits: WaitLimits): Promise<number> {
    this.#mustLead(epochId);
    return this.readBarrier(limits);
  }

  #mustLead(epochId: EpochId): void {
    if (epochId !== this.#epoch.id) throw foreignEpoch();
    if (this.#raft?.state !== 'leader') throw notLeading();
  }

  async takeRows(from: PeerId, piece: SnapshotRows): Promise<RowsTaken> {
    if (piece.epochId !== this.#epoch.id || piece.to !== this.#voterId) throw foreignEpoch();
    if (!this.#peers.hear(piece.from, from, this.#clock.monotonic())) throw notLeading();
    if (piece.index <= this.#appliedIndex) return { lastKey: null, whole: true };
    if (this.#disk !== 'ok') throw refusedByDisk(this.#diskFailure ?? asSkeinError('the disk is not ready'));
    return this.#received.take(piece, (message) => {
      this.#raft?.step(message);
      this.#pump();
    });
  }

  get #isInstalling(): boolean {
    return this.#installing || this.#unsynced.some(({ snapshot }) => snapshot !== undefined);
  }

  #onUnreachable(peer: PeerId): void {
    for (const voterId of this.#peers.idsOf(peer)) this.#raft?.onUnreachable(voterId);
  }

  #begin(loaded: Loaded): void {
    this.#voterId = loaded.voterId;
    this.#peers.update(replicasOf(this.view));
    this.#firstIndex = loaded.firstIndex;
    this.#storedIndex = loaded.appliedIndex;
    this.#hardState = loaded.hardState;
    this.#unsynced = [];
    this.#unstableBytes = 0;
    const reader = {
      lastIndex: loaded.lastIndex,
      term: (index: number) => this.#storage.term(index),
      entry: (index: number) => this.#storage.entry(index),
    };
    this.#raft = new Raft(
      {
        log: reader,
        random: this.#random.fork(`raft-${loaded.hardState.term}`),
        sizeOf: entryBytes,
      },
      {
        epochId: this.#epoch.id,
        id: loaded.voterId,
        configuration: this.#peers.configuration,
        hardState: loaded.hardState,
        appliedIndex: this.#appliedIndex,
        electionTicks: ELECTION_TICKS,
        heartbeatTicks: HEARTBEAT_TICKS,
        batchMax: BATCH_MAX,
        batchMaxBytes: appendMaxBytes,
        inflightMax: INFLIGHT_MAX,
        inflightMaxBytes: INFLIGHT_MAX_BYTES,
        recentMax: RECENT_MAX,
      },
    );
    this.#raft.tick();
    this.#pump();
  }

  #onTick(): void {
    this.#raft?.tick();
    const nowMs = this.#clock.monotonic();
    this.#proposals.expire(nowMs, () => this.#whyNot());
    this.#barriers.expire(nowMs, () => this.#whyNot());
    this.#schedulePump();
  }

  #whyNot(): SkeinError {
    if (this.#diskFailure !== undefined) return refusedByDisk(this.#diskFailure);
    if (this.#raft?.leader === NOBODY) return noQuorum();
    if (!this.#isAlone) return new SkeinError('no-quorum', 'Too few voters answered in time.', { fix: 'Try again.' });
    return new SkeinError('too-busy', 'The log did not get to it in time.', { fix: 'Try again in a moment.' });
  }

  // The pump: synchronous, and run whenever something may have become due

  /** At the end of the turn, so that what is proposed within one turn shares a batch. */
  #schedulePump(): void {
    if (this.#pumpScheduled) return;
    this.#pumpScheduled = true;
    queueMicrotask(() => {
      this.#pumpScheduled = false;
      this.#pump();
    });
  }

  #pump(): void {
    const raft = this.#raft;
    if (raft === undefined || this.#disk !== 'ok' || this.#installing) return;
    if (this.#wasLeader && raft.state !== 'leader') this.#barriers.onDeposed();
    this.#wasLeader = raft.state === 'leader';
    this.#serveWaiting(raft);
    for (let ready = raft.ready(); ready !== undefined; ready = raft.ready()) this.#take(ready);
    this.#barriers.onApplied(this.#appliedIndex);
    this.#proposals.release(this.#appliedIndex);
    if (this.#write === undefined) this.#startWrite(raft);
    this.#announceStatus();
  }

  /** The leader does it; a follower hands it over; where nobody leads, whoever asks is told so at once. */
  #serveWaiting(raft: Raft): void {
    const leader = this.#leader;
    if (raft.state === 'leader') {
      this.#barriers.begin((context) => raft.readIndex(context));
      this.#feed(raft);
    } else if (leader !== undefined) {
      this.#following?.handOver(leader, this.#epoch.id);
    } else if (!this.#isAlone) {
      const refusal = noQuorum();
      this.#proposals.rejectQueued(refusal);
      this.#barriers.rejectWaiting(refusal);
    }
  }

  #feed(raft: Raft): void {
    if (raft.state !== 'leader' || raft.isTransferring || this.#life.signal.aborted) return;
    const room = {
      count: UNSTABLE_MAX - (raft.lastIndex - raft.stableIndex),
      sizeBytes: UNSTABLE_MAX_BYTES - this.#unstableBytes,
    };
    if (room.count <= 0 || room.sizeBytes <= 0) return;
    for (const proposal of this.#proposals.takeQueued(room)) {
      const index = raft.propose(proposal.command);
      assert(index !== undefined, 'a leader refused a proposal');
      this.#proposals.onProposed(proposal, index, raft.term);
      this.#unstableBytes += proposal.sizeBytes;
    }
  }

  #take(ready: Ready): void {
    for (const message of ready.messages) this.#send(message);
    for (const envelope of ready.snapshotsDue) void this.#sendSnapshot(envelope);
    if (ready.hardState !== undefined) this.#hardState = ready.hardState;
    if (ready.mustSync || ready.messagesAfterSync.length > 0) this.#unsynced.push(ready);
    for (const read of ready.reads) this.#barriers.onConfirmed(read);
    if (ready.committed.length > 0) this.#applyCommitted(ready.committed);
  }

  #send(message: Message): void {
    const peer = this.#peers.of(message.to);
    if (peer === undefined) this.#raft?.onUnreachable(message.to);
    else this.#links?.send(peer, message);
  }

  /** Its end is told to the core in any case, else that follower would wait for ever. */
  async #sendSnapshot(envelope: Envelope): Promise<void> {
    const { to } = envelope;
    const peer = this.#peers.of(to);
    let index: number | undefined;
    try {
      if (peer === undefined || this.#links === undefined || this.#sending.has(to)) return;
      this.#sending.add(to);
      const snapshot = await this.snapshot();
      const term = this.#storage.term(snapshot.index);
      if (term === undefined) return;
      const sendable = { ...snapshot, term, initial: this.#peers.configuration };
      const tools = { links: this.#links, clock: this.#clock };
      const target = { epochId: this.#epoch.id, envelope, peer };
      if (await sendSnapshot(tools, sendable, target, this.#life.signal)) index = snapshot.index;
    } catch {
      // The disk refuses, or this node stops.
    } finally {
      this.#sending.delete(to);
      this.#raft?.onSnapshotSent(to, index);
      this.#schedulePump();
    }
  }

  // Writing

  #startWrite(raft: Raft): void {
    const readys = this.#takeUnsynced();
    const [first] = readys;
    if (first?.snapshot !== undefined) this.#write = this.#install(raft, first, first.snapshot);
    else if (readys.some((ready) => ready.mustSync)) this.#write = this.#append(raft, readys);
    else this.#onSynced(raft, readys);
    if (this.#write === undefined && this.#overlay.hasUnwritten) this.#armIdleWrite();
  }

  /** Up to the next snapshot; that one alone. */
  #takeUnsynced(): readonly Ready[] {
    const at = this.#unsynced.findIndex(({ snapshot }) => snapshot !== undefined);
    const count = at < 0 ? this.#unsynced.length : Math.max(1, at);
    return this.#unsynced.splice(0, count);
  }

  /** The snapshot's rows take the place of all that are here, in memory too. Nothing else happens meanwhile. */
  async #install(raft: Raft, ready: Ready, { index, term, keepsTail }: Installation): Promise<void> {
    this.#installing = true;
    try {
      this.#faults.reach('log.install.before-sync');
      await this.#storage.install({ index, term, keepsTail, hardState: this.#hardState });
      if (ready.entries.length > 0) {
        const entries = ready.entries;
        const append = { entries, hardState: this.#hardState, changes: [], appliedIndex: index, compactTo: undefined };
        await this.#storage.append(append);
      }
    } catch (error) {
      this.#write = undefined;
      this.#installing = false;
      this.#onWriteFailed(error);
      return;
    }
    this.#faults.reach('log.install.after-sync');
    this.#onInstalled(index);
    for (const listener of this.#replacedListeners) await listener();
    this.#write = undefined;
    this.#installing = false;
    this.#onSynced(raft, [ready]);
    this.#pump();
  }

  #onInstalled(index: number): void {
    this.#writes++;
    this.#overlay.clear();
    this.#appliedIndex = index;
    this.#storedIndex = index;
    this.#firstIndex = index + 1;
    this.#events = new EventRing({ max: this.#options.eventsMax, appliedIndex: index });
    this.#peers.update(replicasOf(this.view));
    this.#proposals.onReplaced(index);
    this.#onRowsStored();
  }

  /** One synced batch: what these Readys want kept, and the rows of whatever was applied since the last. */
  async #append(raft: Raft, readys: readonly Ready[]): Promise<void> {
    const changes = this.#overlay.take();
    const appliedIndex = this.#appliedIndex;
    const compactTo = this.#compactTo();
    const entries = mergedEntries(readys);
    const sizeBytes = this.#unstableBytes;
    const kind = entries.length > 0 ? 'append' : readys.length > 0 ? 'vote' : 'rows';
    try {
      this.#faults.reach(`log.${kind}.before-sync`);
      await this.#storage.append({ entries, hardState: this.#hardState, changes, appliedIndex, compactTo });
    } catch (error) {
      this.#overlay.onFailed(changes);
      this.#write = undefined;
      this.#onWriteFailed(error);
      return;
    }
    this.#faults.reach(`log.${kind}.after-sync`);
    this.#write = undefined;
    this.#writes++;
    this.#unstableBytes -= sizeBytes;
    this.#firstIndex = Math.max(this.#firstIndex, (compactTo ?? 0) + 1);
    this.#storedIndex = appliedIndex;
    this.#overlay.onStored(changes, appliedIndex);
    this.#onRowsStored();
    this.#onSynced(raft, readys);
    this.#pump();
  }

  #onSynced(raft: Raft, readys: readonly Ready[]): void {
    if (readys.length > 0) this.#faults.reach('log.commit.before');
    for (const ready of readys) {
      raft.advance(ready);
      for (const message of ready.messagesAfterSync) this.#send(message);
    }
    if (readys.length > 0) this.#faults.reach('log.commit.after');
  }

  #compactTo(): number | undefined {
    const due = this.#appliedIndex - this.#options.keepEntries;
    if (due < this.#firstIndex + this.#options.compactStride) return undefined;
    return Math.min(due, this.#firstIndex + COMPACT_MAX);
  }

  #armIdleWrite(): void {
    if (this.#idleArmed || this.#life.signal.aborted) return;
    this.#idleArmed = true;
    const writes = this.#writes;
    const onTime = (): void => {
      this.#idleArmed = false;
      const raft = this.#raft;
      if (raft === undefined || this.#disk !== 'ok' || this.#write !== undefined || !this.#overlay.hasUnwritten) return;
      if (this.#writes === writes) this.#write = this.#append(raft, []);
      else this.#armIdleWrite();
    };
    // The sleep fails only when this node stops.
    this.#clock.sleep(IDLE_MS, this.#life.signal).then(onTime, () => undefined);
  }

  #flushRows(): Promise<void> {
    if (this.#storedIndex >= this.#appliedIndex) return Promise.resolve();
    if (this.#diskFailure !== undefined) return Promise.reject(refusedByDisk(this.#diskFailure));
    return new Promise((resolve, reject) => {
      this.#onStored.push({ index: this.#appliedIndex, resolve, reject });
      if (this.#write === undefined && this.#raft !== undefined) this.#write = this.#append(this.#raft, []);
    });
  }

  #onRowsStored(): void {
    if (this.#onStored.length === 0) return;
    const due = this.#onStored.filter((waiting) => waiting.index <= this.#storedIndex);
    this.#onStored = this.#onStored.filter((waiting) => waiting.index > this.#storedIndex);
    for (const waiting of due) waiting.resolve();
    if (this.#onStored.length > 0) this.#armIdleWrite();
  }

  // A disk that refuses

  #onWriteFailed(error: unknown): void {
    const failure = asSkeinError(error);
    this.#diskFailure = failure;
    this.#disk = failure.code === 'disk-full' ? 'full' : 'failed';
    this.#unsynced = [];
    const refused = refusedByDisk(failure);
    this.#proposals.rejectQueued(refused);
    // A full disk keeps nothing of what it refused. Other voters may have: what was sent may still be committed.
    const isLost = failure.code === 'disk-full' && this.#isAlone;
    this.#proposals.rejectInLog(isLost ? refused : outcomeUnknown('the disk failed', failure));
    for (const waiting of this.#onStored.splice(0)) waiting.reject(refused);
    if (this.#knowsAll) this.#barriers.release(this.#appliedIndex);
    this.#settled.resolve();
    this.#announceStatus();
    void this.#recover();
  }

  /** Goes on with what is truly on the disk, as after a restart; but rows and events in memory stay what they are. */
  async #recover(): Promise<void> {
    const loaded = await this.#reopened();
    if (loaded === undefined) return;
    this.#disk = 'ok';
    this.#diskFailure = undefined;
    this.#barriers.onDeposed();
    this.#begin(loaded);
  }

  /** Undefined when this node stops, or when the folder is damaged, which no waiting mends. */
  async #reopened(): Promise<Loaded | undefined> {
    try {
      const loaded = await this.#storage.reopen(this.#life.signal);
      if (loaded.lastIndex < this.#appliedIndex) throw lostEntries(loaded.lastIndex, this.#appliedIndex);
      return loaded;
    } catch (error) {
      if (this.#life.signal.aborted) return undefined;
      this.#disk = 'failed';
      this.#diskFailure = asSkeinError(error);
      this.#announceStatus();
      return undefined;
    }
  }

  // Applying

  #applyCommitted(entries: readonly Entry[]): void {
    this.#faults.reach('log.apply.before');
    const applied: AppliedEntry[] = [];
    const outcomes: (Outcome | undefined)[] = [];
    for (const entry of entries) {
      const result = this.#applyEntry(entry);
      if (entry.kind === 'noop') this.#noopTerm = entry.term;
      if (result !== undefined) applied.push(result);
      outcomes.push(result?.outcome);
      this.#appliedIndex = entry.index;
    }
    // The founder's own place is known once the log has its first command.
    if (this.#peers.of(this.#voterId) === undefined) this.#peers.update(replicasOf(this.view));
    this.#faults.reach('log.apply.after');
    const batch = { appliedIndex: this.#appliedIndex, entries: applied };
    for (const listener of this.#appliedListeners) listener(batch);
    this.#faults.reach('log.answer.before');
    for (const [n, entry] of entries.entries()) this.#proposals.onApplied(entry, outcomes[n]);
  }

  #applyEntry(entry: Entry): AppliedEntry | undefined {
    if (entry.kind === 'noop' || entry.data === null) return undefined;
    const { index, data: command } = entry;
    const place = { index, epochId: this.#epoch.id };
    const isChange = entry.kind === 'configuration';
    const { changes, events, outcome } = this.#apply(
      this.view,
      command,
      isChange ? { ...place, configuration: entry.configuration } : place,
    );
    for (const { key, row } of changes) this.#overlay.set(key, row, index);
    if (isChange) this.#peers.update(replicasOf(this.view));
    const logged = events.map((event, sub): LoggedEvent => ({ ...event, index, sub }));
    for (const event of logged) this.#events.push(event);
    return { index, command, outcome, events: logged };
  }

  /** Listeners hear of leadership and disk, not of every index. */
  #announceStatus(): void {
    const status = this.status();
    if (status.leading) this.#settled.resolve();
    const { term, state, leading, disk, voters, leader, removed } = status;
    const announced = `${term} ${state} ${leading} ${disk} ${voters} ${leader} ${removed}`;
    if (announced === this.#announced) return;
    this.#announced = announced;
    for (const listener of this.#statusListeners) listener(status);
  }
}

/** The entries of several Readys as one run; a later one may replace the end of an earlier one. */
function mergedEntries(readys: readonly Ready[]): readonly Entry[] {
  const [only] = readys;
  if (only !== undefined && readys.length === 1) return only.entries;
  const merged: Entry[] = [];
  for (const { entries } of readys) {
    const first = entries[0]?.index;
    const from = merged[0]?.index;
    if (first !== undefined && from !== undefined) merged.length = Math.max(0, Math.min(merged.length, first - from));
    merged.push(...entries);
  }
  return merged;
}
