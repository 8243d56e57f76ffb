// Turns the queue and the standing offers into committed grants, and sends those to their workers.
// A round proposes, waits for the commit and only then speaks: a grant that is not committed is nobody's.
import { entryOf, type ItemEntry, type JobSpec } from '../../protocol/api/jobspec.ts';
import { type ErrorCode, SkeinError } from '../../protocol/errors.ts';
import type { Fence, JobId, PeerId } from '../../protocol/ids.ts';
import { makeFence } from '../../protocol/ids.ts';
import type { Command } from '../../protocol/state/command.ts';
import { keys } from '../../protocol/state/rows.ts';
import type { Clock } from '../../protocol/time.ts';
import { encodeGrants, type PushedGrant, recallCodec, workMethods } from '../../protocol/wire/work.ts';
import type { ReplicatedLog } from '../consensus/log.ts';
import { inTime } from '../in-time.ts';
import type { Log } from '../log.ts';
import { type Placement, place, recalls } from '../policy/placement.ts';
import type { Transport } from '../transport/port.ts';
import type { Items } from './items.ts';
import { fencesOf, type LiveJobs } from './live-jobs.ts';
import type { Roster } from './roster.ts';

const ROUND_MAX = 512;
const PROPOSE_TIMEOUT_MS = 10_000;
const PUSH_TIMEOUT_MS = 5_000;
const RECALL_QUIET_MS = 250;
/** A list that has to come from another gateway first must not delay the answer to a heartbeat. */
const LIST_WAIT_MS = 500;
/** What reading a list of items again will not mend. */
const LASTING: ReadonlySet<ErrorCode> = new Set(['not-found', 'invalid-request', 'too-large', 'digest-mismatch']);

interface Parts {
  readonly log: ReplicatedLog;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly jobs: LiveJobs;
  readonly roster: Roster;
  readonly items: Items;
  readonly out: Log;
}

export class Granting {
  readonly #parts: Parts;
  readonly #stopped: AbortSignal;
  /** Grants whose push a worker has acknowledged; the others are sent again with the answers. */
  readonly #delivered = new Map<PeerId, { readonly incarnation: number; readonly fences: Set<Fence> }>();
  readonly #recalledAt = new Map<PeerId, number>();
  #due = false;
  #running = false;

  constructor(parts: Parts, stopped: AbortSignal) {
    this.#parts = parts;
    this.#stopped = stopped;
  }

  /** Work may be due: rounds follow one another until none is. */
  wake(): void {
    this.#due = true;
    if (!this.#running) void this.#run();
  }

  async #run(): Promise<void> {
    this.#running = true;
    // Not within the batch that is being applied; what comes while a round is under way shares the next one.
    await Promise.resolve();
    while (this.#due && !this.#stopped.aborted && this.#parts.log.status().leading) {
      this.#due = false;
      try {
        await this.#round();
      } catch (error) {
        this.#parts.out.warn({ err: error }, 'a round of grants failed; the next one tries again');
        await this.#parts.clock.sleep(500, this.#stopped).catch(() => undefined);
        this.#due = true;
      }
    }
    this.#running = false;
  }

