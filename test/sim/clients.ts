// Those who use the mesh: they submit jobs through any gateway, ask again with the same key until they are answered, cancel
// now and then, and read; and they hold the mesh to what it said.
import { SkeinError } from '../../protocol/errors.ts';
import { type JobId, makeJobId } from '../../protocol/ids.ts';
import type { Random } from '../../protocol/random.ts';
import type { Command } from '../../protocol/state/command.ts';
import { keys, type ProgressRow } from '../../protocol/state/rows.ts';
import type { Agreed } from './agreed.ts';
import { between, pick, untilNext } from './chance.ts';
import type { GatewayNode } from './gateway.ts';
import type { World } from './world.ts';

const ASK_TIMEOUT_MS = 10_000;
/** A client's own patience: the gateway may be gone with the question. */
const CALL_TIMEOUT_MS = 15_000;
const PAUSE_MS = 1_000;

export interface ClientsParts {
  readonly world: World;
  readonly random: Random;
  readonly agreed: Agreed;
  readonly gateways: readonly GatewayNode[];
  /** Between two submissions, on average. */
  readonly everyMs: number;
}

interface Acknowledged {
  readonly key: string;
  readonly jobId: JobId;
  readonly index: number;
}

export class Clients {
  readonly #parts: ClientsParts;
  readonly acknowledged = new Map<string, Acknowledged>();
  isOver = false;
  #waiting = 0;
  #submitted = 0;

  constructor(parts: ClientsParts) {
    this.#parts = parts;
  }

  /** Submissions that are not answered yet. */
  get waiting(): number {
    return this.#waiting;
  }

