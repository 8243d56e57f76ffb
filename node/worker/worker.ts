// One worker: beats, takes grants, begins what its lease and slots allow, reports what ended, and starts a new life after
// it was declared dead. The rules are the ledger's; this file acts on them.
import { SkeinError } from '../../protocol/errors.ts';
import { type EpochId, type Fence, type JobId, parseFence } from '../../protocol/ids.ts';
import type { AttemptEnd, Begun } from '../../protocol/state/rows.ts';
import type { Clock } from '../../protocol/time.ts';
import { fencesMax, prefetchMax } from '../../protocol/wire/bounds.ts';
import { type Answer, answerCodec, type Claim } from '../../protocol/wire/heartbeat.ts';
import type { MemberList } from '../../protocol/wire/members.ts';
import { memberListCodec, membersQueryCodec } from '../../protocol/wire/members.ts';
import {
  type Adopt,
  adoptCodec,
  cancelCodec,
  decodeGrants,
  type PushedGrant,
  recallCodec,
  type Settled,
  settledCodec,
  workMethods,
} from '../../protocol/wire/work.ts';
import type { Faults } from '../faults.ts';
import type { Beat, BeatStatus } from '../gossip/gossip.ts';
import type { Log } from '../log.ts';
import type { RunningAttempt, Runtime } from '../runtime/port.ts';
import type { Transport } from '../transport/port.ts';
import type { AttemptReport, Attempts, Leftovers, Workshop } from './attempts.ts';
import type { Gateways } from './gateways.ts';
import { Ledger } from './ledger.ts';
import type { Reporter } from './reporter.ts';

const CALL_TIMEOUT_MS = 5_000;
const ADOPT_RETRY_MS = 500;
const SETTLE_BEFORE_REBIRTH_MS = 10_000;
const SETTLE_BEFORE_END_MS = 5_000;
const SETTLE_BEFORE_RESTART_MS = 1_000;
const KILLED_WITHIN_MS = 10_000;
/** How much work, in time, a slot keeps ahead. */
const PREFETCH_MS = 100;
const BEAT_QUIET_MS = 50;
const TELL_QUIET_MS = 200;

/** Small values that survive the process, synced. */
export interface WorkerMemory {
  incarnation(): number;
  raise(incarnation: number): Promise<void>;
}

export interface WorkerParts {
  readonly transport: Transport;
  readonly gateways: Gateways;
  readonly runtime: Runtime;
  readonly attempts: Attempts;
  readonly workshop: Workshop;
  readonly reporter: Reporter;
  readonly memory: WorkerMemory;
  readonly clock: Clock;
  readonly out: Log;
  readonly faults: Faults;
  /** Seals and gossips this node's heartbeat. */
  readonly beat: (status: BeatStatus) => Beat;
  /** Seals a heartbeat for the stream alone. */
  readonly sealBeat: (status: BeatStatus) => Beat;
  readonly members: { current(): MemberList; accept(list: MemberList): Promise<boolean> };
  /** The grant of an attempt found in the data folder, or undefined where its folder does not say. */
  readonly grantOf: (attempt: RunningAttempt) => Promise<PushedGrant | undefined>;
  /** Asked once at start, with the attempts that live on. */
  readonly leftovers: (kept: readonly Fence[]) => Promise<Leftovers>;
}

export interface WorkerOptions {
  readonly slots: number;
  readonly memBytes: number;
}

export class Worker {
  readonly #parts: WorkerParts;
  readonly #options: WorkerOptions;
  readonly #stopped = new AbortController();
  #ledger: Ledger | undefined;
  #epochId: EpochId;
  #claimSequence = 0;
  #claimed = '';
  #beatAtMs = Number.NEGATIVE_INFINITY;
  #beatDue = false;
  #tellDue = false;
  #meanMs: number | undefined;
  #draining = false;
  #restarting = false;
  /** The claim's sequence that the last heartbeat carried. */
  #saidSequence = 0;
  /** Attempts that ended and whose bytes are on their way to a gateway: their reports come after that. */
  #publishing = 0;
  #rebirth: Promise<void> | undefined;
  #loop: Promise<void> | undefined;