  async #round(): Promise<void> {
    const { jobs, roster } = this.#parts;
    const offers = roster.offers();
    const placements = offers.length === 0 ? [] : place(jobs.window(ROUND_MAX), offers, ROUND_MAX);
    if (placements.length > 0) {
      await this.#grant(placements);
      this.#due = true;
      return;
    }
    const queued = jobs.window(1).length;
    for (const { peerId, count } of recalls(
      offers.map((offer) => ({ ...offer, unbegun: offer.unbegun.length })),
      queued,
    )) {
      const unbegun = offers.find((offer) => offer.peerId === peerId)?.unbegun ?? [];
      this.#recall(peerId, unbegun.slice(-count));
    }
  }

  async #grant(placements: readonly Placement[]): Promise<void> {
    const { log, clock } = this.#parts;
    const { epochId } = log.status();
    const committed = await Promise.all(
      placements.map(async (placement) => {
        const { jobId, task, peerId, incarnation } = placement;
        const command: Command = { kind: 'task.granted', jobId, task, peerId, incarnation, at: clock.now() };
        const { index, outcome } = await log.propose(command, { timeoutMs: PROPOSE_TIMEOUT_MS, signal: this.#stopped });
        return outcome.kind === 'done' ? { ...placement, fence: makeFence(epochId, index) } : undefined;
      }),
    );
    const byPeer = Map.groupBy(
      committed.filter((grant) => grant !== undefined),
      (grant) => grant.peerId,
    );
    for (const [peerId, grants] of byPeer)
      void this.#push(
        peerId,
        grants.map((grant) => grant.fence),
      );
  }

  /** Grants of this peer that it has not acknowledged: answers carry them again. */
  async undelivered(peerId: PeerId, incarnation: number): Promise<readonly PushedGrant[]> {
    const known = this.#delivered.get(peerId);
    const fences = fencesOf(this.#parts.log, peerId)
      .map(({ fence }) => fence)
      .filter((fence) => !this.#parts.roster.hasBegun(peerId, fence))
      .filter((fence) => known?.incarnation !== incarnation || !known.fences.has(fence));
    return this.#describe(peerId, fences.slice(0, 64));
  }

  /** A push that fails is no loss: the next answer to a heartbeat carries the grants again. */
  async #push(peerId: PeerId, fences: readonly Fence[]): Promise<void> {
    try {
      const grants = await this.#describe(peerId, fences);
      const options = { timeoutMs: PUSH_TIMEOUT_MS, signal: this.#stopped };
      for (const body of encodeGrants(grants))
        await this.#parts.transport.call(peerId, 'work', workMethods.grants, body, options);
      this.#acknowledged(peerId, grants);
    } catch (error) {
      const code = error instanceof SkeinError ? error.code : error;
      this.#parts.out.debug({ peerId, code }, 'grants could not be pushed; they go with the next answer');
    }
  }

  #acknowledged(peerId: PeerId, grants: readonly PushedGrant[]): void {
    const open = new Set(fencesOf(this.#parts.log, peerId).map(({ fence }) => fence));
    for (const { incarnation, fence } of grants) {
      let known = this.#delivered.get(peerId);
      if (known?.incarnation !== incarnation) known = { incarnation, fences: new Set() };
      known.fences.add(fence as Fence);
      this.#delivered.set(peerId, known);
    }
    // Bounded by what is open: closed fences are of no more interest.
    const fences = this.#delivered.get(peerId)?.fences;
    for (const fence of fences ?? []) if (!open.has(fence)) fences?.delete(fence);
  }

  async #describe(peerId: PeerId, fences: readonly Fence[]): Promise<readonly PushedGrant[]> {
    const wanted = new Set(fences);
    const holds = fencesOf(this.#parts.log, peerId).filter(({ fence }) => wanted.has(fence));
    const described: PushedGrant[] = [];
    for (const { jobId, task, fence } of holds) {
      const grant = await this.#describeOne(jobId, task, fence);
      if (grant !== undefined) described.push(grant);
    }
    return described;
  }

  async #describeOne(jobId: JobId, n: number, fence: Fence): Promise<PushedGrant | undefined> {
    const job = this.#parts.log.view.get(keys.job(jobId));
    const task = this.#parts.log.view.get(keys.task(jobId, n));
    if (job === undefined || task?.open === null || task === undefined) return undefined;
    const { items, ...spec } = job.spec;
    const entry = entryOf(job.spec, n) ?? (items === undefined ? null : await this.#fromManifest(job.spec, n, fence));
    if (entry === 'later') return undefined;
    return {
      fence,
      jobId,
      task: n,
      incarnation: task.open.incarnation,
      attempt: task.attempts.at(-1)?.n ?? 1,
      taskCount: job.taskCount,
      spec,
      ...(entry !== null && 'fault' in entry ? { entry: null, fault: entry.fault } : { entry }),
    };
  }

  /**
   * A list that is gone or unsound stays so: the holder ends the attempt with that reason. One that the disk would not give
   * now may be there for the next answer. Never a failure: the worker's lease rides in the same answer.
   */
  async #fromManifest(spec: JobSpec, n: number, fence: Fence): Promise<ItemEntry | { fault: string } | 'later'> {
    try {
      return (await inTime(this.#parts.clock, LIST_WAIT_MS, () => this.#parts.items.entry(spec, n))) ?? 'later';
    } catch (error) {
      const lasting = error instanceof SkeinError && LASTING.has(error.code);
      this.#parts.out.warn({ fence, task: n, err: error, lasting }, 'a granted task has no description');
      return lasting
        ? { fault: `the list of the job's items cannot be used: ${error.message.slice(0, 1000)}` }
        : 'later';
    }
  }

  #recall(peerId: PeerId, fences: readonly Fence[]): void {
    const now = this.#parts.clock.monotonic();
    if (fences.length === 0 || now - (this.#recalledAt.get(peerId) ?? Number.NEGATIVE_INFINITY) < RECALL_QUIET_MS)
      return;
    this.#recalledAt.set(peerId, now);
    const options = { timeoutMs: PUSH_TIMEOUT_MS, signal: this.#stopped };
    const body = recallCodec.encode({ fences: [...fences] });
    this.#parts.transport.call(peerId, 'work', workMethods.recall, body, options).catch((error: unknown) => {
      this.#parts.out.debug({ peerId, err: error }, 'a recall was not heard; the next idle slot asks again');
    });
  }
}
