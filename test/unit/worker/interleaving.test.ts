// Two workers' ledgers, the leader's leases and `apply`, with messages that are delayed, lost and doubled, crashes of
// daemons and of machines, deaths, adoptions, cancels, retries, changes of leader. A model of time counts in ticks.
// Held: no two attempts of one task run at once (frozen is not running), no fence begins twice, none begins without a
// lease, no healthy attempt is killed, at most one result per run, and once faults stop all tasks end.
// A failure names its seed: SEED=… runs that one alone.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { seededRandom } from '../../../node/clock.ts';
import { Leases } from '../../../node/policy/leases.ts';
import { Ledger } from '../../../node/worker/ledger.ts';
import { type Fence, makeFence, type PeerId, parseFence } from '../../../protocol/ids.ts';
import { between, type Random } from '../../../protocol/random.ts';
import type { Command, Outcome } from '../../../protocol/state/command.ts';
import { headOf } from '../../../protocol/state/queue.ts';
import type { AttemptEnd } from '../../../protocol/state/rows.ts';
import type { Answer } from '../../../protocol/wire/heartbeat.ts';
import type { PushedGrant } from '../../../protocol/wire/work.ts';
import { answered, pushed } from '../../support/grants.ts';
import {
  ANN,
  adopted,
  BOB,
  begunAt,
  cancelled,
  checkJob,
  checkPeer,
  dead,
  ended,
  finished,
  granted,
  job,
  meshOf,
  resultOf,
  retried,
  STARTED,
  type State,
} from '../../support/state.ts';

const SEEDS =
  process.env.SEED === undefined ? Array.from({ length: 100 }, (_, at) => `claims-${at}`) : [process.env.SEED];
const STEPS = 10_000;
const LEASE = 20;
/** When attempts freeze: 0.8 of the lease. */
const FREEZE = 16;
/** How long a starting worker waits for its adoption before it asks again. */
const ASK_AGAIN = 6;
const J = job(1);
const TASKS = 4;

interface Attempt {
  readonly grant: PushedGrant;
  state: 'runs' | 'ended';
  /** Model time from which it is frozen until it is thawed. */
  frozenFrom: number;
}

/** What the runners hold: it outlives the daemon and ends with the machine. */
type Runners = Map<Fence, Attempt>;

interface Report {
  readonly fence: Fence;
  readonly task: number;
  readonly incarnation: number;
  readonly end: AttemptEnd | 'intact' | 'finished';
}

class Worker {
  readonly peerId: PeerId;
  readonly world: World;
  runners: Runners = new Map();
  ledger: Ledger | undefined;
  /** Synced: survives every crash. */
  incarnation = 1;
  sequence = 0;
  /** Nothing it says or hears gets through before this time. */
  cutUntil = 0;
  #askedAt = Number.NEGATIVE_INFINITY;
  reports = new Map<string, { readonly report: Report; readonly ledger: Ledger }>();

  constructor(peerId: PeerId, world: World) {
    this.peerId = peerId;
    this.world = world;
    this.ledger = this.newLedger();
  }

  newLedger(): Ledger {
    return new Ledger({ incarnation: this.incarnation, epochId: this.world.state.epochId, slots: 2 });
  }

  beat(): void {
    const { ledger, world } = this;
    if (ledger === undefined) {
      this.adopt();
      return;
    }
    const sequence = ++this.sequence;
    const sentAt = world.now;
    const begun = ledger.begun().map(([fence]) => fence);
    world.send(this, () => {
      const answer = world.answer(this.peerId, ledger.incarnation, sequence, begun);
      if (answer !== undefined) world.send(this, () => this.onAnswer(ledger, answer, sentAt));
    });
  }

