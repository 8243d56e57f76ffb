// Linearizable reads (ReadIndex: dissertation, 6.4). Quorum rounds are numbered and ride in heartbeats; a read needs one
// that began after it was asked. All reads asked until a round begins share it.
import type { ReadState } from './ready.ts';

export class Reads {
  #round = 0;
  #waiting: (ReadState & { readonly round: number })[] = [];
  /** Asked before the leader knew what was committed before its term. */
  #early: number[] = [];

  /** The latest round that began. */
  get round(): number {
    return this.#round;
  }

  get needsRound(): boolean {
    return (this.#waiting.at(-1)?.round ?? 0) > this.#round;
  }

  beginRound(): void {
    this.#round++;
  }

  add(read: ReadState): void {
    this.#waiting.push({ ...read, round: this.#round + 1 });
  }

  addEarly(context: number): void {
    this.#early.push(context);
  }

  takeEarly(): readonly number[] {
    return this.#early.splice(0);
  }

  /** Those whose round a quorum has answered. */
  takeConfirmed(round: number): readonly ReadState[] {
    const count = this.#waiting.findIndex((read) => read.round > round);
    const due = this.#waiting.splice(0, count === -1 ? this.#waiting.length : count);
    return due.map(({ context, index }) => ({ context, index }));
  }
}
