// What goes wrong: a plan drawn from the seed, each part with chance of its own, so that some can be left out and the rest
// stays what it is.
import type { Random } from '../../protocol/random.ts';
import { between, pick, untilNext } from './chance.ts';
import type { GatewayNode } from './gateway.ts';
import { calm, type SimNetwork } from './network.ts';
import type { WorkerNode } from './worker.ts';
import type { World } from './world.ts';

export const faultKinds = [
  'gateway crash',
  'gateways crash',
  'worker crash',
  'power cut',
  'isolation',
  'one-way cut',
  'split',
  'leader alone',
  'stop',
  'suspend',
  'daemon stop',
  'storm',
  'slow disk',
  'full disk',
  'disk fault',
  'lost folder',
  'clock jump',
  'hand-over',
  'leave',
] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface Fault {
  readonly n: number;
  readonly atMs: number;
  readonly kind: FaultKind;
  readonly forMs: number;
}

/** Disks and votes are what is easily got wrong. */
const WEIGHTS: Partial<Record<FaultKind, number>> = {
  'gateway crash': 4,
  isolation: 2,
  stop: 2,
  'disk fault': 2,
  'leader alone': 2,
};

export function planFaults(
  random: Random,
  { fromMs, untilMs, everyMs }: { readonly fromMs: number; readonly untilMs: number; readonly everyMs: number },
): Fault[] {
  const kinds = faultKinds.flatMap((kind) => Array.from({ length: WEIGHTS[kind] ?? 1 }, () => kind));
  const plan: Fault[] = [];
  for (let atMs = fromMs + untilNext(random, everyMs); atMs < untilMs; atMs += untilNext(random, everyMs)) {
    const kind = pick(random, kinds) ?? 'gateway crash';
    const forMs = Math.min(60_000, 300 + untilNext(random, 12_000));
    plan.push({ n: plan.length, atMs, kind, forMs });
  }
  return plan;
}

/** Two that go for good at once are more than three voters stand. */
const LOSSES_APART_MS = 120_000;

interface Parts {
  readonly world: World;
  readonly random: Random;
  readonly network: SimNetwork;
  readonly gateways: readonly GatewayNode[];
  readonly workers: readonly WorkerNode[];
  /** Takes a gateway out of the mesh, or in again. */
  readonly membership: (gateway: GatewayNode, what: 'leave' | 'join') => void;
}

type Node = GatewayNode | WorkerNode;

export class Faults {
  readonly #parts: Parts;
  /** What ends each fault that is under way. */
  readonly #underWay = new Map<number, () => void>();
  #storms = 0;
  #lostAtMs = Number.NEGATIVE_INFINITY;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  schedule(plan: readonly Fault[]): void {
    const { world } = this.#parts;
    for (const fault of plan) {
      world.at(fault.atMs, undefined, () => this.#begin(fault));
    }
  }

  #begin(fault: Fault): void {
    const { world } = this.#parts;
    const random = this.#parts.random.fork(`fault ${fault.n}`);
    const [what, end] = this.#carryOut(fault, random) ?? [];
    if (what === undefined || end === undefined) return;
    world.count(`fault: ${fault.kind}`);
    world.note('FAULT', `${fault.n} ${fault.kind}: ${what}, for ${Math.round(fault.forMs)} ms`);
    this.#underWay.set(fault.n, end);
    world.after(fault.forMs, undefined, () => this.#end(fault.n));
  }

