// What a leader knows of one other voter's log, and how much it may send unanswered.

/** Appends under way to one follower; a further one waits for an answer. */
const INFLIGHT_MAX = 64;

export class Progress {
  /** The log is known to agree up to here. */
  match = 0;
  next: number;
  /** The latest quorum round that was answered. */
  round = 0;
  /** Probing: one append at a time until the place where the logs agree is found. Otherwise they are pipelined. */
  #probing = true;
  #probeSent = false;
  #inflight: number[] = [];

  constructor(next: number) {
    this.next = next;
  }

  get maySend(): boolean {
    return this.#probing ? !this.#probeSent : this.#inflight.length < INFLIGHT_MAX;
  }

  onSent(lastIndex: number, count: number): void {
    if (this.#probing) {
      this.#probeSent = true;
    } else if (count > 0) {
      this.next = lastIndex + 1;
      this.#inflight.push(lastIndex);
    }
  }

  /** @returns whether the follower is further than was known. */
  onAccepted(matchIndex: number): boolean {
    this.#inflight = this.#inflight.filter((index) => index > matchIndex);
    const grown = matchIndex > this.match;
    this.match = Math.max(this.match, matchIndex);
    if (this.#probing) {
      this.#probing = false;
      this.#probeSent = false;
      this.next = this.match + 1;
    }
    this.next = Math.max(this.next, this.match + 1);
    return grown;
  }

  /** @returns false for an answer that is too late to mean anything. */
  onRefused(prevIndex: number, agreeIndex: number): boolean {
    if (prevIndex <= this.match) return false;
    if (this.#probing && prevIndex !== this.next - 1) return false;
    this.next = Math.max(Math.min(prevIndex, agreeIndex + 1), this.match + 1);
    this.#probing = true;
    this.#probeSent = false;
    this.#inflight = [];
    return true;
  }

  /** The follower lives: whatever was sent and not answered may have been lost. */
  onHeard(round: number): void {
    this.round = Math.max(this.round, round);
    this.#probeSent = false;
    if (this.#inflight.length >= INFLIGHT_MAX) this.#inflight.shift();
  }
}
