// What a worker's machine runs and keeps, as the simulator models it: how long a script takes and how it ends, and the
// attempts' folders, which outlive the daemon. Claim, lease and report are production's.
import { FakeMachine, type FakeRun, FakeRuntime } from '../../node/runtime/fake.ts';
import type { AttemptEnded, AttemptSpec, LeaseGrant, RunningAttempt, Runtime } from '../../node/runtime/port.ts';
import type { Leftovers, Workshop } from '../../node/worker/attempts.ts';
import { SkeinError } from '../../protocol/errors.ts';
import type { Fence } from '../../protocol/ids.ts';
import type { Random } from '../../protocol/random.ts';
import type { Result } from '../../protocol/state/result.ts';
import type { Begun } from '../../protocol/state/rows.ts';
import type { PushedGrant } from '../../protocol/wire/work.ts';
import { between } from './chance.ts';
import { Life, type Machine } from './machine.ts';
import type { WorkRules } from './work-rules.ts';

interface Folder {
  grant: PushedGrant | undefined;
  begunAt: number;
}

/** The machine beneath a worker: outlives every daemon on it. */
export class Bench {
  readonly machine: Machine;
  readonly rules: WorkRules;
  readonly random: Random;
  readonly folders = new Map<Fence, Folder>();
  fake = new FakeMachine();
  /** The runners'. */
  runners: Life;

  constructor(machine: Machine, rules: WorkRules, random: Random) {
    this.machine = machine;
    this.rules = rules;
    this.random = random;
    this.runners = new Life(machine, { isRunner: true });
  }

  /** Nothing that ran is there any more; what was written lately may not be either. */
  powerOff(): void {
    for (const fence of this.fake.attempts.keys()) this.rules.onGone(fence);
    this.fake.powerOff();
    this.runners.end();
    this.runners = new Life(this.machine, { isRunner: true });
    for (const [fence, folder] of this.folders) {
      if (this.machine.wallMs - folder.begunAt < 5_000 && this.random.next() < 0.5) this.folders.delete(fence);
    }
  }
}

/** How an attempt goes, by its fence alone: so that it does not depend on what else was drawn. */
function modelOf(bench: Bench): (spec: AttemptSpec) => FakeRun {
  return ({ fence }) => {
    const random = bench.random.fork(fence);
    const draw = random.next();
    const runMs =
      draw < 0.3
        ? between(random, 5, 500)
        : draw < 0.9
          ? between(random, 500, 20_000)
          : between(random, 20_000, 90_000);
    const ends = random.next() < 0.8 ? { afterMs: between(random, 1, 3_000), exit: { code: 143, signal: null } } : null;
    return {
      runMs,
      exit: { code: random.next() < 0.03 ? 1 : 0, signal: null },
      onTerm: ends,
      unstoppable: random.next() < 0.05,
      stdout: '',
      stderr: '',
    };
  };
}

export class SimRuntime implements Runtime {
  readonly containment = 'pid-namespace';
  readonly #bench: Bench;
  readonly #life: Life;
  readonly #fake: FakeRuntime;

  constructor(bench: Bench, life: Life) {
    this.#bench = bench;
    this.#life = life;
    this.#fake = new FakeRuntime({ clock: bench.runners.clock, model: modelOf(bench) }, bench.fake);
  }

  async recover(): Promise<readonly RunningAttempt[]> {
    return (await this.#fake.recover()).map((attempt) => this.#heard(attempt));
  }

  async start(spec: AttemptSpec): Promise<RunningAttempt> {
    if (this.#life.isOver) return new Promise(() => undefined);
    const attempt = await this.#fake.start(spec);
    let isOver = false;
    const { rules, machine } = this.#bench;
    void attempt.ended.then(() => {
      isOver = true;
      rules.onGone(spec.fence);
    });
    await Promise.resolve();
    await Promise.resolve();
    if (!isOver) rules.onBegun(machine, spec.fence, () => !isOver && !attempt.frozen);
    return this.#heard(attempt);
  }

  /** The daemon hears of an end in its own time. */
  #heard(attempt: RunningAttempt): RunningAttempt {
    const life = this.#life;
    return {
      fence: attempt.fence,
      folder: attempt.folder,
      startedAt: attempt.startedAt,
      ended: new Promise<AttemptEnded>((resolve) => attempt.ended.then((ended) => life.post(() => resolve(ended)))),
      get frozen() {
        return attempt.frozen;
      },
      kill: (graceMs, signal) => {
        if (!life.isOver) attempt.kill(graceMs, signal);
      },
    };
  }

  extend(lease: LeaseGrant): void {
    if (!this.#life.isOver) this.#fake.extend(lease);
  }

  async startAhead(): Promise<void> {}

  async stop(): Promise<void> {}
}

export class SimWorkshop implements Workshop {
  readonly #bench: Bench;
  readonly #life: Life;

  constructor(bench: Bench, life: Life) {
    this.#bench = bench;
    this.#life = life;
  }

  async stage({ fence, spec }: PushedGrant, signal: AbortSignal): Promise<AttemptSpec> {
    const { random, folders } = this.#bench;
    folders.set(fence as Fence, { grant: undefined, begunAt: 0 });
    await this.#life.clock.sleep(between(random, 1, 200), signal);
    if (random.next() < 0.02) throw new SkeinError('unreachable', 'an input has not come');
    const folder = `/${fence}`;
    const timeoutMs = spec.timeoutMs ?? null;
    const files = { stdinFile: null, stdoutFile: `${folder}/out`, stderrFile: `${folder}/err` };
    return { fence: fence as Fence, argv: ['x'], folder, workFolder: folder, ...files, env: {}, timeoutMs };
  }

  async begin(grant: PushedGrant): Promise<void> {
    if (this.#life.isOver) return new Promise(() => undefined);
    this.#bench.folders.set(grant.fence as Fence, { grant, begunAt: this.#life.clock.now() });
  }

  async collect(_: PushedGrant, { exit, reason, detail, startedAt, endedAt }: AttemptEnded): Promise<Result> {
    if (reason === 'killed' || reason === 'runner-died') throw new SkeinError('internal-error', `collected: ${reason}`);
    await this.#life.clock.sleep(between(this.#bench.random, 0.5, 50));
    const outputs = { kind: 'inline', files: [] } as const;
    return { exit, reason, detail, startedAt, endedAt, stdout: null, stderr: null, outputs };
  }

  async publish(_: Result, signal: AbortSignal): Promise<void> {
    await this.#life.clock.sleep(between(this.#bench.random, 0.5, 50), signal);
  }

  async discard(fence: Fence): Promise<void> {
    if (this.#life.isOver) return new Promise(() => undefined);
    this.#bench.folders.delete(fence);
    this.#bench.fake.forget(fence);
  }

  async grantOf({ fence }: RunningAttempt): Promise<PushedGrant | undefined> {
    return this.#bench.folders.get(fence)?.grant;
  }

  async leftovers(kept: readonly Fence[]): Promise<Leftovers> {
    const left = [...this.#bench.folders].filter(([fence]) => !kept.includes(fence));
    const begun = left.flatMap(([fence, { grant, begunAt }]): Begun[] =>
      grant === undefined ? [] : [[fence, begunAt]],
    );
    return {
      begun,
      discard: async () => {
        for (const [fence] of left) await this.discard(fence);
      },
    };
  }
}