  #end(n: number): void {
    const end = this.#underWay.get(n);
    this.#underWay.delete(n);
    if (end === undefined) return;
    this.#parts.world.note('FAULT', `${n} is over`);
    end();
  }

  /** Everything works again from now on. */
  endAll(): void {
    for (const n of [...this.#underWay.keys()]) this.#end(n);
  }

  /** @returns what was done and what ends it; undefined where nothing could be. */
  #carryOut({ kind, forMs }: Fault, random: Random): readonly [string, () => void] | undefined {
    const { gateways, workers, world } = this.#parts;
    const gateway = pick(random, gateways) as GatewayNode;
    const worker = pick(random, workers);
    const leader = gateways.find(({ log }) => log?.status().leading === true) ?? gateway;
    const anyone = pick<Node>(random, [...gateways, ...workers]) as Node;
    switch (kind) {
      case 'gateway crash':
        return this.#crash([random.next() < 0.5 ? leader : gateway], random, 'power');
      case 'gateways crash':
        return this.#crash(
          gateways.filter(() => random.next() < 0.6),
          random,
          'power',
        );
      case 'worker crash':
        return worker && this.#crash([worker], random, 'daemon');
      case 'power cut':
        return this.#crash([anyone], random, 'power');
      case 'isolation':
        return this.#cut(this.#sides([anyone]), { both: true });
      case 'one-way cut':
        return this.#cut(this.#sides([random.next() < 0.5 ? gateway : anyone]), {
          both: false,
          inward: random.next() < 0.5,
        });
      case 'split': {
        const some = [...gateways, ...workers].filter(() => random.next() < 0.5);
        return this.#cut(this.#sides(some), { both: true });
      }
      case 'leader alone':
        return this.#cut([[leader], gateways.filter((one) => one !== leader)], {
          both: random.next() < 0.5,
          inward: random.next() < 0.5,
        });
      case 'stop':
        return this.#stand(anyone === worker || random.next() < 0.5 ? anyone : leader, 'stopped');
      case 'suspend':
        return this.#stand(anyone, 'suspended');
      case 'daemon stop':
        return worker && this.#stand(worker, 'daemon');
      case 'storm':
        return this.#storm(random);
      case 'slow disk':
        gateway.disk.syncMs = [20, between(random, 50, 1_500)];
        return [gateway.name, () => (gateway.disk.syncMs = [0.2, 2])];
      case 'full disk':
        if (gateway.disk.refusal !== undefined) return undefined;
        gateway.disk.refuse('disk-full');
        return [gateway.name, () => gateway.disk.allow()];
      case 'disk fault':
        gateway.disk.failsNext = true;
        return [gateway.name, () => undefined];
      case 'lost folder':
        return this.#loseFolder(gateway, random);
      case 'clock jump': {
        const byMs = between(random, -3_600_000, 3_600_000);
        anyone.machine.wallOffsetMs += byMs;
        return [`${anyone.name} by ${Math.round(byMs / 1000)} s`, () => undefined];
      }
      case 'hand-over': {
        const to = leader.log?.replicas().find(({ isVoter }) => isVoter && random.next() < 0.5);
        if (to === undefined) return undefined;
        leader.log?.transferTo(to.voterId);
        return [`${leader.name} to ${to.peerId}`, () => undefined];
      }
      case 'leave':
        if (gateway === gateways[0] || !this.#mayLose()) return undefined;
        this.#parts.membership(gateway, 'leave');
        world.after(forMs + 5_000, undefined, () => this.#parts.membership(gateway, 'join'));
        return [gateway.name, () => undefined];
    }
  }

  #crash(nodes: readonly Node[], random: Random, how: 'daemon' | 'power'): readonly [string, () => void] | undefined {
    const { world } = this.#parts;
    const up = nodes.filter(({ isUp }) => isUp);
    if (up.length === 0) return undefined;
    const isBack = random.next() < 0.5;
    let isOver = false;
    const down = new Set<Node>();
    const restart = (node: Node): void => {
      if (down.delete(node) && !node.isUp) node.start();
    };
    for (const node of up) {
      const onDown = (): void => {
        world.count(`crashes of ${'worker' in node ? 'workers' : 'gateways'}`);
        world.note(node.name, 'crashes');
        down.add(node);
        // Most come back at once.
        if (isOver || isBack) world.after(between(random, 5, 2_000), undefined, () => restart(node));
      };
      const draw = random.next();
      if ('worker' in node || draw < 0.2) {
        node.crash(how);
        onDown();
      } else node.crashAt(draw < 0.6 ? 'point' : 'write', Math.ceil(random.next() ** 2 * 40), onDown);
    }
    const end = (): void => {
      isOver = true;
      for (const node of [...down]) restart(node);
    };
    return [up.map(({ name }) => name).join(' '), end];
  }

  #sides(some: readonly Node[]): readonly (readonly Node[])[] {
    const { gateways, workers } = this.#parts;
    return [some, [...gateways, ...workers].filter((node) => !some.includes(node))];
  }

  #cut(
    sides: readonly (readonly Node[])[],
    { both, inward = false }: { readonly both: boolean; readonly inward?: boolean },
  ): readonly [string, () => void] {
    const [here = [], there = []] = sides;
    const turn = (by: 1 | -1): void => {
      for (const a of here) {
        for (const b of there) {
          if (both || !inward) this.#parts.network.cut(a.peerId, b.peerId, by);
          if (both || inward) this.#parts.network.cut(b.peerId, a.peerId, by);
        }
      }
    };
    turn(1);
    const names = here.map(({ name }) => name).join(' ');
    return [`${names} ${both ? 'cut off' : inward ? 'hears nobody' : 'is not heard'}`, () => turn(-1)];
  }

  #stand(node: Node, how: 'stopped' | 'suspended' | 'daemon'): readonly [string, () => void] | undefined {
    const { machine } = node;
    if (machine.standing !== undefined) return undefined;
    machine.standStill(how);
    return [node.name, () => machine.goOn()];
  }

  #storm(random: Random): readonly [string, () => void] {
    const { network } = this.#parts;
    this.#storms++;
    const slowest = between(random, 5, random.next() < 0.3 ? 800 : 80);
    network.weather = {
      delayMs: [1, slowest],
      loss: between(random, 0, 0.15),
      doubled: between(random, 0, 0.1),
      reordered: between(random, 0, 0.1),
    };
    const end = (): void => {
      if (--this.#storms === 0) network.weather = calm;
    };
    return [`delays up to ${Math.round(slowest)} ms, ${Math.round(network.weather.loss * 100)} % lost`, end];
  }

  /** Of one at a time: whoever forgets does not count as one that is only down. */
  #loseFolder(gateway: GatewayNode, random: Random): readonly [string, () => void] | undefined {
    if (!gateway.isUp || !this.#mayLose()) return undefined;
    gateway.crash();
    gateway.wipe();
    this.#parts.world.after(between(random, 5, 5_000), undefined, () => gateway.isUp || gateway.start());
    return [gateway.name, () => undefined];
  }

  /** One voter may go for good where there are three at least, each is up and has all, and none went lately. */
  #mayLose(): boolean {
    const { nowMs } = this.#parts.world;
    if (nowMs < this.#lostAtMs + LOSSES_APART_MS || !this.#isWhole()) return false;
    this.#lostAtMs = nowMs;
    return true;
  }

  #isWhole(): boolean {
    const { log } = this.#parts.gateways.find((one) => one.log?.status().leading === true) ?? {};
    if (log === undefined || log.status().voters < 3) return false;
    const { commitIndex } = log.status();
    return log
      .replicas()
      .every(({ isVoter, silentMs, matchIndex }) => !isVoter || ((silentMs ?? 1e9) < 500 && matchIndex >= commitIndex));
  }
}
