// When an attempt must freeze and when it must die, by its lease alone. Pure: the runner and the fake both ask here.

/** Times are of a clock that counts suspend, ms. */
export interface Lease {
  /** Where it lapses. */
  readonly untilMs: number;
  /** Its whole length. */
  readonly leaseMs: number;
}

const FREEZE_AT = 0.8;
const KILL_AT = 0.9;
/** What a freeze that began late (the machine slept) is given to be confirmed, as a part of the lease. */
const LATE_FREEZE = 0.02;

export type LeasePhase =
  | { readonly kind: 'running' }
  | { readonly kind: 'freezing'; readonly sinceMs: number }
  | { readonly kind: 'frozen' };

/** An attempt may run before this time and not from it on. */
export function freezeAt(lease: Lease): number {
  return lease.untilMs - lease.leaseMs * (1 - FREEZE_AT);
}

/** A freeze that began at `sinceMs` must be confirmed before this time. */
export function killAt(lease: Lease, sinceMs: number): number {
  const due = lease.untilMs - lease.leaseMs * (1 - KILL_AT);
  // Whoever slept through it all freezes first of all on waking: a closed lid must cost no work.
  return sinceMs < due ? due : sinceMs + lease.leaseMs * LATE_FREEZE;
}

export function leaseVerdict(lease: Lease, phase: LeasePhase, nowMs: number): 'nothing' | 'freeze' | 'kill' {
  if (phase.kind === 'running') return nowMs >= freezeAt(lease) ? 'freeze' : 'nothing';
  if (phase.kind === 'freezing') return nowMs >= killAt(lease, phase.sinceMs) ? 'kill' : 'nothing';
  return 'nothing';
}

/** How often to look: timers stand still while the machine sleeps, so one long timer would wake too late. */
export function checkEveryMs(lease: Lease): number {
  return Math.min(250, Math.max(10, lease.leaseMs / 40));
}
