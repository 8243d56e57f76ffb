// The leader's answer to a heartbeat: the lease, what the log grants that incarnation, and the head of the window.
// Only the member's current, living incarnation is answered, and only after a quorum round that began after the heartbeat
// was heard: so neither a deposed nor a stopped leader can prolong a lease.
import { jobDefaults } from '../../protocol/api/defaults.ts';
import { SkeinError } from '../../protocol/errors.ts';
import type { PeerId, Sha256 } from '../../protocol/ids.ts';
import { DEFAULT_SETTINGS } from '../../protocol/state/apply-member.ts';
import { keys } from '../../protocol/state/rows.ts';
import type { Answer, Heartbeat } from '../../protocol/wire/heartbeat.ts';
import type { WindowEntry } from '../../protocol/wire/window.ts';
import type { ReplicatedLog } from '../consensus/log.ts';
import type { Granting } from './granting.ts';
import { fencesOf, type LiveJobs } from './live-jobs.ts';
import type { Roster } from './roster.ts';

const WINDOW_ENTRIES = 16;
const BARRIER_TIMEOUT_MS = 3_000;

interface Parts {
  readonly log: ReplicatedLog;
  readonly roster: Roster;
  readonly jobs: LiveJobs;
  readonly granting: Granting;
}

export class Answers {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Fails with `no-leader`, `forbidden`. */
  async answer(heartbeat: Heartbeat): Promise<Answer> {
    const { log, roster, granting } = this.#parts;
    const peerId = heartbeat.peerId as PeerId;
    if (!log.status().leading) throw new SkeinError('no-leader', 'this gateway does not lead');
    const verdict = this.#verdict(heartbeat);
    if (verdict !== undefined) return verdict;
    if (!roster.heard(heartbeat)) return silence(heartbeat, null);
    await log.readBarrier({ timeoutMs: BARRIER_TIMEOUT_MS });
    // A death may have been proposed or committed while the round was under way.
    const since = this.#verdict(heartbeat);
    if (since !== undefined) return since;
    if (roster.leases.get(peerId)?.condemned !== false || !log.status().leading) return silence(heartbeat, null);
    const settings = log.view.get(keys.settings) ?? DEFAULT_SETTINGS;
    const { epochId, epochNumber, appliedIndex } = log.status();
    const fences = fencesOf(log, peerId).map(({ fence }) => fence);
    return {
      ...silence(heartbeat, null),
      appliedIndex,
      leaseMs: settings.leaseMs,
      fences,
      grants: [...(await granting.undelivered(peerId, heartbeat.incarnation))],
      window: this.window(),
      members: { epochId, epochNumber, index: roster.membersIndex },
    };
  }

  #verdict(heartbeat: Heartbeat): Answer | undefined {
    const member = this.#parts.log.view.get(keys.member(heartbeat.peerId as PeerId));
    if (member === undefined || member.state === 'left') {
      throw new SkeinError('forbidden', `${heartbeat.name} is no member of this mesh any more`);
    }
    if (heartbeat.incarnation < member.incarnation) return silence(heartbeat, member.incarnation - 1);
    if (heartbeat.incarnation > member.incarnation) return silence(heartbeat, null);
    return member.state === 'dead' ? silence(heartbeat, member.incarnation) : undefined;
  }

  window(): WindowEntry[] {
    const entries: WindowEntry[] = [];
    for (const { job, progress } of this.#parts.jobs.queued()) {
      if (entries.length >= WINDOW_ENTRIES) break;
      entries.push({
        jobId: job.jobId,
        open: progress.counts.queued,
        priority: job.spec.priority ?? jobDefaults.priority,
        needs: job.spec.needs ?? null,
        runtime: job.spec.runtime ?? jobDefaults.runtime,
        blobs: job.spec.script === undefined ? [] : [job.spec.script.sha256 as Sha256],
      });
    }
    return entries;
  }
}

function silence(heartbeat: Heartbeat, dead: number | null): Answer {
  return {
    incarnation: heartbeat.incarnation,
    sequence: heartbeat.sequence,
    appliedIndex: 0,
    leaseMs: 0,
    fences: [],
    grants: [],
    window: [],
    members: null,
    dead,
  };
}
