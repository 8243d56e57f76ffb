// What a leader knows of one other replica's log, and how much it may send unanswered.

export interface WindowLimits {
  /** Appends under way to one follower, and their bytes; a further one waits for an answer. */
  readonly inflightMax: number;
  readonly inflightMaxBytes: number;
}

interface Inflight {
  readonly lastIndex: number;
  readonly sizeBytes: number;
}

/**
 * `probe`: one append at a time until the place where the logs agree is found. `replicate`: they are pipelined.
 * `snapshot`: what it lacks is kept no longer; it waits for the shell to send all of it.
 */
export type ProgressState = 'probe' | 'replicate' | 'snapshot';

export class Progress {
  readonly #limits: WindowLimits;
  #state: ProgressState = 'probe';
  /** The log is known to agree up to here. */
  #match = 0;
  #next: number;
  /** The latest quorum round that was answered. */
  #round = 0;
  /** Heard from since the leader last counted its quorum. */
  #active = false;
  /** A probe, or a snapshot that failed, waits for a sign of life. */
  #paused = false;
  #inflight: Inflight[] = [];
  /** There is something to say, if only the commit index: an append is due as soon as the window allows one. */
  isDue = true;

  constructor(next: number, limits: WindowLimits) {
    this.#next = next;
    this.#limits = limits;
  }

  get state(): ProgressState {
    return this.#state;
  }
  get match(): number {
    return this.#match;
  }
  get next(): number {
    return this.#next;
  }
  get round(): number {
    return this.#round;
  }
  get isActive(): boolean {
    return this.#active;
  }

  get maySend(): boolean {
    if (this.#state === 'snapshot') return false;
    if (this.#state === 'probe') return !this.#paused;
    return this.#inflight.length < this.#limits.inflightMax && this.#inflightBytes < this.#limits.inflightMaxBytes;
  }

  get #inflightBytes(): number {
    return this.#inflight.reduce((sum, one) => sum + one.sizeBytes, 0);
  }

  onSent(sent: { readonly lastIndex: number; readonly count: number; readonly sizeBytes: number }): void {
    if (this.#state === 'probe') {
      this.#paused = true;
    } else if (sent.count > 0) {
      this.#next = sent.lastIndex + 1;
      this.#inflight.push({ lastIndex: sent.lastIndex, sizeBytes: sent.sizeBytes });
    }
  }

  onSnapshotDue(): void {
    this.#enter('snapshot');
  }

  /**
   * @param continues whether the log still holds what follows `matchIndex`.
   * @returns whether the follower is further than was known.
   */
  onAccepted(matchIndex: number, continues: boolean): boolean {
    this.#active = true;
    const grown = matchIndex > this.#match;
    this.#match = Math.max(this.#match, matchIndex);
    this.#inflight = this.#inflight.filter((one) => one.lastIndex > matchIndex);
    if (this.#state === 'probe' || (this.#state === 'snapshot' && continues)) {
      this.#enter('replicate');
      this.#next = this.#match + 1;
    }
    this.#next = Math.max(this.#next, this.#match + 1);
    return grown;
  }

  /** @returns false for an answer that is too late to mean anything. */
  onRefused(prevIndex: number, agreeIndex: number): boolean {
    this.#active = true;
    if (this.#state === 'snapshot' || prevIndex <= this.#match) return false;
    if (this.#state === 'probe' && prevIndex !== this.#next - 1) return false;
    this.#probeFrom(Math.min(prevIndex, agreeIndex + 1));
    return true;
  }

  /** The follower lives: whatever was sent and not answered may have been lost. */
  onHeard(round: number): void {
    this.#active = true;
    this.#round = Math.max(this.#round, round);
    this.#paused = false;
    // One append makes room, in case the whole window was lost.
    if (this.#state === 'replicate' && !this.maySend) this.#inflight.shift();
  }

  /** What was sent to it last did not arrive. */
  onUnreachable(): void {
    if (this.#state === 'replicate') this.#probeFrom(this.#match + 1);
  }

  /** @param index undefined where the snapshot did not arrive: another follows once the follower is heard of. */
  onSnapshotSent(index: number | undefined): void {
    if (this.#state !== 'snapshot') return;
    this.#probeFrom((index ?? this.#match) + 1);
    this.#paused = index === undefined;
  }

  /** @returns whether it was heard from since this was asked last. */
  takeActive(): boolean {
    const was = this.#active;
    this.#active = false;
    return was;
  }

  #probeFrom(next: number): void {
    this.#enter('probe');
    this.#next = Math.max(next, this.#match + 1);
  }

  #enter(state: ProgressState): void {
    this.#state = state;
    this.#paused = false;
    this.#inflight = [];
  }
}
