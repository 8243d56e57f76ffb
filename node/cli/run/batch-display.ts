// How a batch shows that it goes on: a live area on a terminal, plain lines elsewhere.
import type { JobView } from '../../../protocol/api/job.ts';
import type { Call } from '../call.ts';
import { failureLine, plainProgress, progressArea } from '../output/progress.ts';
import { shortId } from '../selector.ts';

const PLAIN_EVERY_MS = 30_000;
/** Changes closer together than that are one. */
const PLAIN_LEAST_MS = 1000;

export class BatchDisplay {
  readonly #call: Call;
  readonly #name: string;
  readonly #how: 'auto' | 'bar' | 'plain' | 'none';
  readonly #startedAt: number;
  #toldAt = Number.NEGATIVE_INFINITY;
  #told = '';
  readonly #failuresTold = new Set<number>();

  constructor(call: Call, jobId: string, how: 'auto' | 'bar' | 'plain' | 'none') {
    this.#call = call;
    this.#name = shortId(jobId);
    this.#how = how;
    this.#startedAt = call.world.clock.monotonic();
  }

  async show(view: JobView): Promise<void> {
    const { screen, world } = this.#call;
    if (this.#how === 'none') return;
    const now = world.clock.monotonic();
    if (screen.isLive && this.#how !== 'plain') {
      const state = { view, jobName: this.#name, elapsedMs: now - this.#startedAt, columns: screen.columns };
      return screen.area(progressArea(state));
    }
    await this.#tellFailures(view);
    const line = plainProgress(view);
    const since = now - this.#toldAt;
    if (since < PLAIN_LEAST_MS || (line === this.#told && since < PLAIN_EVERY_MS)) return;
    this.#told = line;
    this.#toldAt = now;
    await screen.say(`${this.#name}  ${line}`);
  }

  async #tellFailures(view: JobView): Promise<void> {
    for (const failure of view.failures) {
      if (this.#failuresTold.has(failure.task)) continue;
      this.#failuresTold.add(failure.task);
      await this.#call.screen.say(failureLine(view, failure, this.#name));
    }
  }

  async end(): Promise<void> {
    await this.#call.screen.area([]);
  }
}
