// What one incarnation of a worker holds and may do: a pure state machine over pushed grants and answers.
// It decides which grant may begin, which attempt must be killed and what must be reported; worker.ts acts on it.
import { type EpochId, type Fence, parseFence } from '../../protocol/ids.ts';
import type { Begun } from '../../protocol/state/rows.ts';
import type { Answer } from '../../protocol/wire/heartbeat.ts';
import type { PushedGrant } from '../../protocol/wire/work.ts';
import { slotsOf } from '../policy/placement.ts';

export interface Held {
  readonly grant: PushedGrant;
  readonly slots: number;
  /** Wall time; null until then. */
  readonly startedAt: number | null;
  /** `returned`: given back before it began, so nobody is to be blamed for it; `ended`: its result is not settled yet. */
  readonly phase: 'unbegun' | 'begun' | 'ended' | 'returned';
}

export interface LeaseHeld {
  readonly untilMs: number;
  readonly leaseMs: number;
  readonly fences: readonly Fence[];
}

export type AnswerEffect =
  | { readonly kind: 'ignored' }
  | { readonly kind: 'dead'; readonly incarnation: number }
  | {
      readonly kind: 'renewed';
      readonly lease: LeaseHeld;
      /** Begun attempts that the log no longer grants this incarnation: to be killed, and not reported. */
      readonly kill: readonly Fence[];
      /** Granted, but told to stop before the grant arrived: to be reported as ended. */
      readonly disown: readonly PushedGrant[];
    };

export class Ledger {
  readonly incarnation: number;
  readonly #epochId: EpochId;
  readonly #slots: number;
  readonly #held = new Map<Fence, Held>();
  /** Fences not to be begun though they may still be pushed: told to stop (`open`), or settled or unlisted (`closed`). */
  readonly #spent = new Map<Fence, 'open' | 'closed'>();
  #lease: LeaseHeld | undefined;
  #dead = false;
  #answered = -1;
  /** What the log held at the highest index that an answer spoke of. */
  #appliedIndex = 0;
  #listed: ReadonlySet<Fence> = new Set();

  constructor(options: { readonly incarnation: number; readonly epochId: EpochId; readonly slots: number }) {
    this.incarnation = options.incarnation;
    this.#epochId = options.epochId;
    this.#slots = options.slots;
  }

  /** Attempts that live on from the incarnation before. */
  adopt(grant: PushedGrant, startedAt: number): void {
    this.#held.set(grant.fence as Fence, { grant, slots: this.#slotsOf(grant), startedAt, phase: 'begun' });
  }

