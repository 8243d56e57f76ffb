// Grants and what closes them. A grant's log index is its fence; a task has at most one open.
import type { Fence } from '../ids.ts';
import { makeFence, parseFence } from '../ids.ts';
import { type Closing, close, dropHold, recount, settle } from './close.ts';
import type { Command, Outcome } from './command.ts';
import type { Draft } from './draft.ts';
import { done, type Refusal, refused } from './outcome.ts';
import type { Place } from './place.ts';
import { firstRow, take, taskState } from './queue.ts';
import { type AttemptRow, keys, type MemberRow, type TaskRow } from './rows.ts';

type Of<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>;

export function grant(draft: Draft, command: Of<'task.granted'>, place: Place): Outcome {
  const job = draft.get(keys.job(command.jobId));
  const progress = draft.get(keys.progress(command.jobId));
  const member = draft.get(keys.member(command.peerId));
  if (job === undefined || progress === undefined) return refused('not-found', 'there is no such job');
  if (member === undefined || member.state !== 'alive' || !member.roles.includes('worker')) {
    return refused('not-member', 'the peer takes no work');
  }
  if (member.incarnation !== command.incarnation) {
    return refused('stale-incarnation', `incarnation ${member.incarnation} of ${member.name} is in force`);
  }
  const before = draft.get(keys.task(command.jobId, command.task));
  if (command.task < 1 || command.task > job.taskCount || taskState(progress, before, command.task) !== 'queued') {
    return refused('state-conflict', `task ${command.task} is not queued`);
  }
  const fence = makeFence(place.epochId, place.index);
  const task = before ?? firstRow(command.jobId, command.task);
  const attempt = openAttempt(task, member, fence, command.at);
  draft.put(keys.task(command.jobId, command.task), {
    ...task,
    state: 'running',
    open: { index: place.index, peerId: command.peerId, incarnation: command.incarnation },
    attempts: [...task.attempts, attempt],
  });
  const held = draft.get(keys.holds(command.peerId))?.grants ?? [];
  const hold = { index: place.index, jobId: command.jobId, task: command.task };
  draft.put(keys.holds(command.peerId), { grants: [...held, hold] });
  draft.emit('task.attempt', `task ${command.task}, attempt ${attempt.n} goes to ${member.name}`, {
    project: job.project,
    jobId: job.jobId,
    task: command.task,
    peerId: command.peerId,
    fields: { attempt: attempt.n, peer: member.name, fence },
  });
  const counts = recount(progress.counts, 'queued', 'running');
  const startedAt = progress.startedAt ?? command.at;
  settle(
    draft,
    job,
    { ...progress, ...take(progress, command.task), counts, startedAt, attempts: progress.attempts + 1 },
    command.at,
  );
  return done({ fence, attempt: attempt.n });
}

function openAttempt(task: TaskRow, member: MemberRow, fence: Fence, at: number): AttemptRow {
  return {
    n: (task.attempts.at(-1)?.n ?? 0) + 1,
    peerId: member.peerId,
    peerName: member.name,
    fence,
    state: 'open',
    grantedAt: at,
    startedAt: null,
    endedAt: null,
    exit: null,
    reason: null,
    detail: null,
    blamed: false,
    stdout: null,
    stderr: null,
    outputs: null,
  };
}

export function finish(draft: Draft, command: Of<'task.finished'>, place: Place): Outcome {
  const task = holderOf(draft, command, place);
  if ('kind' in task) return task;
  return shut(draft, command, task, { kind: 'finished', result: command.result, at: command.at });
}

export function end(draft: Draft, command: Of<'task.ended'>, place: Place): Outcome {
  if (command.reason === 'intact') return takeBlameBack(draft, command);
  const task = holderOf(draft, command, place);
  if ('kind' in task) return task;
  // A runner that died of itself counts as a loss: a script that kills its runner must not go round for ever.
  const blamed = command.reason === 'runner-died';
  return shut(draft, command, task, {
    kind: blamed ? 'lost' : 'handed-back',
    reason: command.reason,
    blamed,
    startedAt: command.startedAt,
    at: command.at,
  });
}

function shut(draft: Draft, command: Of<'task.finished'> | Of<'task.ended'>, task: TaskRow, closing: Closing): Outcome {
  const index = task.open?.index;
  const state = close(draft, task, closing);
  if (index !== undefined) dropHold(draft, command.peerId, index);
  return done({ state });
}

/** The task, if the sender holds its open grant in its current, living incarnation. */
function holderOf(draft: Draft, command: Of<'task.finished'> | Of<'task.ended'>, place: Place): TaskRow | Refusal {
  const fence = parseFence(command.fence);
  const task = draft.get(keys.task(command.jobId, command.task));
  if (fence === undefined || fence.epochId !== place.epochId || task?.open?.index !== fence.index) {
    return refused(
      'stale-fence',
      `the grant ${shortFence(command.fence)} of task ${command.task} is not open any more`,
    );
  }
  const member = draft.get(keys.member(command.peerId));
  if (task.open.peerId !== command.peerId) return refused('not-holder', 'the grant is held by another peer');
  const current = member?.incarnation === command.incarnation && task.open.incarnation === command.incarnation;
  if (!current || member.state === 'dead' || member.state === 'left') {
    return refused('stale-incarnation', 'the sender is not the incarnation in force');
  }
  return task;
}

const shortFence = (fence: string): string => `${fence.slice(0, 6)}…${fence.slice(fence.indexOf('.'))}`;

/** The worker had only slept or been cut off: its task does not count the loss. */
function takeBlameBack(draft: Draft, command: Of<'task.ended'>): Outcome {
  const task = draft.get(keys.task(command.jobId, command.task));
  const at = task?.attempts.findIndex((attempt) => attempt.fence === command.fence) ?? -1;
  const attempt = task?.attempts[at];
  if (task === undefined || attempt === undefined || attempt.peerId !== command.peerId) {
    return refused('stale-fence', 'there is no such attempt');
  }
  if (attempt.reason !== 'worker-dead' || !attempt.blamed) return done({ state: task.state });
  draft.put(keys.task(command.jobId, command.task), {
    ...task,
    lost: task.lost - 1,
    attempts: task.attempts.with(at, { ...attempt, blamed: false }),
  });
  return done({ state: task.state });
}
