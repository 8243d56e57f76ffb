// Which open task goes to which worker: a pure function of the window and the standing offers.
// The leader commits what it returns as grants; nothing here gives anybody a right.
import type { Needs } from '../../protocol/api/jobspec.ts';
import type { JobId, PeerId } from '../../protocol/ids.ts';

/** A job with tasks to give, in the order of the queue. */
export interface OpenJob {
  readonly jobId: JobId;
  readonly needs: Needs | undefined;
  /** How many more of its tasks may be out at once. */
  readonly allowance: number;
  /** Its next tasks, foremost first. */
  readonly head: readonly number[];
}

/** A worker's standing offer with what the log already gave it. */
export interface Offer {
  readonly peerId: PeerId;
  readonly incarnation: number;
  /** How much it runs at once, in slots. */
  readonly slots: number;
  /** How many slots' worth of further grants it holds unbegun. */
  readonly prefetch: number;
  /** Slots of its open grants in the log. */
  readonly used: number;
  readonly memTotalBytes: number;
  readonly diskFreeBytes: number;
  /** Jobs it would rather have: their inputs are there already. */
  readonly wants: readonly JobId[];
}

export interface Placement {
  readonly jobId: JobId;
  readonly task: number;
  readonly peerId: PeerId;
  readonly incarnation: number;
  readonly slots: number;
}

/** Why a worker cannot take a task whatever else it runs. */
export type Misfit = { readonly code: 'cpu' | 'memory' | 'disk' | 'gpu'; readonly have: number; readonly want: number };

export function misfits(needs: Needs | undefined, offer: Offer): readonly Misfit[] {
  if (needs === undefined) return [];
  const found: Misfit[] = [];
  const slots = slotsOf(needs, offer);
  if (slots > offer.slots) found.push({ code: 'cpu', have: offer.slots, want: slots });
  if ((needs.memBytes ?? 0) > offer.memTotalBytes) {
    found.push({ code: 'memory', have: offer.memTotalBytes, want: needs.memBytes ?? 0 });
  }
  if ((needs.diskBytes ?? 0) > offer.diskFreeBytes) {
    found.push({ code: 'disk', have: offer.diskFreeBytes, want: needs.diskBytes ?? 0 });
  }
  if ((needs.gpu ?? 0) > 0) found.push({ code: 'gpu', have: 0, want: needs.gpu ?? 0 });
  return found;
}

/** A task takes one slot unless its needs say more. */
export function slotsOf(needs: Needs | undefined, offer: { readonly slots: number }): number {
  if (needs?.cpu === undefined) return 1;
  return needs.cpu === 'all' ? Math.max(1, offer.slots) : Math.max(1, Math.ceil(needs.cpu));
}

interface Room {
  readonly offer: Offer;
  used: number;
}

/** At most `most` grants: real slots fill everywhere before any worker is given work ahead of need. */
export function place(jobs: readonly OpenJob[], offers: readonly Offer[], most: number): readonly Placement[] {
  const rooms: Room[] = offers.map((offer) => ({ offer, used: offer.used }));
  const placements: Placement[] = [];
  for (const job of jobs) {
    for (const task of job.head.slice(0, job.allowance)) {
      if (placements.length >= most) return placements;
      const room = bestRoom(rooms, job);
      if (room === undefined) break;
      const slots = slotsOf(job.needs, room.offer);
      room.used += slots;
      const { peerId, incarnation } = room.offer;
      placements.push({ jobId: job.jobId, task, peerId, incarnation, slots });
    }
  }
  return placements;
}

function bestRoom(rooms: readonly Room[], job: OpenJob): Room | undefined {
  let best: Room | undefined;
  let bestScore = Number.NEGATIVE_INFINITY;
  for (const room of rooms) {
    const score = scoreOf(room, job);
    if (score > bestScore) {
      best = room;
      bestScore = score;
    }
  }
  return best;
}

/** Free slots count most; among equals the worker that wants the job. */
function scoreOf(room: Room, job: OpenJob): number {
  const slots = slotsOf(job.needs, room.offer);
  const free = room.offer.slots - room.used;
  if (free + room.offer.prefetch < slots || misfits(job.needs, room.offer).length > 0) return Number.NEGATIVE_INFINITY;
  // A task that takes more than one slot is never held ahead: it would block what fits.
  if (slots > 1 && free < slots) return Number.NEGATIVE_INFINITY;
  return free + (room.offer.wants.includes(job.jobId) ? 0.5 : 0);
}

/** An unbegun grant that could start elsewhere at once. */
export interface Recall {
  readonly peerId: PeerId;
  readonly count: number;
}

/** How many unbegun grants to call back, and from whom, so that no slot idles while another worker holds work ahead. */
export function recalls(offers: readonly (Offer & { readonly unbegun: number })[], queued: number): readonly Recall[] {
  if (queued > 0) return [];
  let idle = offers.reduce((sum, offer) => sum + Math.max(0, offer.slots - offer.used), 0);
  const richest = offers
    .filter((offer) => offer.used > offer.slots && offer.unbegun > 0)
    .sort((a, b) => b.used - b.slots - (a.used - a.slots));
  const found: Recall[] = [];
  for (const offer of richest) {
    const count = Math.min(idle, offer.unbegun, offer.used - offer.slots);
    if (count > 0) found.push({ peerId: offer.peerId, count });
    idle -= Math.max(0, count);
  }
  return found;
}