  start(): void {
    const { world, random, everyMs } = this.#parts;
    const loop = (name: string, meanMs: number, act: (own: Random) => void): void => {
      const own = random.fork(name);
      const again = (): void => {
        if (this.isOver) return;
        act(own);
        world.after(untilNext(own, meanMs), undefined, again);
      };
      world.after(untilNext(own, meanMs), undefined, again);
    };
    loop('submit', everyMs, (own) => void this.#submit(own));
    loop('burst', 60_000, (own) => {
      for (let n = 0; n < 20; n++) void this.#submit(own);
    });
    loop('cancel', 20_000, (own) => void this.#cancel(own));
    loop('read', 1_000, (own) => void this.#read(own));
  }

  async #submit(random: Random): Promise<void> {
    const { world } = this.#parts;
    const key = `k${this.#submitted++}`;
    const tasks = random.next() < 0.7 ? 1 : Math.ceil(between(random, 1, 6));
    this.#waiting++;
    const twice = random.next() < 0.05;
    await Promise.all([
      this.#untilAnswered(key, tasks, random),
      ...(twice ? [this.#untilAnswered(key, tasks, random)] : []),
    ]);
    this.#waiting--;
    world.count('submissions acknowledged');
  }

  async #untilAnswered(key: string, tasks: number, random: Random): Promise<void> {
    const { world } = this.#parts;
    for (;;) {
      const gateway = this.#anyGateway(random);
      const answer = gateway === undefined ? undefined : await this.#ask(gateway, submission(key, tasks, random));
      if (answer !== undefined) {
        // The rules look at the gateway once its event is over.
        world.after(0, undefined, () => this.#onAcknowledged(key, answer));
        return;
      }
      await world.sleep(PAUSE_MS);
    }
  }

  #anyGateway(random: Random): GatewayNode | undefined {
    return pick(
      random,
      this.#parts.gateways.filter(({ isUp, log }) => isUp && log !== undefined),
    );
  }

  /** Undefined where it was not answered, or refused for now. */
  async #ask(gateway: GatewayNode, command: Command): Promise<{ index: number; jobId: JobId } | undefined> {
    const { world } = this.#parts;
    const { log } = gateway;
    if (log === undefined) return undefined;
    const { promise: late, resolve } = Promise.withResolvers<undefined>();
    world.after(CALL_TIMEOUT_MS, undefined, () => resolve(undefined));
    try {
      const asked = this.#within(gateway, () => log.propose(command, { timeoutMs: ASK_TIMEOUT_MS }));
      const answer = await Promise.race([asked, late]);
      if (answer === undefined) {
        world.count('answers that never came');
        return undefined;
      }
      const { outcome, index } = answer;
      if (outcome.kind === 'done') return { index, jobId: outcome.answer.jobId as JobId };
      world.violate(`a submission was refused: ${outcome.sentence}`);
      return undefined;
    } catch (error) {
      if (!(error instanceof SkeinError)) throw error;
      world.count(`told ${error.code}`);
      return undefined;
    }
  }

  /** Asked in the gateway's own turn: one that stands still takes it in later, one that is gone answers no more. */
  #within<T>({ life }: GatewayNode, ask: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const heard =
        <V>(hear: (value: V) => void) =>
        (value: V): void => {
          if (life?.isOver === false) hear(value);
        };
      life?.post(() => ask().then(heard(resolve), heard(reject)));
    });
  }

  #onAcknowledged(key: string, { index, jobId }: { index: number; jobId: JobId }): void {
    const { world, agreed } = this.#parts;
    world.check(index <= agreed.lastIndex, () => `${jobId} is acknowledged at ${index}, which nobody has applied`);
    const before = this.acknowledged.get(key);
    world.check(before === undefined || before.jobId === jobId, () => `${key} got ${before?.jobId}, then ${jobId}`);
    this.acknowledged.set(key, { key, jobId, index });
    this.#isThere(key, jobId);
  }

  #isThere(key: string, jobId: JobId): void {
    const { world, agreed } = this.#parts;
    world.check(agreed.view.get(keys.job(jobId)) !== undefined, () => `the acknowledged job ${jobId} (${key}) is lost`);
  }

  async #cancel(random: Random): Promise<void> {
    const { world } = this.#parts;
    const gateway = this.#anyGateway(random);
    const job = pick(random, [...this.acknowledged.values()].slice(-20));
    if (gateway?.log === undefined || job === undefined) return;
    const { log } = gateway;
    const command: Command = {
      kind: 'job.cancelled',
      jobId: job.jobId,
      tasks: null,
      reason: null,
      idempotency: null,
      project: 'default',
      at: gateway.machine.wallMs,
    };
    try {
      const { outcome } = await this.#within(gateway, () => log.propose(command, { timeoutMs: ASK_TIMEOUT_MS }));
      if (outcome.kind === 'done') world.count('jobs cancelled');
    } catch (error) {
      if (!(error instanceof SkeinError)) throw error;
    }
  }

  /** Linearizable: a read sees all that anyone had applied when it was asked. */
  async #read(random: Random): Promise<void> {
    const { world, agreed } = this.#parts;
    const gateway = this.#anyGateway(random);
    if (gateway?.log === undefined) return;
    const { log, life } = gateway;
    const least = agreed.lastIndex;
    try {
      const index = await this.#within(gateway, () => log.readBarrier({ timeoutMs: 5_000 }));
      if (life?.isOver === true) return;
      world.count('reads');
      const applied = Math.min(index, log.status().appliedIndex);
      world.check(applied >= least, () => `a read at ${gateway.name} sees ${applied}; ${least} was applied before it`);
    } catch (error) {
      if (!(error instanceof SkeinError)) throw error;
      world.count('reads refused');
    }
  }

  /** What was acknowledged and has not ended. */
  unfinished(): readonly string[] {
    return [...this.acknowledged.values()].flatMap(({ key, jobId }) => {
      this.#isThere(key, jobId);
      const progress: ProgressRow | undefined = this.#parts.agreed.view.get(keys.progress(jobId));
      return progress?.finishedAt === null ? [`${jobId} ${JSON.stringify(progress.counts)}`] : [];
    });
  }
}

function submission(key: string, taskCount: number, random: Random): Command {
  return {
    kind: 'job.submitted',
    jobId: makeJobId(random.bytes(10)),
    project: 'default',
    spec: {
      command: ['x'],
      runtime: 'process',
      retries: 3,
      maxLost: 100,
      ...(taskCount > 1 && { items: { range: { from: 1, to: taskCount } } }),
    },
    taskCount,
    by: 'client',
    idempotency: { key, bodyHash: key },
    at: 1,
  };
}
