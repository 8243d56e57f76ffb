// The one log that all must agree on, as whoever applied an entry first had it, and its replay from nothing: rows, outcomes
// and the state hash at each index.
import { HashedRows } from '../../node/storage/hashed-rows.ts';
import type { EpochId } from '../../protocol/ids.ts';
import type { Configuration, Entry } from '../../protocol/raft/message.ts';
import { apply } from '../../protocol/state/apply.ts';
import type { Command, Outcome } from '../../protocol/state/command.ts';
import type { RowKey, View } from '../../protocol/state/rows.ts';

export interface AgreedEntry {
  readonly term: number;
  /** As disks hold it; dropped once no disk does. */
  readonly text: string;
  readonly stateHash: string;
}

/** Whoever judges what the commands do, by rules of its own. */
export type Judge = (index: number, command: Command, outcome: Outcome) => void;

/** Texts kept beyond what any disk holds. */
const KEPT = 20_000;

export class Agreed {
  readonly #epochId: EpochId;
  readonly #judges: readonly Judge[];
  readonly #entries: AgreedEntry[] = [];
  readonly rows = new HashedRows();
  /** Ascending. */
  readonly #configurations: { readonly index: number; readonly configuration: Configuration }[];

  constructor(epochId: EpochId, judges: readonly Judge[]) {
    this.#epochId = epochId;
    this.#judges = judges;
    this.#configurations = [{ index: 0, configuration: { voters: [1], learners: [] } }];
  }

  readonly view: View = {
    get: <Row>(key: RowKey<Row>): Row | undefined => {
      const text = this.rows.get(key);
      return text === undefined ? undefined : (JSON.parse(text) as Row);
    },
  };

  get lastIndex(): number {
    return this.#entries.length;
  }

  at(index: number): AgreedEntry | undefined {
    return this.#entries[index - 1];
  }

  stateHashAt(index: number): string {
    return index === 0 ? new HashedRows().hash : (this.at(index)?.stateHash ?? 'not reached');
  }

  /** Of those agreed on, the last at or below `index`. */
  configurationAt(index: number): Configuration {
    const found = this.#configurations.findLast((one) => one.index <= index);
    return found?.configuration ?? { voters: [], learners: [] };
  }

  add(text: string): void {
    const entry = JSON.parse(text) as Entry;
    if (entry.kind === 'configuration') {
      this.#configurations.push({ index: entry.index, configuration: entry.configuration });
    }
    const command = entry.kind === 'noop' ? null : entry.data;
    if (command !== null) this.#apply(entry, command);
    this.#entries.push({ term: entry.term, text, stateHash: this.rows.hash });
    const old = this.#entries.length - KEPT;
    const forgotten = this.#entries[old];
    if (forgotten !== undefined) this.#entries[old] = { ...forgotten, text: '' };
  }

  #apply(entry: Entry, command: Command): void {
    const place = { index: entry.index, epochId: this.#epochId };
    const { changes, outcome } = apply(
      this.view,
      command,
      entry.kind === 'configuration' ? { ...place, configuration: entry.configuration } : place,
    );
    for (const judge of this.#judges) judge(entry.index, command, outcome);
    for (const { key, row } of changes) this.rows.put(key, row);
  }
}
