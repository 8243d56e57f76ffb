// One run: a mesh is founded and grows, is used and hurt for a time, then left in peace, and must be whole again.
import type { PeerId } from '../../protocol/ids.ts';
import type { Message } from '../../protocol/raft/message.ts';
import type { Command } from '../../protocol/state/command.ts';
import { keys, type MemberRow } from '../../protocol/state/rows.ts';
import { Agreed } from './agreed.ts';
import { between, chance } from './chance.ts';
import { Clients } from './clients.ts';
import { type Fault, Faults, planFaults } from './faults.ts';
import { GatewayNode } from './gateway.ts';
import { LogRules } from './log-rules.ts';
import { Machine } from './machine.ts';
import { EPOCH, secretHash, ticketFor } from './mesh-facts.ts';
import { SimNetwork } from './network.ts';
import { WorkRules } from './work-rules.ts';
import { WorkerNode } from './worker.ts';
import { ownImmediates, type Violation, World } from './world.ts';

export interface SimulationOptions {
  readonly seed: string;
  readonly hours: number;
  readonly workers: number;
  readonly voters: number;
  /** Between two faults, on average. */
  readonly faultEveryMs: number;
  /** Those to carry out; all that the seed draws where it is undefined. */
  readonly faults?: ReadonlySet<number>;
}

export interface Finished {
  readonly happened: ReadonlyMap<string, number>;
  readonly plan: readonly Fault[];
  readonly events: number;
  readonly violation: Violation | undefined;
  readonly trace: (lines: number) => string[];
}

const HOUR_MS = 3_600_000;
const SWEEP_MS = 60_000;
const GROWN_WITHIN_MS = 180_000;
/** After the faults: for the log, and for the last task. */
const HEALED_WITHIN_MS = 300_000;
const ENDED_WITHIN_MS = 3_600_000;
const ADMIN_TIMEOUT_MS = 8_000;

export async function simulate(options: SimulationOptions): Promise<Finished> {
  const simulation = new Simulation(options);
  await simulation.run();
  return simulation.finished;
}

class Simulation {
  readonly #options: SimulationOptions;
  readonly #world = new World();
  readonly #network: SimNetwork;
  readonly #gateways: GatewayNode[] = [];
  readonly #workers: WorkerNode[] = [];
  readonly #agreed: Agreed;
  readonly #logRules: LogRules;
  readonly #workRules: WorkRules;
  readonly #clients: Clients;
  readonly #plan: Fault[];
  readonly #faults: Faults;
  #tickets = 0;
  /** One change of members after the other. */
  #changing: Promise<void> = Promise.resolve();

