// Arithmetic of majorities. No state.
import { assert } from '../errors.ts';

/** The greatest value that a majority of `values`, one per voter, has reached. */
export function majorityReached(values: readonly number[]): number {
  assert(values.length > 0, 'a configuration without voters');
  const descending = [...values].sort((a, b) => b - a);
  return descending[Math.floor(values.length / 2)] as number;
}

/** Lost means that no majority can be reached any more. */
export function tally(voters: readonly number[], votes: ReadonlyMap<number, boolean>): 'won' | 'lost' | 'open' {
  const majority = Math.floor(voters.length / 2) + 1;
  const granted = voters.filter((voter) => votes.get(voter) === true).length;
  const refused = voters.filter((voter) => votes.get(voter) === false).length;
  if (granted >= majority) return 'won';
  return voters.length - refused < majority ? 'lost' : 'open';
}
