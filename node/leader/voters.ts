// The duty that keeps the number of voters: it takes the next step that policy names, and waits for it to be applied.
import { replicasOf } from '../../protocol/state/apply-replica.ts';
import { keys } from '../../protocol/state/rows.ts';
import type { Clock } from '../../protocol/time.ts';
import type { ReplicatedLog } from '../consensus/log.ts';
import type { Log } from '../log.ts';
import { nextStep, type Replica, type VotersStep } from '../policy/voters.ts';
import type { Duty } from './leader.ts';

const EVERY_MS = 500;
const CHANGE_TIMEOUT_MS = 10_000;

interface Parts {
  readonly log: ReplicatedLog;
  readonly clock: Clock;
  readonly out: Log;
}

export function voterDuty(parts: Parts): Duty {
  return { name: 'voters', everyMs: EVERY_MS, pass: (signal) => pass(parts, signal) };
}

async function pass({ log, clock, out }: Parts, signal: AbortSignal): Promise<void> {
  const step = nextStep({
    target: replicasOf(log.view).target,
    replicas: replicasOfLeader(log),
    member: (peerId) => log.view.get(keys.member(peerId)),
    now: clock.now(),
  });
  if (step === undefined) return;
  out.info({ step: step.kind }, `voters: ${step.sentence}`);
  await take(log, step, { at: clock.now(), signal });
}

export function replicasOfLeader(log: ReplicatedLog): readonly Replica[] {
  const { voterId } = log.status();
  const own = replicasOf(log.view).peers.find(([id]) => id === voterId)?.[1] ?? null;
  const isVoter = replicasOf(log.view).configuration.voters.includes(voterId);
  const self = { voterId, peerId: own, isSelf: true, isVoter, isReady: true, silentMs: 0 };
  const others = log.replicas().map(({ silentMs, state, ...replica }) => ({
    ...replica,
    isSelf: false,
    isReady: state === 'replicate',
    silentMs: silentMs ?? 0,
  }));
  return [self, ...others];
}

async function take(
  log: ReplicatedLog,
  step: VotersStep,
  { at, signal }: { readonly at: number; readonly signal: AbortSignal },
): Promise<void> {
  const options = { timeoutMs: CHANGE_TIMEOUT_MS, signal };
  const { sentence } = step;
  switch (step.kind) {
    case 'target':
      await log.propose({ kind: 'voters.set', target: step.target, at }, options);
      break;
    case 'hand-over':
      log.transferTo(step.to);
      break;
    case 'promote':
      await log.changeReplicas(
        { kind: 'promote', voterIds: step.voterIds },
        { kind: 'replica.changed', sentence, at },
        options,
      );
      break;
    case 'remove':
      await log.changeReplicas(
        { kind: 'remove', voterId: step.voterId },
        { kind: 'replica.changed', sentence, at },
        options,
      );
      break;
  }
}
