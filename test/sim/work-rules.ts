// What must hold of jobs, grants and attempts: judged from the log's commands by a few lines of their own, and from what the
// machines truly run.
import { type EpochId, type Fence, type JobId, makeFence, type PeerId } from '../../protocol/ids.ts';
import type { Command, Outcome } from '../../protocol/state/command.ts';
import type { Machine } from './machine.ts';
import type { World } from './world.ts';

/** An attempt that cannot be frozen is killed so soon after its machine went on. */
const FIRST_LOOK_MS = 350;

interface Grant {
  readonly fence: Fence;
  readonly task: string;
  peerId: PeerId;
  incarnation: number;
}

interface Run {
  readonly fence: Fence;
  readonly task: string;
  readonly machine: Machine;
  readonly isRunning: () => boolean;
  isFrozen: boolean;
}

export class WorkRules {
  readonly #world: World;
  readonly #epochId: EpochId;
  readonly #open = new Map<string, Grant>();
  readonly #incarnations = new Map<PeerId, { incarnation: number; isDead: boolean }>();
  readonly #granted = new Map<Fence, Grant>();
  readonly #published = new Map<string, Fence>();
  /** The job of each idempotency key. */
  readonly jobs = new Map<string, JobId>();
  readonly #begun = new Set<Fence>();
  readonly #runs = new Map<Fence, Run>();
  /** What each worker's lease truly is, in the world's time. */
  readonly #leases = new Map<string, number>();

  constructor(world: World, epochId: EpochId) {
    this.#world = world;
    this.#epochId = epochId;
  }

  #check = (holds: boolean, what: () => string): void => this.#world.check(holds, what);

  readonly judge = (index: number, command: Command, outcome: Outcome): void => {
    if (outcome.kind === 'refused') {
      if (outcome.code === 'stale-fence' || outcome.code === 'not-holder')
        this.#world.count(`refused: ${command.kind}`);
      return;
    }
    switch (command.kind) {
      case 'member.joined':
        if (!this.#incarnations.has(command.peerId))
          this.#incarnations.set(command.peerId, { incarnation: 0, isDead: false });
        return;
      case 'job.submitted':
        this.#onSubmitted(command, outcome.replayed === true);
        return;
      case 'task.granted':
        this.#onGranted(index, command);
        return;
      case 'task.finished':
      case 'task.ended':
        this.#onClosed(command);
        return;
      case 'member.dead':
        this.#onDead(command);
        return;
      case 'member.adopted':
        this.#onAdopted(command);
        return;
    }
  };

  #onSubmitted({ jobId, idempotency }: Extract<Command, { kind: 'job.submitted' }>, replayed: boolean): void {
    if (idempotency === null) return;
    const { key } = idempotency;
    this.#check(replayed === this.jobs.has(key), () => `${jobId} under the key ${key}: replayed is ${replayed}`);
    if (replayed) this.#world.count('repeated submissions');
    else this.jobs.set(key, jobId);
  }

