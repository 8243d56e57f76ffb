// Why a job waits, as one verdict and one sentence. Every waiting job has one.
import type { Verdict } from '../../protocol/api/job.ts';
import type { Needs } from '../../protocol/api/jobspec.ts';
import type { Counts } from '../../protocol/state/rows.ts';
import { type Misfit, misfits, type Offer, slotsOf } from './placement.ts';

export interface Question {
  readonly needs: Needs | undefined;
  readonly counts: Counts;
  /** Whether a leader is there to give tasks out. */
  readonly led: boolean;
  /** Tasks of other jobs that stand before this one. */
  readonly ahead: number;
  readonly maxParallel: number | undefined;
  readonly offers: readonly NamedOffer[];
}

interface NamedOffer extends Offer {
  readonly name: string;
  /** Of the used slots, those of grants that nobody has heard as begun. */
  readonly unbegunSlots: number;
}

/** For a job of which something is queued or nothing has begun. */
export function verdictOf(question: Question): { readonly verdict: Verdict; readonly sentence: string } {
  const { counts, offers } = question;
  if (counts.queued === 0) {
    const tasks = counts.running === 1 ? 'its task is' : `${counts.running} of its tasks are`;
    return { verdict: 'running', sentence: `${tasks} given out and about to begin` };
  }
  if (!question.led)
    return { verdict: 'no-leader', sentence: 'no leader is there to give its tasks out; voters are electing one' };
  if (offers.length === 0)
    return { verdict: 'no-room', sentence: 'no worker is alive; start one with: skein join TICKET' };
  const unmet = unmetSentence(question.needs, offers);
  if (unmet !== undefined) return { verdict: 'no-peer-fits', sentence: unmet };
  if (question.maxParallel !== undefined && counts.running >= question.maxParallel) {
    return { verdict: 'running', sentence: `${counts.running} of its tasks run, as many as --max-parallel allows` };
  }
  const busy = occupied(question);
  const { ahead } = question;
  if (ahead > 0) {
    const others = ahead === 1 ? 'one task of another job stands' : `${ahead} tasks of other jobs stand`;
    return { verdict: 'behind-others', sentence: `${others} before it and ${busy}` };
  }
  return { verdict: 'no-room', sentence: busy };
}

/** What keeps a task that fits from a slot at this moment. */
function occupied({ needs, offers }: Question): string {
  if (offers.some((offer) => offer.slots - offer.used >= slotsOf(needs, offer)))
    return 'a free slot is about to be given out';
  if (offers.some((offer) => offer.slots > offer.used)) return 'no worker has enough free slots';
  const slots = offers.reduce((sum, offer) => sum + offer.slots, 0);
  const workers = `${offers.length} ${offers.length === 1 ? 'worker' : 'workers'}`;
  const all = slots === 1 ? `the only slot of ${workers} is` : `all ${slots} slots of ${workers} are`;
  const isRunning = offers.every((offer) => offer.used - offer.unbegunSlots >= offer.slots);
  return isRunning ? `${all} busy` : `${all} given out, some to tasks that are about to begin`;
}

/** The sentence where none of the workers could ever meet the needs, else undefined. */
export function unmetSentence(
  needs: Needs | undefined,
  offers: readonly (Offer & { readonly name: string })[],
): string | undefined {
  if (needs === undefined || offers.length === 0) return undefined;
  const reasons = offers.map((offer) => ({ name: offer.name, misfits: misfits(needs, offer) }));
  if (reasons.some((reason) => reason.misfits.length === 0)) return undefined;
  const [first] = reasons;
  const nearest = reasons.reduce(
    (best, reason) => (reason.misfits.length < best.misfits.length ? reason : best),
    first ?? { name: '', misfits: [] },
  );
  const why = nearest.misfits.map(misfitSentence).join(', ');
  return `no worker has what it needs (nearest is ${nearest.name}: ${why}); join a larger machine or lower --needs`;
}

function misfitSentence({ code, want, have }: Misfit): string {
  const unit = code === 'memory' || code === 'disk';
  const show = (value: number): string => (unit ? `${(value / 1e9).toFixed(1)} GB` : String(value));
  return `${code} ${show(want)} wanted, ${show(have)} there`;
}
