// Runners started ahead of need, one for each slot, so that an attempt never waits for one.
import type { RunnerLink } from './link.ts';

/** How many runners are started at a time: each costs a tenth of a second of one cpu. */
const STARTS_AT_ONCE = 4;

export class RunnerPool {
  readonly #start: () => Promise<RunnerLink>;
  readonly #onProblem: (error: unknown) => void;
  readonly #idle: RunnerLink[] = [];
  readonly #busy = new Set<RunnerLink>();
  readonly #waiting: PromiseWithResolvers<RunnerLink>[] = [];
  readonly #starting = new Set<Promise<void>>();
  #wanted = 1;
  #closed: Error | undefined;

  /** `onProblem` hears of a start that failed. */
  constructor(start: () => Promise<RunnerLink>, onProblem: (error: unknown) => void) {
    this.#start = start;
    this.#onProblem = onProblem;
  }

  get busy(): Iterable<RunnerLink> {
    return this.#busy;
  }

  /** Resolves once `count` runners are there, busy ones counted. Fails as a start fails. */
  async startAhead(count: number): Promise<void> {
    this.#wanted = Math.max(1, count);
    while (this.#idle.length > 0 && this.#total > this.#wanted) this.#idle.pop()?.send({ kind: 'leave' });
    const lane = async (): Promise<void> => {
      while (this.#total < count && this.#closed === undefined) await this.#startOne();
    };
    await Promise.all(Array.from({ length: Math.min(STARTS_AT_ONCE, count - this.#total) }, lane));
  }

  /** A runner that does nothing else; it is busy until it is given back or removed. */
  async acquire(): Promise<RunnerLink> {
    if (this.#closed !== undefined) throw this.#closed;
    const idle = this.#idle.pop();
    if (idle !== undefined) {
      this.#busy.add(idle);
      return idle;
    }
    const waiter = Promise.withResolvers<RunnerLink>();
    this.#waiting.push(waiter);
    this.#topUp();
    return waiter.promise;
  }

  /** One of an earlier daemon; how many are wanted is not known yet. */
  adopt(link: RunnerLink, busy: boolean): void {
    if (busy) this.#busy.add(link);
    else this.#idle.push(link);
  }

  giveBack(link: RunnerLink, spent: boolean): void {
    this.#busy.delete(link);
    if (spent) link.send({ kind: 'leave' });
    else this.#offer(link);
    this.#topUp();
  }

  /** It is gone. */
  remove(link: RunnerLink): void {
    const index = this.#idle.indexOf(link);
    if (index >= 0) this.#idle.splice(index, 1);
    // An idle one that dies is replaced when next one is needed: a machine where all die must not start them for ever.
    else if (this.#busy.delete(link)) this.#topUp();
  }

  /** Starts no more, and hands over the idle ones once those that were starting are among them. */
  async close(reason: Error): Promise<readonly RunnerLink[]> {
    this.#closed = reason;
    for (const waiter of this.#waiting.splice(0)) waiter.reject(reason);
    await Promise.allSettled(this.#starting);
    return this.#idle.splice(0);
  }

  get #total(): number {
    return this.#idle.length + this.#busy.size + this.#starting.size;
  }

  #topUp(): void {
    if (this.#closed !== undefined) return;
    const short = Math.max(this.#waiting.length - this.#starting.size, this.#wanted - this.#total);
    for (let i = 0; i < short; i++) {
      this.#startOne().catch(this.#onProblem);
    }
  }

  async #startOne(): Promise<void> {
    const starting = this.#start().then(
      (link) => {
        this.#starting.delete(starting);
        this.#offer(link);
      },
      (error: unknown) => {
        this.#starting.delete(starting);
        // Whoever asked for this start: a waiter may have counted on it.
        this.#waiting.shift()?.reject(error);
        throw error;
      },
    );
    this.#starting.add(starting);
    await starting;
  }

  #offer(link: RunnerLink): void {
    const waiter = this.#waiting.shift();
    if (waiter !== undefined) {
      this.#busy.add(link);
      waiter.resolve(link);
    } else if (this.#total < this.#wanted || this.#closed !== undefined) this.#idle.push(link);
    else link.send({ kind: 'leave' });
  }
}