  #onGranted(index: number, { jobId, task: n, peerId, incarnation }: Extract<Command, { kind: 'task.granted' }>): void {
    const task = `${jobId}/${n}`;
    const fence = makeFence(this.#epochId, index);
    const current = this.#incarnations.get(peerId);
    this.#check(!this.#open.has(task), () => `${task} is granted twice at once: ${fence}`);
    this.#check(
      current?.incarnation === incarnation && !current.isDead,
      () => `${fence} goes to incarnation ${incarnation} of ${peerId}, which is not the living one`,
    );
    const grant = { fence, task, peerId, incarnation };
    this.#open.set(task, grant);
    this.#granted.set(fence, { ...grant });
  }

  #onClosed(command: Extract<Command, { kind: 'task.finished' | 'task.ended' }>): void {
    if (command.kind === 'task.ended' && command.reason === 'intact') return;
    const { jobId, task: n, fence, peerId, incarnation } = command;
    const task = `${jobId}/${n}`;
    const open = this.#open.get(task);
    this.#check(open?.fence === fence, () => `${command.kind} of ${task} under ${fence}; open is ${open?.fence}`);
    this.#check(
      open?.peerId === peerId,
      () => `${command.kind} of ${task} by ${peerId}; its holder is ${open?.peerId}`,
    );
    this.#check(
      open?.incarnation === incarnation && this.#incarnations.get(peerId)?.incarnation === incarnation,
      () => `${command.kind} of ${task} by incarnation ${incarnation} of ${peerId}`,
    );
    this.#open.delete(task);
    if (command.kind === 'task.ended') {
      this.#world.count(`ended: ${command.reason}`);
      return;
    }
    const { exit, reason } = command.result;
    if (reason !== 'exited' || exit.code !== 0) return;
    const before = this.#published.get(task);
    this.#check(before === undefined, () => `two results of ${task} are published: ${before} and ${fence}`);
    this.#published.set(task, fence);
    this.#world.count('results');
  }

  #onDead({ peerId, incarnation }: Extract<Command, { kind: 'member.dead' }>): void {
    const current = this.#incarnations.get(peerId);
    this.#check(
      current?.incarnation === incarnation,
      () => `incarnation ${incarnation} of ${peerId} dies; in force is ${current?.incarnation}`,
    );
    this.#incarnations.set(peerId, { incarnation, isDead: true });
    this.#world.count('deaths');
    this.#world.note('log', `${peerId} is dead (${incarnation})`);
    for (const [task, grant] of this.#open) if (grant.peerId === peerId) this.#open.delete(task);
  }

  #onAdopted({ peerId, incarnation, fences }: Extract<Command, { kind: 'member.adopted' }>): void {
    const current = this.#incarnations.get(peerId)?.incarnation ?? 0;
    this.#check(incarnation > current, () => `${peerId} is adopted as ${incarnation} after ${current}`);
    this.#incarnations.set(peerId, { incarnation, isDead: false });
    this.#world.count('incarnations');
    const kept = new Set(fences);
    for (const [task, grant] of this.#open) {
      if (grant.peerId !== peerId) continue;
      if (kept.has(grant.fence)) grant.incarnation = incarnation;
      else this.#open.delete(task);
    }
  }

  // What machines run

  /** An attempt begins on that machine. */
  onBegun(machine: Machine, fence: Fence, isRunning: () => boolean): void {
    const grant = this.#granted.get(fence);
    this.#check(!this.#begun.has(fence), () => `${fence} is begun twice`);
    this.#check(grant?.peerId === machine.name, () => `${machine.name} begins ${fence}, which is ${grant?.peerId}'s`);
    this.#begun.add(fence);
    this.#world.count('attempts');
    this.#runs.set(fence, { fence, task: grant?.task ?? '', machine, isRunning, isFrozen: false });
    this.look(machine);
  }

  onGone(fence: Fence): void {
    this.#runs.delete(fence);
  }

  /** The worker's heartbeat, sent then, was answered with a lease. */
  onLease(machine: Machine, sentAtMs: number, leaseMs: number): void {
    const until = sentAtMs + leaseMs / machine.rate;
    this.#leases.set(machine.name, Math.max(this.#leases.get(machine.name) ?? 0, until));
  }

  /** After an event of that machine. */
  look(machine: Machine): void {
    for (const run of this.#runs.values()) {
      if (run.machine !== machine) continue;
      const isFrozen = !run.isRunning();
      if (isFrozen !== run.isFrozen) this.#world.count(isFrozen ? 'freezes' : 'thaws');
      run.isFrozen = isFrozen;
      if (!this.#isLive(run)) continue;
      const until = this.#leases.get(machine.name) ?? 0;
      this.#check(
        this.#world.nowMs <= until + 1,
        () => `${run.fence} runs on ${machine.name} ${Math.round(this.#world.nowMs - until)} ms past its lease`,
      );
      for (const other of this.#runs.values()) {
        if (other === run || other.task !== run.task || !this.#isLive(other)) continue;
        this.#check(
          false,
          () => `${run.task} runs twice: ${run.fence} on ${machine.name}, ${other.fence} on ${other.machine.name}`,
        );
      }
    }
  }

  /** Whoever stands still runs nothing; whoever just went on has until its first look at the lease. */
  #isLive({ machine, isRunning }: Run): boolean {
    const stands = machine.standing === 'suspended' || machine.standing === 'stopped';
    if (stands || !isRunning()) return false;
    if (this.#world.nowMs - machine.wentOnAtMs > FIRST_LOOK_MS) return true;
    this.#world.count('attempts that ran on a little after a pause');
    return false;
  }
}
