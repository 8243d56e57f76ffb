// Commands that were handed in and not yet answered: first in a queue, then in the log under an index. Where a failure
// finds one decides what its caller may be told: not proposed, or not known.
import { SkeinError } from '../../protocol/errors.ts';
import type { Command, Outcome } from '../../protocol/state/command.ts';
import { commandMaxBytes } from '../../protocol/wire/raft.ts';
import type { Applied } from './log.ts';
import { expire, Waiter, type WaitOptions } from './waiting.ts';

const WAITING_MAX = 8_192;
const SUBMISSION_MAX_BYTES = 64 * 1024;

export class Proposal extends Waiter<Applied> {
  readonly command: Command;
  readonly sizeBytes: number;

  constructor(command: Command, sizeBytes: number, options: WaitOptions, nowMs: number) {
    super(options, nowMs);
    this.command = command;
    this.sizeBytes = sizeBytes;
  }
}

export class Proposals {
  #queue: Proposal[] = [];
  /** By log index, with the term in which it was proposed. */
  readonly #inLog = new Map<number, { readonly proposal: Proposal; readonly term: number }>();
  #committed: { readonly proposal: Proposal; readonly applied: Applied }[] = [];

  /** Fails with `too-busy` or `too-large`, or with the signal's reason when that has fired already. */
  add(command: Command, options: WaitOptions, nowMs: number): Promise<Applied> {
    const sizeBytes = Buffer.byteLength(JSON.stringify(command));
    const maxBytes = command.kind === 'job.submitted' ? SUBMISSION_MAX_BYTES : commandMaxBytes;
    if (sizeBytes > maxBytes) throw tooLarge(command, { sizeBytes, maxBytes });
    if (this.#queue.length + this.#inLog.size + this.#committed.length >= WAITING_MAX) throw tooBusy();
    const proposal = new Proposal(command, sizeBytes, options, nowMs);
    if (!proposal.settled) this.#queue.push(proposal);
    return proposal.promise;
  }

  /** A command that has its place in the log already. */
  follow(
    index: number,
    term: number,
    { command, options }: { readonly command: Command; readonly options: WaitOptions },
    nowMs: number,
  ): Promise<Applied> {
    const proposal = new Proposal(command, 0, options, nowMs);
    this.onProposed(proposal, index, term);
    return proposal.promise;
  }

  /** The next ones that still wait, at most so many and so large together (but one at least). */
  takeQueued(limits: { readonly count: number; readonly sizeBytes: number }): Proposal[] {
    const taken: Proposal[] = [];
    let sizeBytes = 0;
    let at = 0;
    for (; at < this.#queue.length && taken.length < limits.count; at++) {
      const next = this.#queue[at] as Proposal;
      if (next.settled) continue;
      sizeBytes += next.sizeBytes;
      if (taken.length > 0 && sizeBytes > limits.sizeBytes) break;
      taken.push(next);
    }
    if (at > 0) this.#queue = this.#queue.slice(at);
    return taken;
  }

  onProposed(proposal: Proposal, index: number, term: number): void {
    this.#inLog.set(index, { proposal, term });
  }

  /** Handed to the leader and not proposed by it: they wait on, before all others. */
  requeue(proposals: readonly Proposal[]): void {
    if (proposals.length > 0) this.#queue = [...proposals.filter((one) => !one.settled), ...this.#queue];
  }

  /** The leader has it in the log, committed; its caller is answered once this replica has applied it too. */
  onCommitted(proposal: Proposal, applied: Applied): void {
    this.#committed.push({ proposal, applied });
  }

  /** All up to `appliedIndex` is applied here. */
  release(appliedIndex: number): void {
    if (this.#committed.length === 0) return;
    for (const { proposal, applied } of this.#committed) if (applied.index <= appliedIndex) proposal.resolve(applied);
    this.#committed = this.#committed.filter(({ proposal }) => !proposal.settled);
  }

  /** A snapshot took the place of these entries: whether they were in it nobody can tell. */
  onReplaced(index: number): void {
    for (const [at, { proposal }] of this.#inLog) {
      if (at > index) continue;
      this.#inLog.delete(at);
      proposal.reject(outcomeUnknown('a snapshot came instead of its entry'));
    }
  }

  onApplied(entry: { readonly index: number; readonly term: number }, outcome: Outcome | undefined): void {
    const found = this.#inLog.get(entry.index);
    if (found === undefined) return;
    this.#inLog.delete(entry.index);
    if (found.term === entry.term && outcome !== undefined) found.proposal.resolve({ index: entry.index, outcome });
    else found.proposal.reject(replaced());
  }

  /** @param queuedError why those that were never proposed got no further. */
  expire(nowMs: number, queuedError: () => SkeinError): void {
    this.#queue = expire(this.#queue, nowMs, queuedError);
    for (const { proposal } of this.#inLog.values()) {
      if (proposal.deadlineMs <= nowMs) proposal.reject(outcomeUnknown('no majority has kept it in time'));
    }
    for (const { proposal } of this.#committed) {
      if (proposal.deadlineMs <= nowMs) proposal.reject(outcomeUnknown('this gateway did not catch up in time'));
    }
  }

  rejectQueued(error: SkeinError): void {
    for (const proposal of this.#queue) proposal.reject(error);
    this.#queue = [];
  }

  rejectInLog(error: SkeinError): void {
    for (const { proposal } of [...this.#inLog.values(), ...this.#committed]) proposal.reject(error);
    this.#inLog.clear();
    this.#committed = [];
  }
}

export function outcomeUnknown(why: string, cause?: unknown): SkeinError {
  return new SkeinError('outcome-unknown', `The command was proposed, but whether it holds is not known: ${why}.`, {
    cause,
    fix: 'Ask again with the same idempotency key: it is done once at most.',
  });
}

function replaced(): SkeinError {
  return new SkeinError('no-leader', 'Another leader took over before the command was committed; it was dropped.', {
    fix: 'Try again.',
  });
}

function tooBusy(): SkeinError {
  return new SkeinError('too-busy', `More than ${WAITING_MAX} commands wait for the log.`, {
    fix: 'Try again in a moment.',
    retryAfterMs: 1_000,
  });
}

function tooLarge(command: Command, size: { readonly sizeBytes: number; readonly maxBytes: number }): SkeinError {
  return new SkeinError(
    'too-large',
    `A ${command.kind} of ${size.sizeBytes} bytes is larger than the ${size.maxBytes} that the log takes.`,
    { fix: 'Keep large lists in a manifest blob.' },
  );
}
