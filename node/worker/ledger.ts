// What one incarnation of a worker holds and may do: a pure state machine over pushed grants and answers.
// It decides which grant may begin, which attempt must be killed and what must be reported; worker.ts acts on it.
import { type EpochId, type Fence, parseFence } from '../../protocol/ids.ts';
import type { Answer } from '../../protocol/wire/heartbeat.ts';
import type { PushedGrant } from '../../protocol/wire/work.ts';
import { slotsOf } from '../policy/placement.ts';

export interface Held {
  readonly grant: PushedGrant;
  readonly slots: number;
  readonly phase: 'unbegun' | 'begun' | 'ended';
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
  /** Fences that may never begin (again), with the log index at which each closed where that is known. */
  readonly #spent = new Map<Fence, number | null>();
  #lease: LeaseHeld | undefined;
  #answered = -1;
  #appliedIndex = 0;
  #listed = new Set<Fence>();

  constructor(options: { readonly incarnation: number; readonly epochId: EpochId; readonly slots: number }) {
    this.incarnation = options.incarnation;
    this.#epochId = options.epochId;
    this.#slots = options.slots;
  }

  /** Attempts that live on from the incarnation before. */
  adopt(grant: PushedGrant, phase: 'begun' | 'ended'): void {
    this.#held.set(grant.fence as Fence, { grant, slots: this.#slotsOf(grant), phase });
  }

  /** Takes grants in; a late or foreign one is dropped. @returns those that were told to stop before they came. */
  onGrants(grants: readonly PushedGrant[]): readonly PushedGrant[] {
    const disowned: PushedGrant[] = [];
    for (const grant of grants) {
      const fence = grant.fence as Fence;
      const parsed = parseFence(fence);
      if (grant.incarnation !== this.incarnation || parsed?.epochId !== this.#epochId) continue;
      if (this.#held.has(fence)) continue;
      if (this.#spent.get(fence) === null) disowned.push(grant);
      if (this.#spent.has(fence)) continue;
      // The log had closed this one when the last answer was given: the push comes late.
      if (parsed.index <= this.#appliedIndex && !this.#listed.has(fence)) continue;
      this.#held.set(fence, { grant, slots: this.#slotsOf(grant), phase: 'unbegun' });
    }
    return disowned;
  }

  #slotsOf(grant: PushedGrant): number {
    return slotsOf(grant.spec.needs, { slots: this.#slots });
  }

  onAnswer(answer: Answer, sentAtMs: number): AnswerEffect {
    if (answer.dead !== null && answer.dead >= this.incarnation) return { kind: 'dead', incarnation: answer.dead };
    if (answer.incarnation !== this.incarnation || answer.sequence <= this.#answered || answer.leaseMs === 0) {
      return { kind: 'ignored' };
    }
    this.#answered = answer.sequence;
    this.#appliedIndex = Math.max(this.#appliedIndex, answer.appliedIndex);
    this.#listed = new Set(answer.fences as Fence[]);
    const kill = this.#closeUnlisted(answer.appliedIndex);
    this.#forgetSpent(answer.appliedIndex);
    const disown = this.onGrants(answer.grants);
    this.#lease = { untilMs: sentAtMs + answer.leaseMs, leaseMs: answer.leaseMs, fences: [...this.#listed] };
    return { kind: 'renewed', lease: this.#lease, kill, disown };
  }

  #closeUnlisted(appliedIndex: number): Fence[] {
    const kill: Fence[] = [];
    for (const [fence, held] of this.#held) {
      if (this.#listed.has(fence) || (parseFence(fence)?.index ?? 0) > appliedIndex) continue;
      if (held.phase === 'unbegun') this.#held.delete(fence);
      if (held.phase === 'begun') kill.push(fence);
      this.#spent.set(fence, appliedIndex);
    }
    return kill;
  }

  /** What is closed at or below `n` can come no more: pushes at or below the applied index must be listed. */
  #forgetSpent(appliedIndex: number): void {
    for (const [fence, closedAt] of this.#spent) {
      const gone = !this.#listed.has(fence) && !this.#held.has(fence);
      if (gone && closedAt !== null && closedAt <= appliedIndex) this.#spent.delete(fence);
    }
  }

  /** The next grants that may begin now, in the order of their fences; they count as begun from here on. */
  begin(nowMs: number): readonly PushedGrant[] {
    if (this.#lease === undefined || nowMs >= this.#lease.untilMs) return [];
    const begun: PushedGrant[] = [];
    let free = this.#slots - this.busySlots;
    for (const [fence, held] of this.#held) {
      if (held.phase !== 'unbegun') continue;
      if (held.slots > free) break;
      free -= held.slots;
      this.#held.set(fence, { ...held, phase: 'begun' });
      this.#spent.set(fence, null);
      begun.push(held.grant);
    }
    return begun;
  }

  /** The attempt's tree is gone; its report is still to be settled. Frees its slots. */
  ended(fence: Fence): void {
    const held = this.#held.get(fence);
    if (held !== undefined) this.#held.set(fence, { ...held, phase: 'ended' });
  }

  /** The report was committed at `index`, or refused (null). */
  settled(fence: Fence, index: number | null): void {
    this.#held.delete(fence);
    this.#spent.set(fence, index ?? this.#appliedIndex);
  }

  /** Told to stop: an unbegun one is given back at once, and counts as begun even if its grant arrives later. */
  cancel(fence: Fence): 'unbegun' | 'begun' | 'unknown' {
    const held = this.#held.get(fence);
    if (!this.#spent.has(fence)) this.#spent.set(fence, null);
    if (held === undefined) return 'unknown';
    if (held.phase === 'unbegun') this.#held.set(fence, { ...held, phase: 'ended' });
    return held.phase === 'unbegun' ? 'unbegun' : 'begun';
  }

  /** Gives back up to `count` unbegun grants, the last granted first. */
  giveBack(fences: readonly Fence[]): readonly PushedGrant[] {
    return fences.flatMap((fence) => {
      const held = this.#held.get(fence);
      if (held?.phase !== 'unbegun') return [];
      this.cancel(fence);
      return [held.grant];
    });
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
  begun(): readonly Fence[] {
    return [...this.#held].filter(([, held]) => held.phase !== 'unbegun').map(([fence]) => fence);
  }

  unbegun(): readonly Fence[] {
    return [...this.#held].filter(([, held]) => held.phase === 'unbegun').map(([fence]) => fence);
  }
}
