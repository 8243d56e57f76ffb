// The replicated state machine: rows and a command in, changes, events and an outcome out.
// A function of its arguments alone, so that every replica holds the same rows.
import { unreachable } from '../errors.ts';
import * as access from './apply-access.ts';
import * as job from './apply-job.ts';
import * as member from './apply-member.ts';
import * as replica from './apply-replica.ts';
import * as task from './apply-task.ts';
import type { Command, Outcome } from './command.ts';
import { type Change, Draft } from './draft.ts';
import type { StateEvent } from './event.ts';
import type { Place } from './place.ts';
import type { View } from './rows.ts';

export interface Effect {
  readonly changes: readonly Change[];
  readonly events: readonly StateEvent[];
  readonly outcome: Outcome;
}

export function apply(view: View, command: Command, place: Place): Effect {
  const draft = new Draft(view, command.at);
  const outcome = decide(draft, command, place);
  // A refusal changes nothing, whatever was drafted before it was found.
  if (outcome.kind === 'refused') return { changes: [], events: [], outcome };
  return { changes: draft.changes, events: draft.events, outcome };
}

function decide(draft: Draft, command: Command, place: Place): Outcome {
  switch (command.kind) {
    case 'mesh.created':
      return member.createMesh(draft, command);
    case 'settings.set':
      return member.setSettings(draft, command);
    case 'member.joined':
      return member.join(draft, command);
    case 'member.adopted':
      return member.adopt(draft, command, place);
    case 'member.dead':
      return member.bury(draft, command, place);
    case 'member.draining':
      return member.drain(draft, command);
    case 'member.left':
      return member.leave(draft, command);
    case 'replica.added':
    case 'replica.changed':
      return replica.configure(draft, command, place);
    case 'voters.set':
      return replica.setTarget(draft, command);
    case 'ticket.created':
      return access.createTicket(draft, command);
    case 'tickets.dropped':
      return access.dropTickets(draft, command);
    case 'key.created':
      return access.createKey(draft, command);
    case 'key.revoked':
      return access.revokeKey(draft, command);
    case 'job.submitted':
      return job.submit(draft, command, place);
    case 'job.cancelled':
      return job.cancel(draft, command);
    case 'job.retried':
      return job.retry(draft, command);
    case 'job.dropped':
      return job.drop(draft, command);
    case 'idempotency.dropped':
      return job.dropIdempotency(draft, command);
    case 'task.granted':
      return task.grant(draft, command, place);
    case 'task.finished':
      return task.finish(draft, command, place);
    case 'task.ended':
      return task.end(draft, command, place);
    default:
      return unreachable(command);
  }
}
