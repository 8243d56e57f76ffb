// The one clock of skein. Everything that waits or measures is handed a Clock, so that a simulator can hand another.

export interface Clock {
  /** Wall time in milliseconds since 1970 UTC: for people and records, never for measuring. */
  now(): number;
  /** Milliseconds since some start, never going back; stands still while the machine sleeps. */
  monotonic(): number;
  /** As monotonic, but counts suspend too (CLOCK_BOOTTIME). Leases use it. */
  uptime(): number;
  /** Resolves after `ms`; rejects with the signal's reason when that fires first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `f` every `ms` until the signal fires. `f` must not throw. */
  every(ms: number, f: () => void, signal: AbortSignal): void;
}
