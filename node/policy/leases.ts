// Who holds a lease: the leader's memory of when it last heard each worker, judged on a clock that counts suspend.
// Pure: time comes in. Lost with the leadership, and re-armed in full by the next leader.
import type { Fence, PeerId } from '../../protocol/ids.ts';

export interface Lease {
  readonly incarnation: number;
  /** Clock.uptime() when a heartbeat of this incarnation was last heard, or when the lease was re-armed. */
  readonly heardAtMs: number;
  /** What the worker said it had begun, and when; null where this leader has heard nothing of it yet. */
  readonly begun: ReadonlyMap<Fence, number> | null;
  /** It said last that its daemon starts again: its attempts freeze in time, and nothing is gained by taking them away. */
  readonly restarting: boolean;
  /** `dead` was proposed: this incarnation is answered no more. */
  readonly condemned: boolean;
}

/** How long beyond its lease a daemon that starts again is waited for. */
const RESTART_MS = 120_000;

/** What the latest heartbeat says of an incarnation. */
export type Said = Pick<Lease, 'incarnation' | 'begun' | 'restarting'>;

const NOTHING_SAID = { begun: null, restarting: false } as const;

export class Leases {
  readonly #leases = new Map<PeerId, Lease>();
  #lastPassMs: number | undefined;

  /** Every lease in full, as after an election; nothing that an earlier leader timed or judged is trusted. */
  rearm(living: readonly { readonly peerId: PeerId; readonly incarnation: number }[], nowMs: number): void {
    const before = new Map(this.#leases);
    this.#leases.clear();
    for (const { peerId, incarnation } of living) {
      const known = before.get(peerId);
      const { begun, restarting } = known?.incarnation === incarnation ? known : NOTHING_SAID;
      this.#leases.set(peerId, { incarnation, heardAtMs: nowMs, begun, restarting, condemned: false });
    }
    this.#lastPassMs = nowMs;
  }

  /**
   * Every lease in full once more, as this leader itself had been stopped. Its own verdicts stand: a death that it proposed
   * before may still commit, and whoever were answered meanwhile would run what is given to others.
   */
  resume(nowMs: number): void {
    for (const [peerId, lease] of this.#leases) this.#leases.set(peerId, { ...lease, heardAtMs: nowMs });
    this.#lastPassMs = nowMs;
  }

  /** @returns whether the heartbeat may be answered. */
  heard(peerId: PeerId, { incarnation, begun, restarting }: Said, nowMs: number): boolean {
    const known = this.#leases.get(peerId);
    if (known !== undefined && known.incarnation > incarnation) return false;
    if (known?.incarnation === incarnation && known.condemned) return false;
    this.#leases.set(peerId, { incarnation, heardAtMs: nowMs, begun, restarting, condemned: false });
    return true;
  }

  /** From proposing its death on, an incarnation is never answered again. */
  condemn(peerId: PeerId): void {
    const known = this.#leases.get(peerId);
    if (known !== undefined) this.#leases.set(peerId, { ...known, condemned: true });
  }

  forget(peerId: PeerId): void {
    this.#leases.delete(peerId);
  }

  get(peerId: PeerId): Lease | undefined {
    return this.#leases.get(peerId);
  }

  /**
   * Those whose lease has run out. Undefined where the leader itself was stopped since its last pass (more than a quarter
   * of a lease): it has to `resume` before it judges anyone.
   */
  expired(leaseMs: number, nowMs: number): readonly { readonly peerId: PeerId; readonly lease: Lease }[] | undefined {
    const stalled = this.#lastPassMs !== undefined && nowMs - this.#lastPassMs > leaseMs / 4;
    this.#lastPassMs = nowMs;
    if (stalled) return undefined;
    return Array.from(this.#leases, ([peerId, lease]) => ({ peerId, lease })).filter(
      ({ lease }) => !lease.condemned && nowMs - lease.heardAtMs > leaseMs + (lease.restarting ? RESTART_MS : 0),
    );
  }

  leftMs(peerId: PeerId, leaseMs: number, nowMs: number): number | null {
    const lease = this.#leases.get(peerId);
    return lease === undefined ? null : Math.max(0, lease.heardAtMs + leaseMs - nowMs);
  }
}
