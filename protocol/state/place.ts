// Where in the log a command stands: a grant's place is its fence.
import type { EpochId } from '../ids.ts';

export interface Place {
  readonly index: number;
  readonly epochId: EpochId;
}