  /** A starting daemon proposes until it hears that it is committed; what it lists is all that its runners hold. */
  adopt(): void {
    if (this.world.now - this.#askedAt < ASK_AGAIN) return;
    this.#askedAt = this.world.now;
    this.incarnation = Math.max(this.incarnation, this.world.state.incarnation(this.peerId)) + 1;
    const { incarnation, world } = this;
    const runners = new Map(this.runners);
    world.propose(
      this,
      () => adopted(this.peerId, incarnation, [...runners.keys()], world.begunOf(this.peerId)),
      (outcome) => {
        if (outcome.kind !== 'done' || this.ledger !== undefined || this.incarnation !== incarnation) return;
        this.ledger = this.newLedger();
        for (const [fence, attempt] of this.runners) {
          const grant = { ...attempt.grant, incarnation };
          this.ledger.adopt(grant, STARTED);
          this.runners.set(fence, { ...attempt, grant });
          if (attempt.state === 'ended') this.conclude(fence);
        }
      },
    );
  }

  onAnswer(ledger: Ledger, answer: Answer, sentAt: number): void {
    if (ledger !== this.ledger) return;
    const effect = ledger.onAnswer(answer, sentAt);
    if (effect.kind === 'dead') this.onDead(ledger);
    if (effect.kind !== 'renewed') return;
    for (const fence of effect.kill) {
      assert.not.ok(this.world.state.fences(this.peerId).includes(fence), 'what the log still grants is not killed');
      this.kill(fence);
    }
    for (const grant of effect.disown) this.report(ledger, grant, 'cancelled');
    for (const [fence, attempt] of this.runners) {
      const frozen = this.world.now >= attempt.frozenFrom;
      if (frozen && !effect.lease.fences.includes(fence)) continue;
      attempt.frozenFrom = effect.lease.untilMs - (LEASE - FREEZE);
    }
  }

  /** Declared dead: says what was whole, kills it, and asks for a new incarnation with nothing left alive. */
  onDead(ledger: Ledger): void {
    for (const { grant, state } of this.runners.values()) if (state === 'runs') this.report(ledger, grant, 'intact');
    this.runners = new Map();
    this.ledger = undefined;
  }

  onGrants(grants: readonly PushedGrant[]): void {
    const { ledger } = this;
    for (const grant of ledger?.onGrants(grants) ?? [])
      if (ledger !== undefined) this.report(ledger, grant, 'cancelled');
  }

  begin(): void {
    const { ledger, world } = this;
    for (const grant of ledger?.begin(world.now, STARTED) ?? []) {
      assert.ok((ledger?.lease?.untilMs ?? 0) > world.now, 'it begins under a lease');
      assert.not.ok(world.begun.has(grant.fence), 'a fence begins once');
      world.begun.add(grant.fence);
      const frozenFrom = (ledger?.lease?.untilMs ?? 0) - (LEASE - FREEZE);
      this.runners.set(grant.fence, { grant, state: 'runs', frozenFrom });
    }
  }

  onCancel(fence: Fence): void {
    const held = this.ledger?.get(fence);
    const phase = this.ledger?.cancel(fence);
    if (phase === 'unbegun' && held !== undefined && this.ledger !== undefined) {
      this.report(this.ledger, held.grant, 'cancelled');
    }
    if (phase === 'begun') this.kill(fence);
  }

  recall(): void {
    const { ledger } = this;
    if (ledger === undefined) return;
    for (const grant of ledger.giveBack(ledger.unbegun())) this.report(ledger, grant, 'unbegun');
  }

  kill(fence: Fence): void {
    const attempt = this.runners.get(fence);
    if (attempt?.state !== 'runs') return;
    this.runners.delete(fence);
    this.ledger?.ended(fence);
    if (this.ledger !== undefined) this.report(this.ledger, attempt.grant, 'lease-lapsed');
  }

  /** A script comes to its end, if it is not frozen. The daemon, if there is one, reports it. */
  exit(fence: Fence): void {
    const attempt = this.runners.get(fence);
    if (attempt?.state !== 'runs' || this.world.now >= attempt.frozenFrom) return;
    attempt.state = 'ended';
    this.conclude(fence);
  }

  conclude(fence: Fence): void {
    const attempt = this.runners.get(fence);
    if (attempt === undefined || this.ledger === undefined) return;
    this.ledger.ended(fence);
    this.report(this.ledger, attempt.grant, 'finished');
  }

  report(ledger: Ledger, { fence, task, incarnation }: PushedGrant, end: Report['end']): void {
    this.reports.set(`${fence}/${end}`, { report: { fence, task, incarnation, end }, ledger });
  }

  /** Sends what waits, again and again, until each is heard to be settled. */
  deliver(): void {
    for (const [key, { report, ledger }] of this.reports) {
      const { end, ...rest } = report;
      const named = { ...rest, jobId: J, peerId: this.peerId };
      this.world.propose(
        this,
        () => (end === 'finished' ? finished(named, resultOf(0)) : ended(named, end)),
        () => {
          this.reports.delete(key);
          if (end === 'intact' || ledger !== this.ledger) return;
          ledger.settled(report.fence);
          this.runners.delete(report.fence);
        },
      );
    }
  }

  /** The daemon dies; its runners live, and what has ended stays on disk. */
  crash(): void {
    this.ledger = undefined;
    // The next daemon asks anew: what this one proposed and did not hear of is not the next one's.
    this.incarnation++;
    this.#askedAt = Number.NEGATIVE_INFINITY;
    this.reports.clear();
  }

  /** The machine dies with everything that ran; results that had ended are on its disk. */
  powerCut(): void {
    this.crash();
    for (const [fence, { state }] of this.runners) if (state === 'runs') this.runners.delete(fence);
  }

  running(): number[] {
    const { now } = this.world;
    return [...this.runners.values()]
      .filter(({ state, frozenFrom }) => state === 'runs' && now < frozenFrom)
      .map(({ grant }) => grant.task);
  }
}

class World {
  readonly random: Random;
  readonly state: State = meshOf(ANN, BOB);
  readonly begun = new Set<Fence>();
  leases = new Leases();
  now = 0;
  faults = true;
  /** Commits take long until then. */
  slowUntil = 0;
  readonly #flying: { readonly at: number; readonly arrive: () => void }[] = [];
  /** In the leader's log and not committed yet, in order. */
  #log: (() => void)[] = [];
  /** Whose death is proposed. */
  readonly #dying = new Set<PeerId>();
  readonly workers: readonly Worker[];
  readonly results = new Map<string, number>();
  readonly seen = new Map<string, number>();

