// `step` is total: whatever has the form of a message changes little or much, but throws nothing. Seeded: SEED=n replays.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { seededRandom } from '../../../node/clock.ts';
import { COUNT_MAX, type Configuration, type Entry, type Message } from '../../../protocol/raft/message.ts';
import { between, type Random } from '../../../protocol/random.ts';
import { Cluster, epochId } from './cluster.ts';
import { command, printMessage } from './notation.ts';

const SEEDS = Number(process.env.SEEDS ?? 200);
const STEPS = 200;

class Dice {
  readonly #random: Random;
  constructor(random: Random) {
    this.#random = random;
  }

  pick<T>(from: readonly T[]): T {
    return from[between(this.#random, 0, from.length - 1)] as T;
  }
  upTo(max: number): number {
    return between(this.#random, 0, max);
  }
  chance(of: number): boolean {
    return this.#random.next() < of;
  }
  /** Mostly near what the logs hold, at times anything. */
  count(): number {
    return this.chance(0.97) ? this.upTo(8) : this.pick([1e6, 2 ** 40, COUNT_MAX]);
  }

  configuration(): Configuration {
    const of = (least: number) => Array.from({ length: least + this.upTo(3) }, () => 1 + this.upTo(6));
    return { voters: [...new Set(of(1))], learners: [...new Set(of(0))] };
  }

  entries(prevIndex: number): Entry[] {
    let term = this.upTo(4);
    return Array.from({ length: this.upTo(4) }, (_, n) => {
      if (this.chance(0.2)) term++;
      const place = { index: prevIndex + 1 + (this.chance(0.95) ? n : this.upTo(5)), term };
      if (this.chance(0.2)) return { ...place, kind: 'configuration', configuration: this.configuration(), data: null };
      return this.chance(0.5) ? { ...place, kind: 'noop' } : { ...place, kind: 'command', data: command('x') };
    });
  }

  message(): Message {
    const envelope = { epochId, from: 1 + this.upTo(6), to: 1, term: this.count() };
    const last = { lastIndex: this.count(), lastTerm: this.count() };
    const prevIndex = this.count();
    const ok = this.chance(0.5);
    return this.pick<() => Message>([
      () => ({ ...envelope, kind: 'pre-vote', nextTerm: this.count(), ...last }),
      () => ({ ...envelope, kind: 'pre-vote.answer', nextTerm: this.count(), granted: ok }),
      () => ({ ...envelope, kind: 'vote', ...last, transfer: ok }),
      () => ({ ...envelope, kind: 'vote.answer', granted: this.chance(0.8) }),
      () => {
        const entries = this.entries(prevIndex);
        return { ...envelope, kind: 'append', prevIndex, prevTerm: this.upTo(4), entries, commit: this.count() };
      },
      () => ({ ...envelope, kind: 'append.answer', ok: true, matchIndex: this.count() }),
      () => {
        const hint = { hintIndex: this.count(), hintTerm: this.count() };
        return { ...envelope, kind: 'append.answer', ok: false, prevIndex, ...hint };
      },
      () => ({ ...envelope, kind: 'heartbeat', commit: this.count(), round: this.count() }),
      () => ({ ...envelope, kind: 'heartbeat.answer', round: this.count() }),
      () => {
        const snapshot = { index: this.count(), term: this.count(), configuration: this.configuration() };
        return { ...envelope, kind: 'snapshot', snapshot };
      },

      // It ends all campaigns, so that more would leave little to see.
      () => ({ ...envelope, kind: this.chance(0.03) ? 'not-member' : 'timeout-now', appliedIndex: this.count() }),
    ])();
  }
}

const seen = new Set<string>();

/** One node among senders of nonsense; what lies they agree on, the shell's part must survive too. */
function babble(seed: string): void {
  const dice = new Dice(seededRandom(seed));
  const cluster = new Cluster(seededRandom(`${seed}/core`), { batchMax: 3, batchMaxBytes: 3, inflightMax: 2 });
  const node = cluster.add(1, { voters: dice.pick([[1], [1, 2], [1, 2, 3]]), learners: dice.pick([[], [4]]) });
  const raft = node.raft as NonNullable<typeof node.raft>;
  for (let step = 0; step < STEPS; step++) {
    const message = { ...dice.message(), ...(dice.chance(0.5) ? { term: raft.term } : {}) };
    try {
      raft.step(message);
    } catch (error) {
      throw new Error(`SEED=${seed}: ${printMessage(message)}`, { cause: error });
    }
    seen.add(raft.state);
    if (dice.chance(0.3)) raft.tick();
    if (dice.chance(0.1)) raft.propose(command('p'));
    if (dice.chance(0.1)) raft.readIndex(step);
    if (dice.chance(0.1)) raft.changeMembership(dice.pick([{ kind: 'add-learner' }, { kind: 'remove', voterId: 2 }]));
    if (dice.chance(0.1)) raft.transferTo(1 + dice.upTo(4));
    if (dice.chance(0.1)) raft.onUnreachable(1 + dice.upTo(4));
    if (dice.chance(0.1)) raft.onSnapshotSent(1 + dice.upTo(4), dice.pick([undefined, dice.upTo(9)]));
    for (let ready = raft.ready(); ready !== undefined; ready = raft.ready()) {
      node.unsynced.push({ ready, applied: 0 });
      if (dice.chance(0.3)) break;
    }
    while (dice.chance(0.7)) {
      const oldest = node.unsynced.shift();
      if (oldest === undefined) break;
      node.persist(oldest.ready);
      raft.advance(oldest.ready);
    }
  }
}

test('no message makes a core throw', () => {
  const only = process.env.SEED;
  const seeds = only === undefined ? Array.from({ length: SEEDS }, (_, n) => String(n)) : [only];
  for (const seed of seeds) babble(seed);
  if (only === undefined) assert.equal([...seen].sort(), ['candidate', 'follower', 'leader', 'precandidate']);
});

test.run();
