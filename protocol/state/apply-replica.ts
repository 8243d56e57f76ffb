// Who holds the log: what an entry that changes the configuration leaves in the rows.
import { FIRST_VOTER } from '../raft/message.ts';
import type { Command, Outcome } from './command.ts';
import type { Draft } from './draft.ts';
import { done, refused } from './outcome.ts';
import type { Place } from './place.ts';
import { keys, type ReplicasRow, type View } from './rows.ts';

type Of<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>;

/** How many voters a mesh can work towards: an even number survives no more losses than the one below it. */
export const VOTER_TARGETS: readonly number[] = [1, 3, 5];

/** Before the first change the founder holds the log alone. */
export function replicasOf(view: View): ReplicasRow {
  const founder = view.get(keys.mesh)?.founder;
  return (
    view.get(keys.replicas) ?? {
      target: 1,
      configuration: { voters: [FIRST_VOTER], learners: [] },
      peers: founder === undefined ? [] : [[FIRST_VOTER, founder]],
    }
  );
}

export function configure(
  draft: Draft,
  command: Of<'replica.added'> | Of<'replica.changed'>,
  { configuration, index }: Place,
): Outcome {
  if (configuration === undefined)
    return refused('state-conflict', 'only an entry of its own changes who holds the log');
  const { target, peers } = replicasOf(draft);
  const added = command.kind === 'replica.added' ? ([[index, command.peerId]] as const) : [];
  const held = new Set([...configuration.voters, ...configuration.learners]);
  draft.put(keys.replicas, { target, configuration, peers: [...peers, ...added].filter(([id]) => held.has(id)) });
  return done();
}

export function setTarget(draft: Draft, { target }: Of<'voters.set'>): Outcome {
  if (!VOTER_TARGETS.includes(target)) return refused('state-conflict', `a mesh has 1, 3 or 5 voters, not ${target}`);
  draft.put(keys.replicas, { ...replicasOf(draft), target });
  return done();
}
