// What the leader knows of each member: the committed record, the latest heartbeat with its claim, the lease.
// Every gateway keeps one, so that a new leader starts with everyone's offers in hand.
import type { Fence, PeerId } from '../../protocol/ids.ts';
import { keys, type MemberRow } from '../../protocol/state/rows.ts';
import type { Clock } from '../../protocol/time.ts';
import { type Heartbeat, isLater } from '../../protocol/wire/heartbeat.ts';
import type { ReplicatedLog } from '../consensus/log.ts';
import { Leases } from '../policy/leases.ts';
import { type Offer, slotsOf } from '../policy/placement.ts';
import { fencesOf } from './live-jobs.ts';

export interface RosterOffer extends Offer {
  readonly name: string;
  /** Granted and not heard as begun. */
  readonly unbegun: readonly Fence[];
  readonly unbegunSlots: number;
}

export class Roster {
  readonly leases = new Leases();
  readonly #log: Pick<ReplicatedLog, 'view' | 'scan' | 'status'>;
  readonly #clock: Clock;
  readonly #heartbeats = new Map<PeerId, Heartbeat>();
  readonly #members = new Map<PeerId, MemberRow>();
  /** Log index of the last change to the member list. */
  #membersIndex = 0;

  constructor(parts: { readonly log: Pick<ReplicatedLog, 'view' | 'scan' | 'status'>; readonly clock: Clock }) {
    this.#log = parts.log;
    this.#clock = parts.clock;
  }

  async load(): Promise<void> {
    this.#members.clear();
    for await (const [, member] of this.#log.scan<MemberRow>('member/')) this.#members.set(member.peerId, member);
    this.#membersIndex = this.#log.status().appliedIndex;
  }

  /** @returns whether the member list changed. */
  onApplied(
    entries: readonly {
      readonly index: number;
      readonly command: { readonly kind: string; readonly peerId?: PeerId };
    }[],
  ): boolean {
    let changed = false;
    for (const { index, command } of entries) {
      // The list carries the interval of heartbeats too: a worker that did not hear of a shorter one would soon be dead.
      const listed = command.kind.startsWith('member.') || command.kind === 'settings.set';
      if (!listed) continue;
      changed = true;
      this.#membersIndex = index;
      if (command.peerId !== undefined) this.#refresh(command.peerId);
    }
    return changed;
  }

  #refresh(peerId: PeerId): void {
    const member = this.#log.view.get(keys.member(peerId));
    if (member === undefined) return;
    const before = this.#members.get(peerId);
    this.#members.set(peerId, member);
    if (member.state === 'left') this.leases.forget(peerId);
    // A new incarnation starts with a full lease: its first heartbeat is on the way. What it took along had begun before.
    else if (member.state !== 'dead' && before?.incarnation !== member.incarnation) {
      const begun = this.leases.get(peerId)?.begun ?? null;
      this.leases.heard(peerId, { incarnation: member.incarnation, begun, restarting: false }, this.#clock.uptime());
    }
  }

  get membersIndex(): number {
    return this.#membersIndex;
  }

  members(): Iterable<MemberRow> {
    return this.#members.values();
  }

  member(peerId: PeerId): MemberRow | undefined {
    return this.#members.get(peerId);
  }

  heartbeat(peerId: PeerId): Heartbeat | undefined {
    return this.#heartbeats.get(peerId);
  }

  /** Takes a heartbeat in, by whichever way it came. @returns whether its lease may be renewed. */
  heard(heartbeat: Heartbeat): boolean {
    const peerId = heartbeat.peerId as PeerId;
    const member = this.#members.get(peerId);
    if (member === undefined || member.incarnation !== heartbeat.incarnation) return false;
    if (member.state === 'dead' || member.state === 'left') return false;
    const known = this.#heartbeats.get(peerId);
    // What the latest heartbeat says, not this one: gossip may bring an older one late.
    const latest = known === undefined || isLater(heartbeat, known) ? heartbeat : known;
    this.#heartbeats.set(peerId, latest);
    const { incarnation, begun, restarting } = latest;
    return this.leases.heard(peerId, { incarnation, begun: new Map(begun), restarting }, this.#clock.uptime());
  }

  hasBegun(peerId: PeerId, fence: Fence): boolean {
    return this.leases.get(peerId)?.begun?.has(fence) ?? false;
  }

  /** The living, so that a new leader can give each a full lease. */
  living(): readonly MemberRow[] {
    return [...this.#members.values()].filter((member) => member.state === 'alive' || member.state === 'draining');
  }

  /** Standing offers of workers that may be given work, with what the log already gave them. */
  offers(): readonly RosterOffer[] {
    return this.living().flatMap((member) => {
      const heartbeat = this.#heartbeats.get(member.peerId);
      const lease = this.leases.get(member.peerId);
      const stands = heartbeat?.incarnation === member.incarnation && lease?.incarnation === member.incarnation;
      if (member.state !== 'alive' || !stands || lease.condemned || heartbeat.draining) return [];
      return member.roles.includes('worker') ? [this.#offerOf(member, heartbeat)] : [];
    });
  }

  #offerOf(member: MemberRow, { claim, memTotalBytes }: Heartbeat): RosterOffer {
    const held = fencesOf(this.#log, member.peerId);
    const unbegun: Fence[] = [];
    let [used, unbegunSlots] = [0, 0];
    for (const { jobId, fence } of held) {
      const slots = slotsOf(this.#log.view.get(keys.job(jobId))?.spec.needs, claim);
      used += slots;
      if (this.hasBegun(member.peerId, fence)) continue;
      unbegunSlots += slots;
      unbegun.push(fence);
    }
    return {
      peerId: member.peerId,
      name: member.name,
      incarnation: member.incarnation,
      slots: claim.slots,
      prefetch: claim.prefetch,
      used,
      memTotalBytes,
      diskFreeBytes: Number.MAX_SAFE_INTEGER,
      wants: claim.wants.map(({ jobId }) => jobId),
      unbegun,
      unbegunSlots,
    };
  }
}
