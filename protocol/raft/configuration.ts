// Who votes: the changes that may be made, one at a time, and which configuration is in force where the log ends.
import type { Configuration, Entry, VoterId } from './message.ts';

export type MembershipChange =
  /** The new learner's id is the index of the entry that adds it. */
  | { readonly kind: 'add-learner' }
  /** One learner; or two at once, which only a sole voter may do. */
  | { readonly kind: 'promote'; readonly voterIds: readonly VoterId[] }
  | { readonly kind: 'remove'; readonly voterId: VoterId };

export type ChangeRefusal =
  | 'not-leader'
  /** A leadership transfer is under way. */
  | 'transferring'
  /** No entry of this leader's term has committed yet. */
  | 'term-not-committed'
  /** An earlier change is not applied yet. */
  | 'change-under-way'
  | 'not-a-member'
  | 'not-a-learner'
  | 'not-caught-up'
  /** Two are promoted at once by a sole voter alone. */
  | 'more-than-one'
  | 'last-voter';

/** The configuration that `change` leads to when its entry stands at `index`, or why it may not be made. */
export function changed(
  configuration: Configuration,
  change: MembershipChange,
  index: number,
): Configuration | ChangeRefusal {
  const { voters, learners } = configuration;
  switch (change.kind) {
    case 'add-learner':
      return { voters, learners: [...learners, index] };
    case 'promote': {
      const promoted = new Set(change.voterIds);
      if (promoted.size === 0 || [...promoted].some((id) => !learners.includes(id))) return 'not-a-learner';
      // Of one voter there is one quorum. That it has three afterwards on its own disk settles it, whoever forgets.
      if (promoted.size > (voters.length === 1 ? 2 : 1)) return 'more-than-one';
      return { voters: [...voters, ...promoted], learners: learners.filter((id) => !promoted.has(id)) };
    }
    case 'remove': {
      const { voterId } = change;
      if (!isMember(configuration, voterId)) return 'not-a-member';
      if (voters.length === 1 && voters[0] === voterId) return 'last-voter';
      return { voters: voters.filter((id) => id !== voterId), learners: learners.filter((id) => id !== voterId) };
    }
  }
}

export function isMember({ voters, learners }: Configuration, id: VoterId): boolean {
  return voters.includes(id) || learners.includes(id);
}

export interface PlacedConfiguration {
  readonly index: number;
  readonly configuration: Configuration;
}

/** The applied configuration and those in the log above it. */
export class ConfigurationHistory {
  /** Ascending; the first is the applied one. */
  #placed: PlacedConfiguration[];

  constructor(applied: PlacedConfiguration) {
    this.#placed = [applied];
  }

  get applied(): Configuration {
    return (this.#placed[0] as PlacedConfiguration).configuration;
  }

  /** The last one, whether or not any disk holds it. */
  get newest(): PlacedConfiguration {
    return this.#placed.at(-1) as PlacedConfiguration;
  }

  /** The last one at or below `index`; the applied one where there is none. */
  at(index: number): PlacedConfiguration {
    return this.#placed.findLast((one) => one.index <= index) ?? (this.#placed[0] as PlacedConfiguration);
  }

  /** The one that `placed` replaced, while that is not applied. */
  before(placed: PlacedConfiguration): PlacedConfiguration | undefined {
    return this.#placed[this.#placed.indexOf(placed) - 1];
  }

  firstAbove(index: number): PlacedConfiguration | undefined {
    return this.#placed.find((one) => one.index > index);
  }

  push(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.kind === 'configuration') {
        this.#placed.push({ index: entry.index, configuration: entry.configuration });
      }
    }
  }

  cutFrom(index: number): void {
    this.#placed = this.#placed.filter((one, n) => n === 0 || one.index < index);
  }

  onApplied(index: number): void {
    const applied = this.at(index);
    this.#placed = this.#placed.slice(this.#placed.indexOf(applied));
  }

  /** A snapshot brought this one. */
  restore(placed: PlacedConfiguration, keepsTail: boolean): void {
    this.#placed = [placed, ...this.#placed.filter((one) => keepsTail && one.index > placed.index)];
  }
}
