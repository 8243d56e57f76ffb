// What must hold of the replicas of the log at every moment (Raft, figure 3; DESIGN.md section 12).

import type { Consensus } from '../../node/consensus/driver.ts';
import type { Entry, Message, VoterId } from '../../protocol/raft/message.ts';
import type { Agreed } from './agreed.ts';
import type { SimDisk } from './disk.ts';
import type { World } from './world.ts';

/** One gateway's replica: its disk outlives it. */
export interface Replica {
  readonly name: string;
  readonly disk: SimDisk;
  /** Undefined while it is down. */
  log: Consensus | undefined;
}

interface Seen {
  /** Of which life: a new one begins with what its disk holds. */
  log: Consensus;
  term: number;
  commit: number;
  applied: number;
  diskTerm: number;
  diskApplied: number;
  voterId: VoterId;
}

export class LogRules {
  readonly #world: World;
  readonly #agreed: Agreed;
  readonly #replicas: readonly Replica[];
  readonly #leaders = new Map<number, VoterId>();
  readonly #votes = new Map<string, VoterId>();
  readonly #seen = new Map<Replica, Seen>();

  constructor(world: World, agreed: Agreed, replicas: readonly Replica[]) {
    this.#world = world;
    this.#agreed = agreed;
    this.#replicas = replicas;
  }

  /** No answer owed after persistence leaves before the disk holds what it says. */
  onSaid(replica: Replica, message: Message): void {
    const { disk, name } = replica;
    const { hardState, lastIndex } = disk;
    const { check } = this;
    if (message.kind === 'vote' || (message.kind === 'vote.answer' && message.granted)) {
      const candidate = message.kind === 'vote' ? message.from : message.to;
      check(
        hardState.term > message.term || (hardState.term === message.term && hardState.vote === candidate),
        () => `${name} tells its vote for ${candidate} in term ${message.term} before its disk holds it`,
      );
      const place = `${message.from}@${message.term}`;
      const before = this.#votes.get(place) ?? candidate;
      check(before === candidate, () => `${name} votes for ${candidate} in term ${message.term}, and for ${before}`);
      this.#votes.set(place, candidate);
    }
    if (message.kind === 'append.answer' || message.kind === 'heartbeat.answer') {
      check(hardState.term >= message.term, () => `${name} answers in term ${message.term}, which its disk lacks`);
    }
    // In a later term it says nothing: what it took then may have been replaced before the disk ever had it.
    if (message.kind === 'append.answer' && message.ok && hardState.term === message.term) {
      check(
        lastIndex >= message.matchIndex,
        () => `${name} says that it holds ${message.matchIndex}; its disk ends at ${lastIndex}`,
      );
    }
  }

  readonly check = (holds: boolean, what: () => string): void => this.#world.check(holds, what);

  /** After an event of that replica. */
  look(replica: Replica): void {
    const { log, disk } = replica;
    if (log === undefined) return;
    const { term, state, commitIndex, appliedIndex, disk: health } = log.status();
    const nothing = { log, term: 0, commit: 0, applied: 0 };
    const seen = this.#seen.get(replica) ?? { ...nothing, diskTerm: 0, diskApplied: 0, voterId: disk.voterId };
    if (seen.log !== log) Object.assign(seen, nothing);
    this.#seen.set(replica, seen);
    this.#neverFalls(replica, seen, { term, commit: commitIndex, applied: appliedIndex });
    if (appliedIndex > seen.applied) this.#onApplied(replica, Math.max(seen.applied, 0), appliedIndex);
    this.#disk(replica, seen);
    Object.assign(seen, { term, commit: commitIndex, applied: appliedIndex });
    // After a failed write it goes on with what the disk holds; what it has applied stays applied.
    if (health !== 'ok') Object.assign(seen, { term: 0, commit: 0 });
    if (state === 'leader') this.#onLeading(replica, term);
  }