  constructor(random: Random) {
    this.random = random;
    this.state.submit(J, TASKS, { maxLost: 100 });
    this.workers = [new Worker(ANN, this), new Worker(BOB, this)];
    this.elect();
  }

  chance(odds: number): boolean {
    return this.random.next() < odds;
  }

  pick<T>(of: readonly T[]): T {
    return of[between(this.random, 0, of.length - 1)] as T;
  }

  count(what: string): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1);
  }

  /** Puts a message under way: it may be lost or come twice, and comes in any order. */
  send(worker: Worker, arrive: () => void): void {
    if (this.faults && (this.now < worker.cutUntil || this.chance(0.1))) return;
    const copies = this.faults && this.chance(0.15) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const delay = this.faults && this.chance(0.2) ? between(this.random, 1, LEASE) : 0;
      this.#flying.push({ at: this.now + delay, arrive });
    }
  }

  /** A request to the leader, who proposes; the outcome may get lost on its way back. */
  propose(worker: Worker, command: () => Command, settled: (outcome: Outcome) => void): void {
    this.send(worker, () => {
      const proposed = command();
      this.#log.push(() => {
        const { outcome } = this.commit(proposed);
        this.send(worker, () => settled(outcome));
      });
    });
  }

  commit(command: Command) {
    const effect = this.state.apply(command);
    this.count(`${command.kind}/${effect.outcome.kind}`);
    if (effect.outcome.kind === 'done') this.#account(command, effect.outcome.answer);
    checkJob(this.state, J);
    for (const { peerId } of this.workers) checkPeer(this.state, peerId);
    return effect;
  }

  #account(command: Command, answer: Readonly<Record<string, unknown>>): void {
    if (command.kind === 'job.retried') this.results.clear();
    if (command.kind === 'member.adopted') this.hears(command.peerId, command.incarnation, []);
    if (command.kind === 'member.dead' && (command.begun?.length ?? 0) > 0) this.count('death at work');
    if (command.kind === 'task.granted') {
      const grant = pushed(this.state.index, { task: command.task, incarnation: command.incarnation });
      const worker = this.worker(command.peerId);
      this.send(worker, () => worker.onGrants([grant]));
    }
    if (command.kind !== 'task.finished' || answer.state !== 'completed') return;
    const times = (this.results.get(String(command.task)) ?? 0) + 1;
    this.results.set(String(command.task), times);
    assert.is(times, 1, `task ${command.task} published twice in one run`);
  }

  worker(peerId: PeerId): Worker {
    return this.workers[peerId === ANN ? 0 : 1] as Worker;
  }

  hears(peerId: PeerId, incarnation: number, begun: readonly Fence[]): boolean {
    return this.leases.heard(
      peerId,
      { incarnation, begun: new Map(begunAt(STARTED, begun)), restarting: false },
      this.now,
    );
  }

  begunOf(peerId: PeerId): readonly Fence[] {
    return [...(this.leases.get(peerId)?.begun?.keys() ?? [])];
  }

  /** The leader hears a heartbeat and answers; the quorum round is instant here. */
  answer(peerId: PeerId, incarnation: number, sequence: number, begun: readonly Fence[]): Answer | undefined {
    const member = this.state.member(peerId);
    const silence = { incarnation, leaseMs: 0 };
    if (incarnation < member.incarnation) return answered(sequence, { ...silence, dead: member.incarnation - 1 });
    if (incarnation > member.incarnation) return undefined;
    if (member.state === 'dead') return answered(sequence, { ...silence, dead: incarnation });
    if (!this.hears(peerId, incarnation, begun)) return undefined;
    const holds = this.state.holds(peerId);
    const fences = this.state.fences(peerId);
    const missing = holds.filter((_, at) => !begun.includes(fences[at] as Fence));
    const grants = missing.map(({ index, task }) => pushed(index, { task, incarnation }));
    return answered(sequence, {
      incarnation,
      appliedIndex: this.state.index,
      leaseMs: LEASE,
      fences: [...fences],
      grants,
    });
  }

  /** A new leader trusts nothing of the last; proposals not committed go with the old one or stay in the log. */
  elect(): void {
    this.#commitAll();
    this.leases = new Leases();
    const living = [ANN, BOB].map((peerId) => this.state.member(peerId)).filter((member) => member.state !== 'dead');
    this.leases.rearm(living, this.now);
  }

  judge(): void {
    const expired = this.leases.expired(LEASE, this.now);
    if (expired === undefined) {
      this.count('stall');
      this.leases.resume(this.now);
      return;
    }
    for (const { peerId } of expired) this.leases.condemn(peerId);
    for (const { peerId } of this.workers) {
      const lease = this.leases.get(peerId);
      if (lease?.condemned !== true || this.state.member(peerId).state === 'dead') continue;
      const command = dead(peerId, lease.incarnation, lease.begun && [...lease.begun.keys()]);
      if (this.#dying.has(peerId)) continue;
      this.#dying.add(peerId);
      this.#log.push(() => {
        this.#dying.delete(peerId);
        this.commit(command);
      });
    }
  }

  grant(): void {
    const [task] = headOf(this.state.progress(J), TASKS, 1);
    const peerId = this.pick([ANN, BOB]);
    if (task === undefined || this.state.member(peerId).state !== 'alive' || this.state.holds(peerId).length > 2)
      return;
    const command = granted(J, task, peerId, this.state.incarnation(peerId));
    this.#log.push(() => this.commit(command));
  }

  tellCancels(): void {
    for (const worker of this.workers) {
      for (const hold of this.state.holds(worker.peerId)) {
        const asked = this.state.progress(J).cancel !== null || this.state.task(J, hold.task).cancelRequested;
        const fence = makeFence(this.state.epochId, hold.index);
        if (asked) this.send(worker, () => worker.onCancel(fence));
      }
    }
  }

  #commitSoon(): void {
    if (this.now >= this.slowUntil || this.chance(0.15)) this.#commitOne();
  }

  #commitOne(): void {
    this.#log.shift()?.();
  }

  #commitAll(): void {
    while (this.#log.length > 0) this.#commitOne();
  }

  #arrive(): void {
    const ripe = this.#flying.filter(({ at }) => !this.faults || at <= this.now);
    if (ripe.length === 0) return;
    const message = this.pick(ripe);
    this.#flying.splice(this.#flying.indexOf(message), 1);
    message.arrive();
  }

  step(): void {
    const worker = this.pick(this.workers);
    const roll = this.random.next();
    if (roll < 0.4) this.#arrive();
    else if (roll < 0.6) this.#commitSoon();
    else if (roll < 0.62) this.now++;
    else if (roll < 0.66) worker.beat();
    else if (roll < 0.79) worker.begin();
    else if (roll < 0.89) this.grant();
    else if (roll < 0.92) worker.deliver();
    else if (roll < 0.975) this.judge();
    else if (roll < 0.978) this.#exitOne(worker);
    else if (roll < 0.985) this.tellCancels();
    else if (this.faults) this.#fault(worker, this.random.next());
  }

  #exitOne(worker: Worker): void {
    const fences = [...worker.runners.keys()];
    if (fences.length > 0) worker.exit(this.pick(fences));
  }

  #fault(worker: Worker, roll: number): void {
    if (roll < 0.04) worker.crash();
    else if (roll < 0.06) worker.powerCut();
    else if (roll < 0.1) this.elect();
    else if (roll < 0.14) this.now += between(this.random, 2, LEASE / 2);
    else if (roll < 0.18) this.slowUntil = this.now + LEASE;
    else if (roll < 0.28) worker.cutUntil = this.now + between(this.random, 5, 2 * LEASE);
    else if (roll < 0.34) worker.recall();
    else if (roll < 0.37) this.#log.push(() => this.commit(cancelled(J, this.chance(0.4) ? null : [1, 2])));
    else if (roll < 0.7) this.#log.push(() => this.commit(retried(J, this.pick(['failed', 'all', 'all'] as const))));
  }

  /** No faults from here on: everything moves at a fair pace until all tasks have ended. */
  settle(): void {
    this.faults = false;
    this.commit(retried(J, 'all'));
    for (let round = 0; round < 400 && this.state.progress(J).finishedAt === null; round++) {
      for (const worker of this.workers) {
        worker.beat();
        worker.begin();
        for (const fence of worker.runners.keys()) worker.exit(fence);
        worker.deliver();
      }
      this.judge();
      this.grant();
      this.tellCancels();
      for (let turn = 0; turn < 3; turn++) {
        while (this.#flying.length > 0) this.#arrive();
        this.#commitAll();
      }
      this.now++;
      this.check();
    }
    assert.is.not(this.state.progress(J).finishedAt, null, 'everything ends once faults stop');
  }

  check(): void {
    const running = this.workers.flatMap((worker) => worker.running());
    assert.is(new Set(running).size, running.length, `two attempts of a task run at once: ${running}`);
    if (running.length > 0) this.count('running');
  }
}