  /** Takes grants in; a late or foreign one is dropped. @returns those that were told to stop before they came. */
  onGrants(grants: readonly PushedGrant[]): readonly PushedGrant[] {
    const disowned: PushedGrant[] = [];
    for (const grant of grants) {
      const fence = grant.fence as Fence;
      if (grant.incarnation !== this.incarnation || parseFence(fence)?.epochId !== this.#epochId) continue;
      if (this.#held.has(fence)) continue;
      if (this.#spent.get(fence) === 'open') disowned.push(grant);
      if (this.#spent.has(fence)) continue;
      // The push comes late.
      if (this.#isClosed(fence)) continue;
      this.#held.set(fence, { grant, slots: this.#slotsOf(grant), startedAt: null, phase: 'unbegun' });
    }
    return disowned;
  }

  #slotsOf(grant: PushedGrant): number {
    return slotsOf(grant.spec.needs, { slots: this.#slots });
  }

  onAnswer(answer: Answer, sentAtMs: number): AnswerEffect {
    if (answer.dead !== null && answer.dead >= this.incarnation) {
      // An answer from before the death may still be under way: it must not start anything.
      this.#dead = true;
      this.#lease = undefined;
      return { kind: 'dead', incarnation: answer.dead };
    }
    const foreign = answer.incarnation !== this.incarnation || answer.leaseMs === 0;
    if (this.#dead || foreign || answer.sequence <= this.#answered) return { kind: 'ignored' };
    this.#answered = answer.sequence;
    const kill = this.#learn(answer);
    const disown = this.onGrants(answer.grants);
    this.#lease = { untilMs: sentAtMs + answer.leaseMs, leaseMs: answer.leaseMs, fences: [...this.#listed] };
    return { kind: 'renewed', lease: this.#lease, kill, disown };
  }

  /** An answer by a gateway that had applied less renews the lease all the same, but says nothing new of the grants. */
  #learn({ appliedIndex, fences }: Answer): Fence[] {
    if (appliedIndex < this.#appliedIndex) return [];
    this.#appliedIndex = appliedIndex;
    this.#listed = new Set(fences as Fence[]);
    const kill: Fence[] = [];
    for (const [fence, held] of this.#held) {
      if (!this.#isClosed(fence)) continue;
      if (held.phase === 'unbegun') this.#held.delete(fence);
      if (held.phase === 'begun') kill.push(fence);
      this.#spent.set(fence, 'closed');
    }
    // What has closed can come no more: a push at or below the applied index is taken only where it is listed.
    for (const fence of this.#spent.keys()) {
      if (this.#isClosed(fence) && !this.#held.has(fence)) this.#spent.delete(fence);
    }
    return kill;
  }

  /** Whether the log had closed this grant by the applied index. */
  #isClosed(fence: Fence): boolean {
    return !this.#listed.has(fence) && (parseFence(fence)?.index ?? 0) <= this.#appliedIndex;
  }

  /**
   * The next grants that may begin now, in the order in which they came; they count as begun from here on.
   * @param nowMs Clock.uptime(), as the lease counts. @param startedAt wall time.
   */
  begin(nowMs: number, startedAt: number): readonly PushedGrant[] {
    if (this.#lease === undefined || nowMs >= this.#lease.untilMs) return [];
    const begun: PushedGrant[] = [];
    let free = this.#slots - this.busySlots;
    for (const [fence, held] of this.#held) {
      if (held.phase !== 'unbegun') continue;
      if (held.slots > free) break;
      free -= held.slots;
      this.#held.set(fence, { ...held, startedAt, phase: 'begun' });
      begun.push(held.grant);
    }
    return begun;
  }

  /** The attempt's tree is gone; its report is still to be settled. Frees its slots. */
  ended(fence: Fence): void {
    const held = this.#held.get(fence);
    if (held !== undefined && held.phase !== 'returned') this.#held.set(fence, { ...held, phase: 'ended' });
  }

  /** The report was committed or refused: either way the grant is closed. */
  settled(fence: Fence): void {
    this.#held.delete(fence);
    this.#spent.set(fence, 'closed');
  }

  /** Told to stop: an unbegun one is given back at once, and counts as begun even if its grant arrives later. */
  cancel(fence: Fence): 'unbegun' | 'begun' | 'unknown' {
    const held = this.#held.get(fence);
    if (!this.#spent.has(fence)) this.#spent.set(fence, 'open');
    if (held === undefined) return 'unknown';
    if (held.phase === 'unbegun') this.#held.set(fence, { ...held, phase: 'returned' });
    return held.phase === 'unbegun' ? 'unbegun' : 'begun';
  }

  /** Gives back those of them that have not begun. @returns the grants to report as ended */
  giveBack(fences: readonly Fence[]): readonly PushedGrant[] {
    return fences.flatMap((fence) => {
      const held = this.#held.get(fence);
      if (held?.phase !== 'unbegun') return [];
      this.cancel(fence);
      return [held.grant];
    });
  }

  /** Begun, but given back before anything ran. */
  returned(fences: readonly Fence[]): void {
    for (const fence of fences) {
      const held = this.#held.get(fence);
      if (held !== undefined) this.#held.set(fence, { ...held, startedAt: null, phase: 'returned' });
    }
  }

  get lease(): LeaseHeld | undefined {
    return this.#lease;
  }

  get busySlots(): number {
    let busy = 0;
    for (const held of this.#held.values()) if (held.phase === 'begun') busy += held.slots;
    return busy;
  }

  get(fence: Fence): Held | undefined {
    return this.#held.get(fence);
  }

  /** Begun and not settled: the list that heartbeats carry. */
  begun(): readonly Begun[] {
    return [...this.#held].flatMap(([fence, { phase, startedAt }]) =>
      startedAt !== null && (phase === 'begun' || phase === 'ended') ? [[fence, startedAt] as const] : [],
    );
  }

  unbegun(): readonly Fence[] {
    return [...this.#held].filter(([, held]) => held.phase === 'unbegun').map(([fence]) => fence);
  }
}