  #neverFalls({ name, disk }: Replica, seen: Seen, now: { term: number; commit: number; applied: number }): void {
    if (seen.voterId !== disk.voterId) return;
    for (const what of ['term', 'commit', 'applied'] as const) {
      this.check(now[what] >= seen[what], () => `${what} of ${name} fell from ${seen[what]} to ${now[what]}`);
    }
  }

  #disk({ name, disk }: Replica, seen: Seen): void {
    if (seen.voterId !== disk.voterId) {
      Object.assign(seen, { voterId: disk.voterId, diskTerm: 0, diskApplied: 0 });
    }
    const { hardState, appliedIndex } = disk;
    this.check(hardState.term >= seen.diskTerm, () => `the term on the disk of ${name} fell to ${hardState.term}`);
    seen.diskTerm = hardState.term;
    if (appliedIndex === seen.diskApplied) return;
    this.check(
      appliedIndex > seen.diskApplied,
      () => `the applied index on the disk of ${name} fell to ${appliedIndex}`,
    );
    seen.diskApplied = appliedIndex;
    this.checkRows(name, disk);
  }

  checkRows(name: string, { rows, appliedIndex }: SimDisk): void {
    const expected = this.#agreed.stateHashAt(appliedIndex);
    this.check(
      rows.hash === expected,
      () => `the rows of ${name} at ${appliedIndex} have the hash ${rows.hash}; a replay of the log has ${expected}`,
    );
  }

  /** State machine safety; and what is applied lies on this disk and on those of a majority. */
  #onApplied({ name, disk }: Replica, before: number, now: number): void {
    const from = Math.max(before + 1, disk.firstIndex);
    this.check(from <= this.#agreed.lastIndex + 1, () => `${name} has a snapshot of what nobody has applied`);
    for (let index = from; index <= now; index++) {
      const text = disk.entries.get(index);
      if (text === undefined) {
        this.check(false, () => `${name} applies ${index}, which its disk does not hold`);
        return;
      }
      const agreed = this.#agreed.at(index);
      if (agreed === undefined) {
        this.#onCommitted(index, text);
        this.#agreed.add(text);
      } else {
        this.check(
          agreed.text === text || agreed.text === '',
          () => `${name} applies at ${index} another entry: ${text}\nbut before: ${agreed.text}`,
        );
      }
    }
  }

  #onCommitted(index: number, text: string): void {
    const leaders = this.#replicas.filter(({ log }) => log?.status().state === 'leader');
    const deciding = leaders.length > 0 ? leaders : this.#replicas;
    this.check(
      deciding.some(({ disk }) => this.#isOnMajority(this.#votersInForce(disk), index, text)),
      () => `entry ${index} is applied and not on the disks of a majority: ${text}`,
    );
  }

  /** By the last configuration that this disk holds. */
  #votersInForce({ entries, lastIndex }: SimDisk): readonly VoterId[] {
    for (let index = lastIndex; index > this.#agreed.lastIndex; index--) {
      const text = entries.get(index);
      if (text?.includes('"configuration"') !== true) continue;
      const entry = JSON.parse(text) as Entry;
      if (entry.kind === 'configuration') return entry.configuration.voters;
    }
    return this.#agreed.configurationAt(lastIndex).voters;
  }

  #isOnMajority(voters: readonly VoterId[], index: number, text: string): boolean {
    const holders = voters.filter((voter) =>
      this.#replicas.some(
        ({ disk }) => disk.voterId === voter && (disk.entries.get(index) === text || disk.firstIndex > index),
      ),
    );
    return holders.length * 2 > voters.length;
  }

  /** Election safety; leader completeness. */
  #onLeading({ name, disk }: Replica, term: number): void {
    const { voterId } = disk;
    const known = this.#leaders.get(term);
    if (known === voterId) return;
    this.check(known === undefined, () => `${name} (${voterId}) leads in term ${term}, and so does ${known}`);
    this.#leaders.set(term, voterId);
    this.#world.count('elections');
    this.#world.note(name, `leads in term ${term} as ${voterId}`);
    for (let index = disk.firstIndex; index <= this.#agreed.lastIndex; index++) {
      const agreed = this.#agreed.at(index);
      if (agreed === undefined || agreed.term >= term || agreed.text === '') continue;
      const held = disk.entries.get(index);
      this.check(held === agreed.text, () => `${name} leads in term ${term} without the committed entry ${index}`);
    }
  }

  /** All rows of all disks, whether their nodes are up or not. */
  sweep(): void {
    for (const { name, disk } of this.#replicas) if (disk.epoch !== undefined) this.checkRows(name, disk);
  }
}