function play(seed: string): World {
  const world = new World(seededRandom(seed));
  let step = 0;
  try {
    for (; step < STEPS; step++) {
      world.step();
      world.check();
    }
    world.settle();
  } catch (error) {
    throw new Error(`SEED=${seed}, step ${step}: ${(error as Error).message}`, { cause: error });
  }
  return world;
}

const total = new Map<string, number>();
for (const seed of SEEDS) {
  test(`two workers keep the rules of grants and leases (${seed})`, () => {
    for (const [what, times] of play(seed).seen) total.set(what, (total.get(what) ?? 0) + times);
  });
}

test('the runs came through what they are about', () => {
  const kinds = [
    'task.granted/done',
    'task.finished/done',
    'task.finished/refused',
    'task.ended/done',
    'member.dead/done',
  ];
  for (const what of [
    ...kinds,
    'member.adopted/done',
    'job.cancelled/done',
    'job.retried/done',
    'running',
    'stall',
    'death at work',
  ]) {
    assert.ok((total.get(what) ?? 0) > 0, `${what} never happened`);
  }
});

test('the fences of the model name indexes of its log', () => {
  const world = play('fences');
  for (const fence of world.begun) assert.ok((parseFence(fence)?.index ?? 0) <= world.state.index);
});

test.run();