  constructor(options: SimulationOptions) {
    this.#options = options;
    const random = chance(options.seed);
    const world = this.#world;
    ownImmediates(world);
    this.#network = new SimNetwork(world, random.fork('network'));
    this.#workRules = new WorkRules(world, EPOCH.id);
    this.#agreed = new Agreed(EPOCH.id, [this.#workRules.judge]);
    this.#logRules = new LogRules(world, this.#agreed, this.#gateways);
    const names = Array.from({ length: options.voters + 1 }, (_, n) => `g${n + 1}` as PeerId);
    const machine = (name: string): Machine => {
      const own = random.fork(`machine ${name}`);
      return new Machine(world, name, { rate: 1 + between(own, -0.01, 0.01), startMs: between(own, 1e4, 1e9) });
    };
    // From a log that is cut all the time to one that keeps nearly all.
    const keepEntries = Math.floor(10 ** between(random, 0.5, 3));
    const compactStride = Math.ceil(keepEntries / 4);
    for (const name of names) {
      const gateway = new GatewayNode(
        {
          machine: machine(name),
          network: this.#network,
          random: random.fork(name),
          keepEntries,
          compactStride,
          gateways: names,
          onSaid: (from, message) => {
            world.noteMessage(from.name, () => said(message));
            this.#logRules.onSaid(from, message);
          },
          onProposed: () => undefined,
        },
        name === 'g1' ? undefined : ticketFor(name, names, ['gateway', 'voter'], this.#tickets++),
      );
      this.#gateways.push(gateway);
    }
    for (let n = 1; n <= options.workers; n++) {
      const name = `w${n}` as PeerId;
      const ticket = ticketFor(name, names, ['worker'], this.#tickets++);
      const own = random.fork(name);
      const slots = Math.ceil(own.next() * 4);
      this.#workers.push(
        new WorkerNode({
          machine: machine(name),
          network: this.#network,
          random: own,
          rules: this.#workRules,
          ticket,
          slots,
        }),
      );
    }
    const everyMs = 40_000 / Math.max(1, options.workers);
    this.#clients = new Clients({
      world,
      random: random.fork('clients'),
      agreed: this.#agreed,
      gateways: this.#gateways,
      everyMs,
    });
    const untilMs = GROWN_WITHIN_MS + options.hours * HOUR_MS;
    const plan = planFaults(random.fork('plan'), { fromMs: GROWN_WITHIN_MS, untilMs, everyMs: options.faultEveryMs });
    this.#plan = plan.filter(({ n }) => options.faults === undefined || options.faults.has(n));
    this.#faults = new Faults({
      world,
      random: random.fork('faults'),
      network: this.#network,
      gateways: this.#gateways,
      workers: this.#workers,
      membership: (gateway, what) => {
        this.#changing = this.#changing.then(() => this.#changeMembership(gateway, what));
      },
    });
    world.onEvent = (life) => this.#look(life?.machine);
  }

  get finished(): Finished {
    const { happened, events, violation } = this.#world;
    return { happened, plan: this.#plan, events, violation, trace: (lines) => this.#world.trace(lines) };
  }

  #look(machine: Machine | undefined): void {
    if (machine === undefined) return;
    const gateway = this.#gateways.find((one) => one.machine === machine);
    if (gateway === undefined) this.#workRules.look(machine);
    else this.#logRules.look(gateway);
  }

  async run(): Promise<void> {
    const world = this.#world;
    const stop = (error: unknown): void => world.violate('a bug', error);
    process.on('unhandledRejection', stop);
    try {
      await this.#live();
    } catch (error) {
      if (error !== world.violation) world.violate('a bug', error);
    } finally {
      process.off('unhandledRejection', stop);
    }
  }

  async #live(): Promise<void> {
    const world = this.#world;
    const { hours } = this.#options;
    this.#sweepEveryMinute();
    void this.#grow();
    await world.run(GROWN_WITHIN_MS);
    this.#clients.start();
    this.#faults.schedule(this.#plan);
    await world.run(GROWN_WITHIN_MS + hours * HOUR_MS);
    this.#faults.endAll();
    this.#clients.isOver = true;
    for (const node of [...this.#gateways, ...this.#workers]) if (!node.isUp) node.start();
    world.note('PEACE', 'no more faults');
    await this.#until('the log is whole', HEALED_WITHIN_MS, () => this.#whatIsBroken());
    await this.#until('all has ended', ENDED_WITHIN_MS, () => this.#whatIsUnfinished());
    this.#logRules.sweep();
    if (world.violation !== undefined) throw world.violation;
  }

  #sweepEveryMinute(): void {
    this.#world.after(SWEEP_MS, undefined, () => {
      this.#logRules.sweep();
      this.#clients.unfinished();
      this.#sweepEveryMinute();
    });
  }

  async #until(what: string, withinMs: number, missing: () => string | undefined): Promise<void> {
    const world = this.#world;
    const untilMs = world.nowMs + withinMs;
    while (missing() !== undefined && world.nowMs < untilMs) await world.run(world.nowMs + 5_000);
    const left = missing();
    world.check(left === undefined, `not within ${withinMs / 60_000} min: ${what}: ${left}`);
    if (world.violation !== undefined) throw world.violation;
  }

  #whatIsBroken(): string | undefined {
    // A request to leave may have come late, after the gateway was back.
    for (const gateway of this.#gateways) {
      if (this.#agreed.view.get(keys.member(gateway.peerId))?.state !== 'left') continue;
      this.#changing = this.#changing.then(() => this.#changeMembership(gateway, 'join'));
      return `${gateway.name} is out`;
    }
    const logs = this.#gateways.map((gateway) => ({ gateway, status: gateway.log?.status() }));
    const leader = logs.find(({ status }) => status?.leading === true);
    if (leader?.status === undefined) return 'nobody leads';
    if (leader.status.voters !== this.#options.voters) return `${leader.status.voters} voters`;
    for (const { gateway, status } of logs) {
      if (status === undefined) return `${gateway.name} has no replica`;
      if (status.disk !== 'ok') return `the disk of ${gateway.name} is ${status.disk}`;
      if (status.appliedIndex < leader.status.commitIndex - 50)
        return `${gateway.name} is behind ${leader.status.commitIndex}: ${JSON.stringify(status)}`;
    }
    return undefined;
  }

  #whatIsUnfinished(): string | undefined {
    if (this.#clients.waiting > 0) return `${this.#clients.waiting} submissions are not answered`;
    const unfinished = this.#clients.unfinished();
    return unfinished.length === 0 || this.#workers.length === 0 ? undefined : unfinished.slice(0, 3).join(', ');
  }

  // Members

  async #grow(): Promise<void> {
    const [founder, ...others] = this.#gateways;
    founder?.start();
    await this.#world.sleep(1_500);
    for (const node of [...others, ...this.#workers]) {
      const { ticket } = node;
      if (ticket === undefined) continue;
      const roles = node instanceof GatewayNode ? (['gateway', 'voter'] as const) : (['worker'] as const);
      await this.#administer({
        kind: 'ticket.created',
        secretHash: secretHash(ticket),
        roles,
        uses: 1,
        expiresAt: Number.MAX_SAFE_INTEGER,
        by: 'admin',
        project: 'default',
        idempotency: null,
        at: 1,
      });
      node.start();
      await this.#world.sleep(node instanceof GatewayNode ? 3_000 : 100);
    }
  }

  /** Through whichever gateway takes it. */
  async #administer(command: Command): Promise<void> {
    for (;;) {
      for (const { log } of this.#gateways) {
        try {
          if (log === undefined) continue;
          const asked = log.propose(command, { timeoutMs: ADMIN_TIMEOUT_MS });
          const late = this.#world.sleep(ADMIN_TIMEOUT_MS * 2);
          const answer = await Promise.race([asked, late]);
          this.#world.note('admin', () => `${command.kind}: ${JSON.stringify(answer)}`);
          if (answer !== undefined) return;
        } catch (error) {
          // Another one may.
          this.#world.note('admin', `${command.kind}: ${error}`);
        }
      }
      await this.#world.sleep(1_000);
    }
  }

  async #changeMembership(gateway: GatewayNode, what: 'leave' | 'join'): Promise<void> {
    const { peerId } = gateway;
    const member: MemberRow | undefined = this.#agreed.view.get(keys.member(peerId));
    if (member === undefined || (member.state === 'left') === (what === 'leave')) return;
    this.#world.count(`gateways: ${what}`);
    this.#world.note('admin', `${gateway.name}: ${what}`);
    if (what === 'leave') return this.#administer({ kind: 'member.left', peerId, at: 1 });
    const roles = ['gateway', 'voter'] as const;
    const ticket = ticketFor(
      peerId,
      this.#gateways.map((one) => one.peerId),
      roles,
      this.#tickets++,
    );
    await this.#administer({
      kind: 'ticket.created',
      secretHash: secretHash(ticket),
      roles,
      uses: 1,
      expiresAt: Number.MAX_SAFE_INTEGER,
      by: 'admin',
      project: 'default',
      idempotency: null,
      at: 1,
    });
    await this.#administer({
      kind: 'member.joined',
      peerId,
      name: gateway.name,
      roles,
      boxKey: '',
      observer: null,
      ticket: secretHash(ticket),
      at: 1,
    });
  }
}

function said({ epochId: _, ...message }: Message): string {
  const { kind, from, to, term, ...rest } = message;
  const text = JSON.stringify(rest);
  return `${from} > ${to} ${kind} @${term} ${text.length > 300 ? `${text.slice(0, 300)}…` : text}`;
}
