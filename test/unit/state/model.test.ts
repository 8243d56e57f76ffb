// Thousands of random commands against `apply`, sensible and senseless ones mixed, with the invariants checked after each.
// A failure names its seed: SEED=… runs that one alone.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { seededRandom } from '../../../node/clock.ts';
import { type Fence, type JobId, makeFence, type PeerId } from '../../../protocol/ids.ts';
import { between, type Random } from '../../../protocol/random.ts';
import type { Effect } from '../../../protocol/state/apply.ts';
import type { Command } from '../../../protocol/state/command.ts';
import { headOf } from '../../../protocol/state/queue.ts';
import { keys, type TaskState } from '../../../protocol/state/rows.ts';
import {
  ANN,
  adopted,
  BOB,
  CAT,
  cancelled,
  checkJob,
  checkPeer,
  dead,
  draining,
  ended,
  finished,
  granted,
  job,
  joined,
  meshOf,
  resultOf,
  retried,
  type State,
  submitted,
  ticketCreated,
} from '../../support/state.ts';

const SEEDS =
  process.env.SEED === undefined ? Array.from({ length: 12 }, (_, at) => `apply-${at}`) : [process.env.SEED];
const STEPS = 1_000;
const peers = [ANN, BOB, CAT] as const;
const jobs = [1, 2, 3, 4].map(job);
const TICKET = 'ticket-for-all';
const reasons = ['unbegun', 'drained', 'cancelled', 'runner-died', 'lease-lapsed', 'intact', 'intact'] as const;

/** Draws commands that mostly make sense and sometimes name what is over, foreign or not there. */
class Dice {
  readonly random: Random;
  readonly state: State;
  readonly fences: { fence: Fence; jobId: JobId; task: number; peerId: PeerId; incarnation: number }[] = [];

  constructor(random: Random, state: State) {
    this.random = random;
    this.state = state;
  }

  chance(odds: number): boolean {
    return this.random.next() < odds;
  }

  pick<T>(of: readonly T[]): T {
    return of[between(this.random, 0, of.length - 1)] as T;
  }

  some<T>(of: readonly T[], odds: number): T[] {
    return of.filter(() => this.chance(odds));
  }

  command(): Command {
    const roll = this.random.next();
    if (roll < 0.08) return this.submit();
    if (roll < 0.42) return this.grant();
    if (roll < 0.6) return this.finish();
    if (roll < 0.72) return ended(this.named(), this.pick(reasons));
    if (roll < 0.78) return this.die();
    if (roll < 0.86) return this.adopt();
    if (roll < 0.88) return draining(this.pick(peers), this.chance(0.3));
    if (roll < 0.93) return this.cancel();
    if (roll < 0.98) return this.retry();
    if (roll < 0.99) return this.rejoin();
    return { kind: 'job.dropped', jobId: this.pick(jobs), at: 0 };
  }

  submit(): Command {
    const spec = {
      ...(this.chance(0.5) ? { retries: between(this.random, 0, 2) } : {}),
      ...(this.chance(0.3) ? { retryOn: [75] } : {}),
      ...(this.chance(0.3) ? { maxLost: between(this.random, 0, 2) } : {}),
      ...(this.chance(0.3) ? { maxFails: between(this.random, 0, 2) } : {}),
    };
    return submitted(this.pick(jobs), between(this.random, 1, 9), spec);
  }

  grant(): Command {
    const jobId = this.pick(jobs);
    const progress = this.state.view.get(keys.progress(jobId));
    const [first] = progress === undefined ? [] : headOf(progress, this.state.job(jobId).taskCount, 1);
    const task = first !== undefined && this.chance(0.8) ? first : between(this.random, 0, 10);
    const peerId = this.pick(peers);
    return granted(jobId, task, peerId, this.state.incarnation(peerId) - (this.chance(0.1) ? 1 : 0));
  }

  /** A grant that was once given: open, closed, moved, or named by the wrong peer. */
  named() {
    const recent = this.fences.slice(-12);
    const known = recent.length === 0 ? undefined : this.pick(recent);
    if (known === undefined) {
      return { fence: makeFence(this.state.epochId, 1), jobId: job(1), task: 1, peerId: ANN, incarnation: 1 };
    }
    const peerId = this.chance(0.05) ? this.pick(peers) : known.peerId;
    return { ...known, peerId, incarnation: this.chance(0.9) ? this.state.incarnation(peerId) : known.incarnation };
  }

  finish(): Command {
    return finished(this.named(), resultOf(this.pick([0, 0, 0, 1, 75])));
  }

  die(): Command {
    const peerId = this.pick(peers);
    const incarnation = this.state.incarnation(peerId) - (this.chance(0.2) ? 1 : 0);
    return dead(peerId, incarnation, this.some(this.state.fences(peerId), 0.7));
  }

