// Sends what ended to a gateway, in batches, until each report is committed or refused. What waits here is also on disk
// (the attempt's folder), so a worker that dies meanwhile reports it in its next life.
import { SkeinError } from '../../protocol/errors.ts';
import type { Clock } from '../../protocol/time.ts';
import {
  type Ended,
  endedCodec,
  type Finished,
  finishedCodec,
  type Settled,
  settledCodec,
  workMethods,
} from '../../protocol/wire/work.ts';
import type { Log } from '../log.ts';
import type { Gateways } from './gateways.ts';

const BATCH_MAX = 256;
const CALL_TIMEOUT_MS = 10_000;
const RETRY_MS = 500;
const splittable = new Set(['too-large', 'invalid-request']);

type Report =
  | { readonly kind: 'finished'; readonly item: Finished; readonly settle: (settled: Settled) => void }
  | { readonly kind: 'ended'; readonly item: Ended; readonly settle: (settled: Settled) => void };

export class Reporter {
  readonly #gateways: Gateways;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #stopped = new AbortController();
  #waiting: Report[] = [];
  #sending = false;
  #idle: (() => void)[] = [];

  constructor(parts: { readonly gateways: Gateways; readonly clock: Clock; readonly log: Log }) {
    this.#gateways = parts.gateways;
    this.#clock = parts.clock;
    this.#log = parts.log;
  }

  /** Resolves with `committed` or `refused`, however long that takes; never with `unsettled`, and not at all after `stop`. */
  finished(item: Finished): Promise<Settled> {
    return new Promise((settle) => this.#push({ kind: 'finished', item, settle }));
  }

  ended(item: Ended): Promise<Settled> {
    return new Promise((settle) => this.#push({ kind: 'ended', item, settle }));
  }

  /** Resolves when nothing waits to be settled, or at the deadline. @returns whether all is settled. */
  async drained(timeoutMs: number): Promise<boolean> {
    if (this.#waiting.length === 0 && !this.#sending) return true;
    const given = new AbortController();
    const empty = new Promise<void>((resolve) => this.#idle.push(resolve));
    await Promise.race([empty, this.#clock.sleep(timeoutMs, given.signal).catch(() => undefined)]);
    given.abort();
    return this.#waiting.length === 0 && !this.#sending;
  }

  stop(): void {
    this.#stopped.abort();
    this.#waiting = [];
  }

  #push(report: Report): void {
    if (this.#stopped.signal.aborted) return;
    this.#waiting.push(report);
    if (!this.#sending) void this.#run();
  }

  async #run(): Promise<void> {
    this.#sending = true;
    // One turn of the loop: attempts that end together are reported together.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0 && !this.#stopped.signal.aborted) {
      const unsettled = await this.#round();
      if (unsettled) await this.#clock.sleep(RETRY_MS, this.#stopped.signal).catch(() => undefined);
    }
    this.#sending = false;
    for (const wake of this.#idle.splice(0)) wake();
  }

  /** @returns whether anything has to be sent again. */
  async #round(): Promise<boolean> {
    const kind = this.#waiting[0]?.kind;
    const batch = this.#waiting.filter((report) => report.kind === kind).slice(0, BATCH_MAX);
    const chosen = new Set(batch);
    this.#waiting = this.#waiting.filter((report) => !chosen.has(report));
    const again = await this.#send(batch);
    // Behind what came meanwhile: a report that cannot be judged yet must not hold up the others.
    this.#waiting = [...this.#waiting, ...again];
    return again.length > 0;
  }

  async #send(batch: readonly Report[]): Promise<Report[]> {
    try {
      const settled = await this.#ask(batch);
      return batch.filter((report, at) => {
        const answer = settled[at];
        if (answer === undefined || answer.kind === 'unsettled') return true;
        report.settle(answer);
        return false;
      });
    } catch (error) {
      const code = error instanceof SkeinError ? error.code : 'internal-error';
      // One report that is too large or not understood must not keep the rest of its batch from being judged.
      if (splittable.has(code) && batch.length > 1) return this.#sendHalves(batch);
      this.#log.debug({ code, reports: batch.length }, 'reports could not be sent; they are sent again');
      return [...batch];
    }
  }

  async #sendHalves(batch: readonly Report[]): Promise<Report[]> {
    const middle = Math.ceil(batch.length / 2);
    return [...(await this.#send(batch.slice(0, middle))), ...(await this.#send(batch.slice(middle)))];
  }

  async #ask(batch: readonly Report[]): Promise<readonly Settled[]> {
    const finished = batch.flatMap((report) => (report.kind === 'finished' ? [report.item] : []));
    const ended = batch.flatMap((report) => (report.kind === 'ended' ? [report.item] : []));
    const [method, body] =
      finished.length > 0
        ? [workMethods.finished, finishedCodec.encode(finished)]
        : [workMethods.ended, endedCodec.encode(ended)];
    const options = { timeoutMs: CALL_TIMEOUT_MS, signal: this.#stopped.signal };
    return settledCodec.decode(await this.#gateways.call('work', method, body, options));
  }
}