  constructor(parts: WorkerParts, options: WorkerOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#epochId = parts.members.current().epochId as EpochId;
  }

  /** Attaches to what still runs here, has the new incarnation committed, then beats. */
  async start(): Promise<void> {
    const { gateways, runtime } = this.#parts;
    gateways.handle(workMethods.grants, async (body) => this.#onGrants(body));
    gateways.handle(workMethods.cancel, async (body) => this.#onCancel(body));
    gateways.handle(workMethods.recall, async (body) => this.#onRecall(body));
    const found = await this.#known(await runtime.recover());
    this.#loop = this.#run(found, await this.#parts.leftovers([...found.keys()]));
  }

  /** Attempts whose grant is known; the others cannot be reported and are killed. */
  async #known(
    attempts: readonly RunningAttempt[],
  ): Promise<Map<Fence, { grant: PushedGrant; attempt: RunningAttempt }>> {
    const found = new Map<Fence, { grant: PushedGrant; attempt: RunningAttempt }>();
    for (const attempt of attempts) {
      const grant = await this.#parts.grantOf(attempt);
      if (grant === undefined || parseFence(attempt.fence)?.epochId !== this.#epochId) {
        attempt.kill(0);
        await attempt.ended;
      } else found.set(attempt.fence, { grant, attempt });
    }
    return found;
  }

  async #run(found: Map<Fence, { grant: PushedGrant; attempt: RunningAttempt }>, leftovers: Leftovers): Promise<void> {
    const ledger = await this.#adopt([...found.keys()], leftovers.begun.slice(0, fencesMax));
    if (ledger === undefined) return;
    // Not before the log knows: until then they alone tell what had begun.
    leftovers.discard().catch((error: unknown) => {
      this.#parts.out.debug({ err: error }, 'attempt folders could not be removed; the next start removes them');
    });
    for (const { grant, attempt } of found.values()) {
      const moved = { ...grant, incarnation: ledger.incarnation };
      ledger.adopt(moved, attempt.startedAt);
      const gone = (): void => this.#onGone(ledger, moved.fence);
      void this.#follow(ledger, moved, this.#parts.attempts.resume(moved, attempt, gone));
    }
    this.#ledger = ledger;
    while (!this.#stopped.signal.aborted) {
      await this.#beat();
      const { heartbeatMs } = this.#parts.members.current();
      await this.#parts.clock.sleep(heartbeatMs, this.#stopped.signal).catch(() => undefined);
    }
  }

  /** Proposes the next incarnation until it is committed. Fsynced here before anyone hears of it. */
  async #adopt(fences: readonly Fence[], begun: readonly Begun[]): Promise<Ledger | undefined> {
    const { memory, gateways, clock, members, transport, out, faults } = this.#parts;
    let said = false;
    while (!this.#stopped.signal.aborted) {
      const own = members.current().members.find((member) => member.peerId === transport.self)?.incarnation ?? 0;
      const incarnation = Math.max(memory.incarnation(), own) + 1;
      const settled = await this.#proposeAdoption({ incarnation, fences: [...fences], begun: [...begun] }).catch(
        (error: unknown) => error,
      );
      if (isSettled(settled) && settled.kind === 'committed') {
        faults.reach('worker.adopted');
        return new Ledger({ incarnation, epochId: this.#epochId, slots: this.#options.slots });
      }
      if (isSettled(settled) && settled.kind === 'refused' && settled.code === 'stale-incarnation')
        await this.#refreshMembers();
      else if (!said)
        out.info({ settled }, `no gateway takes this worker in yet; it keeps trying (${gateways.peers.length} known)`);
      said = true;
      await clock.sleep(ADOPT_RETRY_MS, this.#stopped.signal).catch(() => undefined);
    }
    return undefined;
  }

  async #proposeAdoption(adopt: Adopt): Promise<Settled | undefined> {
    await this.#parts.memory.raise(adopt.incarnation);
    this.#parts.faults.reach('worker.raised');
    const body = adoptCodec.encode(adopt);
    const options = { timeoutMs: CALL_TIMEOUT_MS, signal: this.#stopped.signal };
    return settledCodec.decode(await this.#parts.gateways.call('work', workMethods.adopt, body, options))[0];
  }

  async #refreshMembers(): Promise<void> {
    const { gateways, members, out } = this.#parts;
    const { epochId, index } = members.current();
    const options = { timeoutMs: CALL_TIMEOUT_MS, signal: this.#stopped.signal };
    try {
      const body = membersQueryCodec.encode({ epochId, index });
      const list = memberListCodec.decode(await gateways.call('work', workMethods.members, body, options));
      if (await members.accept(list)) gateways.update(list.gateways);
    } catch (error) {
      out.debug({ err: error }, 'the member list could not be fetched; the next answer says again that it is behind');
    }
  }

  status(): BeatStatus {
    const ledger = this.#ledger;
    return {
      incarnation: ledger?.incarnation ?? this.#parts.memory.incarnation(),
      begun: ledger?.begun() ?? [],
      claim: this.#claim(ledger),
      busy: ledger?.busySlots ?? 0,
      draining: this.#draining,
      restarting: this.#restarting,
    };
  }

  #claim(ledger: Ledger | undefined): Claim {
    const slots = this.#beginsNothing || ledger === undefined ? 0 : this.#options.slots;
    const prefetch = this.#beginsNothing ? 0 : this.#prefetch();
    const offered = `${slots}/${prefetch}`;
    if (offered !== this.#claimed) {
      this.#claimed = offered;
      this.#claimSequence++;
    }
    return {
      incarnation: ledger?.incarnation ?? 0,
      sequence: this.#claimSequence,
      slots,
      prefetch,
      memBytes: this.#options.memBytes,
      wants: [],
    };
  }

  get #beginsNothing(): boolean {
    return this.#draining || this.#restarting;
  }

  /** Short tasks are held ahead so that a slot never waits for a round trip; long ones are left for others. */
  #prefetch(): number {
    if (this.#meanMs === undefined) return Math.min(prefetchMax, this.#options.slots);
    const ahead = Math.floor((this.#options.slots * PREFETCH_MS) / Math.max(0.1, this.#meanMs));
    // Powers of two, so that the claim does not change with every attempt.
    return ahead < 1 ? 0 : Math.min(prefetchMax, 2 ** Math.floor(Math.log2(ahead)));
  }

  async #beat(): Promise<void> {
    const ledger = this.#ledger;
    if (ledger === undefined || this.#rebirth !== undefined) return;
    this.#beatAtMs = this.#parts.clock.monotonic();
    const status = this.status();
    this.#saidSequence = status.claim.sequence;
    await this.#say(ledger, this.#parts.beat(status));
  }

  async #say(ledger: Ledger, beat: Beat): Promise<void> {
    try {
      const options = { timeoutMs: CALL_TIMEOUT_MS, signal: this.#stopped.signal };
      const answer = answerCodec.decode(
        await this.#parts.gateways.call('work', workMethods.heartbeat, beat.bytes, options),
      );
      this.#onAnswer(ledger, answer, beat.sentAtUptimeMs);
    } catch (error) {
      const code = error instanceof SkeinError ? error.code : 'internal-error';
      this.#parts.out.debug({ code }, 'a heartbeat was not answered');
    }
  }

  /** A changed claim goes out soon, not at the next beat; many changes go out as one. */
  #beatSoon(): void {
    if (this.#beatDue || this.status().claim.sequence === this.#saidSequence) return;
    this.#beatDue = true;
    const since = this.#parts.clock.monotonic() - this.#beatAtMs;
    const wait = Math.max(0, BEAT_QUIET_MS - since);
    void this.#parts.clock
      .sleep(wait, this.#stopped.signal)
      .then(() => {
        this.#beatDue = false;
        return this.#beat();
      })
      .catch(() => undefined);
  }

  /** What began is told the leader soon: a death blames what it had heard of. Gossip is spared that. */
  #tellBegun(): void {
    if (this.#tellDue) return;
    this.#tellDue = true;
    void this.#parts.clock
      .sleep(TELL_QUIET_MS, this.#stopped.signal)
      .then(async () => {
        this.#tellDue = false;
        const ledger = this.#ledger;
        if (ledger !== undefined && this.#rebirth === undefined)
          await this.#say(ledger, this.#parts.sealBeat(this.status()));
      })
      .catch(() => undefined);
  }

  #onAnswer(ledger: Ledger, answer: Answer, sentAtMs: number): void {
    if (ledger !== this.#ledger) return;
    const effect = ledger.onAnswer(answer, sentAtMs);
    if (effect.kind === 'ignored') return;
    if (effect.kind === 'dead') {
      this.#rebirth ??= this.#startAgain(ledger)
        .catch((error: unknown) =>
          this.#parts.out.warn({ err: error }, 'the new start failed; the next answer tries again'),
        )
        .finally(() => {
          this.#rebirth = undefined;
        });
      return;
    }
    this.#parts.runtime.extend(effect.lease);
    for (const fence of effect.kill) this.#parts.attempts.stop(fence, 'lease-lapsed', 0);
    for (const grant of effect.disown) void this.#reportEnd(ledger, grant, 'cancelled');
    const known = this.#parts.members.current();
    if (answer.members !== null && (answer.members.index > known.index || answer.members.epochId !== known.epochId)) {
      void this.#refreshMembers();
    }
    this.#begin();
  }

  #onGrants(body: Uint8Array): Uint8Array {
    const ledger = this.#ledger;
    if (ledger === undefined) return new Uint8Array();
    for (const grant of ledger.onGrants(decodeGrants(body))) void this.#reportEnd(ledger, grant, 'cancelled');
    this.#begin();
    return new Uint8Array();
  }

  #begin(): void {
    const ledger = this.#ledger;
    if (ledger === undefined || this.#rebirth !== undefined) return;
    // One that was under way when the drain began.
    if (this.#beginsNothing) {
      this.#giveBack(ledger.unbegun());
      return;
    }
    for (const grant of ledger.begin(this.#parts.clock.uptime(), this.#parts.clock.now())) {
      const startedAt = this.#parts.clock.monotonic();
      this.#parts.faults.reach('worker.begin');
      this.#tellBegun();
      const gone = (): void => this.#onGone(ledger, grant.fence);
      void this.#follow(ledger, grant, this.#parts.attempts.run(grant, gone)).then(() => {
        const tookMs = this.#parts.clock.monotonic() - startedAt;
        this.#meanMs = this.#meanMs === undefined ? tookMs : this.#meanMs * 0.8 + tookMs * 0.2;
        this.#beatSoon();
      });
    }
    this.#stageAhead();
  }

  /** The slot is free as soon as the tree is gone: what it left is gathered while the next one runs. */
  #onGone(ledger: Ledger, fence: Fence): void {
    ledger.ended(fence);
    this.#begin();
  }

  /** What begins next gets its files now; what was given back lets go of them. */
  #stageAhead(): void {
    const ledger = this.#ledger;
    const next = ledger === undefined || this.#beginsNothing ? [] : ledger.unbegun().slice(0, this.#options.slots);
    this.#parts.attempts.stageAhead(next.flatMap((fence) => ledger?.get(fence)?.grant ?? []));
  }

  /** From the end of an attempt's tree to a settled report. Resolves when the slot is free again. */
  async #follow(ledger: Ledger, grant: PushedGrant, run: Promise<AttemptReport>): Promise<void> {
    const report = await run;
    ledger.ended(grant.fence);
    this.#begin();
    if (report.kind === 'ended') void this.#reportEnd(ledger, grant, report.reason);
    else void this.#reportFinish(ledger, grant, report);
  }

  async #reportFinish(
    ledger: Ledger,
    grant: PushedGrant,
    report: Extract<AttemptReport, { kind: 'finished' }>,
  ): Promise<void> {
    const { fence, jobId, task, incarnation } = grant;
    const { faults } = this.#parts;
    let settled: Settled;
    try {
      faults.reach('result.publish.before');
      this.#publishing++;
      await this.#publish(grant, report).finally(() => this.#publishing--);
      faults.reach('result.publish.after');
      settled = await this.#parts.reporter.finished({ fence, jobId, task, incarnation, result: report.result });
    } catch (error) {
      // Only a stopping node gets here: the attempt's folder stays, and its next life reports it.
      this.#parts.out.debug({ fence, err: error }, 'a result is kept for the next start');
      return;
    }
    if (settled.kind === 'refused') {
      const sentence = `the result of ${jobId}/${task} (attempt ${grant.attempt}) was refused: ${settled.sentence}`;
      this.#parts.out.warn({ fence, jobId, task, code: settled.code }, sentence);
    }
    faults.reach('result.settled');
    await this.#settle(ledger, grant);
    faults.reach('result.discarded');
  }