  adopt(): Command {
    const peerId = this.pick(peers);
    const incarnation = this.state.incarnation(peerId) + between(this.random, 0, 2);
    const foreign = this.some(this.fences.slice(-5), 0.3).map(({ fence }) => fence);
    const held = this.state.fences(peerId);
    return adopted(peerId, incarnation, [...this.some(held, 0.6), ...foreign], this.some(held, 0.7));
  }

  cancel(): Command {
    const from = between(this.random, 0, 9);
    return cancelled(this.pick(jobs), this.chance(0.5) ? null : [from, from + between(this.random, 0, 4)]);
  }

  retry(): Command {
    const named = Array.from({ length: between(this.random, 0, 3) }, () => between(this.random, 1, 9));
    return retried(this.pick(jobs), this.chance(0.4) ? named : this.pick(['failed', 'all']));
  }

  rejoin(): Command {
    const peerId = this.pick(peers);
    if (this.chance(0.3)) return { kind: 'member.left', peerId, at: 0 };
    return joined(peerId, this.pick([TICKET, `ticket-of-${peerId}`]));
  }

  remember(command: Command, effect: Effect): void {
    if (command.kind !== 'task.granted' || effect.outcome.kind !== 'done') return;
    const { jobId, task, peerId, incarnation } = command;
    this.fences.push({ fence: makeFence(this.state.epochId, this.state.index), jobId, task, peerId, incarnation });
  }
}

type TaskStates = ReadonlyMap<string, TaskState>;

function taskStates(state: State): TaskStates {
  const found = new Map<string, TaskState>();
  for (const jobId of jobs) {
    const row = state.view.get(keys.job(jobId));
    for (let n = 1; n <= (row?.taskCount ?? 0); n++) found.set(`${jobId}/${n}`, state.taskState(jobId, n));
  }
  return found;
}

/** What a single command may do to a task. */
function checkMoves(before: TaskStates, after: TaskStates, command: Command): void {
  for (const [key, was] of before) {
    const is = after.get(key);
    if (is === undefined || is === was) continue;
    if (was === 'completed' || was === 'failed' || was === 'cancelled') {
      assert.is(command.kind, 'job.retried', `${key} went from ${was} to ${is}`);
      assert.is(is, 'queued');
    }
    if (is === 'running') assert.is(command.kind, 'task.granted', `${key} runs without a grant`);
    if (is === 'completed') assert.is(command.kind, 'task.finished', `${key} completed without a finish`);
  }
}

/** Counts the results that each run of a task publishes. */
class Published {
  readonly #completed = new Map<string, number>();

  check(command: Command, effect: Effect): void {
    if (effect.outcome.kind !== 'done') return;
    if (command.kind === 'job.retried' || command.kind === 'job.dropped') this.#newRun(command);
    if (command.kind !== 'task.finished' || effect.outcome.answer.state !== 'completed') return;
    const key = `${command.jobId}/${command.task}`;
    const times = (this.#completed.get(key) ?? 0) + 1;
    this.#completed.set(key, times);
    assert.is(times, 1, `${key} published a second result in one run`);
  }

  #newRun(command: Extract<Command, { kind: 'job.retried' | 'job.dropped' }>): void {
    const named = command.kind === 'job.retried' && typeof command.tasks === 'object' ? command.tasks : undefined;
    for (const key of this.#completed.keys()) {
      const [jobId, task] = key.split('/');
      if (jobId === command.jobId && (named?.includes(Number(task)) ?? true)) this.#completed.delete(key);
    }
  }
}

function play(seed: string): Map<string, number> {
  const state = meshOf(...peers);
  state.done(ticketCreated(TICKET, { uses: STEPS }));
  const dice = new Dice(seededRandom(seed), state);
  const published = new Published();
  const done = new Map<string, number>();
  for (let step = 0; step < STEPS; step++) {
    const before = taskStates(state);
    const command = dice.command();
    try {
      const effect = state.apply(command);
      dice.remember(command, effect);
      if (effect.outcome.kind === 'done') done.set(command.kind, (done.get(command.kind) ?? 0) + 1);
      for (const jobId of jobs) if (state.view.get(keys.job(jobId)) !== undefined) checkJob(state, jobId);
      for (const peerId of peers) checkPeer(state, peerId);
      checkMoves(before, taskStates(state), command);
      published.check(command, effect);
    } catch (error) {
      throw new Error(`SEED=${seed}, step ${step}: ${(error as Error).message}\nafter ${JSON.stringify(command)}`, {
        cause: error,
      });
    }
  }
  return done;
}

for (const seed of SEEDS) {
  test(`random commands keep the invariants of the rows (${seed})`, () => {
    const done = play(seed);
    // A run in which these were never accepted would prove nothing.
    const kinds = ['job.submitted', 'task.granted', 'task.finished', 'task.ended', 'member.dead', 'member.adopted'];
    for (const kind of [...kinds, 'job.cancelled', 'job.retried']) {
      assert.ok((done.get(kind) ?? 0) > 0, `${kind} was never accepted`);
    }
  });
}

test('the same seed gives the same run', () => {
  assert.equal(play('again'), play('again'));
});

test.run();
