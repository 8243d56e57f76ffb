// While nothing of a job runs, also after a lost machine: after one second, and then at each change, why it waits.
import type { Clock } from '../../../protocol/time.ts';
import type { Jobs } from '../mesh.ts';
import type { Screen } from '../output/screen.ts';
import { printable } from '../output/table.ts';
import { shortId } from '../selector.ts';

export interface WaitingWatchOptions {
  readonly jobs: Jobs;
  readonly jobId: string;
  readonly screen: Screen;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const FIRST_MS = 1000;
const NEXT_MS = 3000;
const AGAIN_MS = 30_000;

export class WaitingWatch {
  readonly #options: WaitingWatchOptions;
  readonly #quit = new AbortController();

  constructor(options: WaitingWatchOptions) {
    this.#options = options;
    // It only tells: a failure of the link is met, and told, by the stream that is being followed.
    this.#run().catch(() => undefined);
  }

  stop(): void {
    this.#quit.abort();
  }

  async #run(): Promise<void> {
    const { jobs, jobId, screen, clock } = this.#options;
    const signal = AbortSignal.any([this.#options.signal, this.#quit.signal]);
    let told = '';
    let toldAt = 0;
    for (let waitMs = FIRST_MS; ; waitMs = NEXT_MS) {
      await clock.sleep(waitMs, signal);
      const view = await jobs.job(jobId, signal);
      if (signal.aborted || view.finishedAt !== null) return;
      if (view.tasks.running > 0 || view.waiting?.verdict === 'running') {
        told = '';
        continue;
      }
      const sentence = printable(view.waiting?.sentence ?? 'waiting for a worker');
      if (sentence === told && clock.monotonic() - toldAt < AGAIN_MS) continue;
      told = sentence;
      toldAt = clock.monotonic();
      await screen.say(`${shortId(jobId)} waits: ${sentence}`);
    }
  }
}