  async #publish(grant: PushedGrant, report: Extract<AttemptReport, { kind: 'finished' }>): Promise<void> {
    for (;;) {
      try {
        return await this.#parts.workshop.publish(report.result, this.#stopped.signal);
      } catch (error) {
        this.#stopped.signal.throwIfAborted();
        const code = error instanceof SkeinError ? error.code : 'internal-error';
        this.#parts.out.debug(
          { fence: grant.fence, code, err: error },
          'outputs could not be brought to a gateway; trying again',
        );
        await this.#parts.clock.sleep(ADOPT_RETRY_MS, this.#stopped.signal);
      }
    }
  }

  async #reportEnd(ledger: Ledger, grant: PushedGrant, reason: AttemptEnd): Promise<void> {
    const { fence, jobId, task, incarnation } = grant;
    const startedAt = reason === 'unbegun' ? null : (ledger.get(fence)?.startedAt ?? null);
    await this.#parts.reporter.ended({ fence, jobId, task, incarnation, startedAt, reason });
    await this.#settle(ledger, grant);
  }

  async #settle(ledger: Ledger, grant: PushedGrant): Promise<void> {
    ledger.settled(grant.fence);
    if (grant.spec.runtime === 'noop') return;
    try {
      await this.#parts.workshop.discard(grant.fence);
    } catch (error) {
      this.#parts.out.debug(
        { fence: grant.fence, err: error },
        'an attempt folder could not be removed; the next start removes it',
      );
    }
  }

  #onCancel(body: Uint8Array): Uint8Array {
    const { fences, graceMs, signal } = cancelCodec.decode(body);
    for (const fence of fences as Fence[]) {
      const ledger = this.#ledger;
      const held = ledger?.get(fence);
      if (ledger === undefined) continue;
      const phase = ledger.cancel(fence);
      if (phase === 'unbegun' && held !== undefined) void this.#reportEnd(ledger, held.grant, 'cancelled');
      if (phase === 'begun') this.#parts.attempts.stop(fence, 'cancelled', graceMs, signal);
    }
    this.#stageAhead();
    return new Uint8Array();
  }

  #onRecall(body: Uint8Array): Uint8Array {
    this.#giveBack(recallCodec.decode(body).fences as Fence[]);
    return new Uint8Array();
  }

  #giveBack(fences: readonly Fence[]): void {
    const ledger = this.#ledger;
    if (ledger === undefined) return;
    for (const grant of ledger.giveBack(fences)) void this.#reportEnd(ledger, grant, 'unbegun');
    this.#stageAhead();
  }

  /**
   * Declared dead. Says which attempts were whole, kills what it began, lets results that ended be judged, and only then,
   * with nothing left alive, asks for a new incarnation.
   */
  async #startAgain(ledger: Ledger): Promise<void> {
    const { attempts, reporter, out, clock } = this.#parts;
    attempts.stageAhead([]);
    out.warn({ incarnation: ledger.incarnation }, 'this worker was declared dead while it was away; it starts again');
    const whole = attempts.alive().flatMap((fence) => ledger.get(fence)?.grant ?? []);
    for (const { fence, jobId, task, incarnation } of whole) {
      void reporter.ended({ fence, jobId: jobId as JobId, task, incarnation, reason: 'intact', startedAt: null });
    }
    for (const { fence } of whole) attempts.stop(fence, 'worker-dead', 0);
    while (attempts.alive().length > 0 && !this.#stopped.signal.aborted) await clock.sleep(20, this.#stopped.signal);
    if (!(await this.#reported(SETTLE_BEFORE_REBIRTH_MS)))
      out.warn({}, 'results of the life before are still unsettled');
    const next = await this.#adopt([], []);
    if (next !== undefined) this.#ledger = next;
  }

  /**
   * No new work; running attempts get `deadlineMs`, the rest is killed and handed back unblamed. The member stays a member.
   * @returns whether all ended by themselves.
   */
  async drain(deadlineMs: number, hurry: AbortSignal): Promise<boolean> {
    this.#draining = true;
    this.#restarting = false;
    this.#giveBack(this.#ledger?.unbegun() ?? []);
    void this.#beat();
    const { attempts, clock } = this.#parts;
    const until = clock.monotonic() + deadlineMs;
    while (attempts.alive().length > 0 && clock.monotonic() < until && !hurry.aborted) {
      await clock.sleep(25, hurry).catch(() => undefined);
    }
    const left = attempts.alive();
    for (const fence of left) attempts.stop(fence, 'drained', hurry.aborted ? 0 : 2_000);
    // What a full disk still holds back is reported by the next start.
    const gone = clock.monotonic() + KILLED_WITHIN_MS;
    while (attempts.alive().length > 0 && clock.monotonic() < gone) await clock.sleep(25);
    await this.#reported(SETTLE_BEFORE_END_MS);
    return left.length === 0;
  }

  /**
   * Before its daemon starts again in place: nothing begins any more, what has no process yet goes back unblamed, and the
   * leader hears that silence is no death now. Its answer is one more full lease for the attempts that run on.
   */
  async announceRestart(): Promise<void> {
    this.#restarting = true;
    const { attempts, reporter } = this.#parts;
    const starting = attempts.starting();
    for (const fence of starting) attempts.stop(fence, 'unbegun', 0);
    this.#ledger?.returned(starting);
    await this.#beat();
    this.#giveBack(this.#ledger?.unbegun() ?? []);
    await reporter.drained(SETTLE_BEFORE_RESTART_MS);
  }

  /** How many attempts are under way here. */
  get running(): number {
    return this.#parts.attempts.alive().length;
  }

  /** @returns whether all that has ended is settled within the time given. */
  async #reported(timeoutMs: number): Promise<boolean> {
    const { clock, reporter } = this.#parts;
    const until = clock.monotonic() + timeoutMs;
    while (this.#publishing > 0 && clock.monotonic() < until) await clock.sleep(20);
    return (await reporter.drained(Math.max(0, until - clock.monotonic()))) && this.#publishing === 0;
  }

  /** Ends at once. `keep` leaves attempts to their runners for the next process (SIGHUP). */
  async stop(options: { readonly keep: boolean }): Promise<void> {
    this.#stopped.abort(new SkeinError('unreachable', 'the node stops'));
    this.#parts.reporter.stop();
    await this.#loop?.catch(() => undefined);
    await this.#parts.runtime.stop(options);
  }

  /** 0 where there is none, or none any more. */
  get leaseLeftMs(): number {
    return Math.max(0, (this.#ledger?.lease?.untilMs ?? 0) - this.#parts.clock.uptime());
  }
}

function isSettled(value: unknown): value is Settled {
  return typeof value === 'object' && value !== null && 'kind' in value;
}
