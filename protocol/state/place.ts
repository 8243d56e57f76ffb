// Where in the log a command stands: a grant's place is its fence.
import type { EpochId } from '../ids.ts';
import type { Configuration } from '../raft/message.ts';

export interface Place {
  readonly index: number;
  readonly epochId: EpochId;
  /** Of an entry that changes who holds the log: the configuration from there on. */
  readonly configuration?: Configuration;
}
