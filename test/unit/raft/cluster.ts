// Raft cores joined by a network and disks that a test drives by hand or by dice. A crash loses whatever was not synced.
import * as assert from 'uvu/assert';
import { seededRandom } from '../../../node/clock.ts';
import type { EpochId, JobId } from '../../../protocol/ids.ts';
import type { Entry, HardState, Message, VoterId } from '../../../protocol/raft/message.ts';
import { Raft } from '../../../protocol/raft/raft.ts';
import type { ReadState, Ready } from '../../../protocol/raft/ready.ts';
import type { Command } from '../../../protocol/state/command.ts';

export const epochId = 'e'.repeat(32) as EpochId;

export const command = (n: number): Command => ({ kind: 'job.dropped', jobId: `j-${n}` as JobId, at: n });

export class Replica {
  readonly id: VoterId;
  readonly #voters: readonly VoterId[];
  readonly #seed: string;
  #lives = 0;
  /** What a crash leaves. */
  synced: { hardState: HardState; entries: Entry[] } = { hardState: { term: 0, vote: 0, commit: 0 }, entries: [] };
  applied: Entry[] = [];
  reads: ReadState[] = [];
  unsynced: Ready[] = [];
  raft: Raft;

  constructor(id: VoterId, voters: readonly VoterId[], seed: string) {
    this.id = id;
    this.#voters = voters;
    this.#seed = seed;
    this.raft = this.#start();
  }

  #start(): Raft {
    const log = {
      lastIndex: this.synced.entries.length,
      term: (index: number) => this.synced.entries[index - 1]?.term,
      entry: (index: number) => this.synced.entries[index - 1],
    };
    return new Raft(
      { log, random: seededRandom(`${this.#seed}/${this.id}/${this.#lives++}`) },
      {
        epochId,
        id: this.id,
        voters: this.#voters,
        hardState: this.synced.hardState,
        appliedIndex: this.applied.length,
        electionTicks: 10,
        heartbeatTicks: 2,
        batchMax: 4,
      },
    );
  }

  crash(): void {
    this.unsynced = [];
    this.reads = [];
    this.raft = this.#start();
  }

  /** Takes every Ready; @returns the messages that may go at once. */
  collect(): Message[] {
    const messages: Message[] = [];
    for (let ready = this.raft.ready(); ready !== undefined; ready = this.raft.ready()) {
      messages.push(...ready.messages);
      this.unsynced.push(ready);
      this.applied.push(...ready.committed);
      this.reads.push(...ready.reads);
    }
    return messages;
  }

  /** Persists the oldest Ready that is not yet; @returns the messages that were owed until then. */
  syncOne(): readonly Message[] {
    const ready = this.unsynced.shift();
    if (ready === undefined) return [];
    const first = ready.entries[0]?.index;
    if (first !== undefined) this.synced.entries = [...this.synced.entries.slice(0, first - 1), ...ready.entries];
    if (ready.hardState !== undefined) this.synced.hardState = ready.hardState;
    this.raft.advance(ready);
    return ready.messagesAfterSync;
  }
}

export class Cluster {
  readonly replicas: Map<VoterId, Replica>;
  network: Message[] = [];
  /** Voters that hear and say nothing. */
  readonly cut = new Set<VoterId>();
  readonly #leaders = new Map<number, VoterId>();

  constructor(voters: readonly VoterId[], seed = 'cluster') {
    this.replicas = new Map(voters.map((id) => [id, new Replica(id, voters, seed)]));
  }

  at(id: VoterId): Replica {
    const replica = this.replicas.get(id);
    if (replica === undefined) throw new Error(`no voter ${id}`);
    return replica;
  }

  get leader(): Replica | undefined {
    const leading = [...this.replicas.values()].filter((one) => one.raft.state === 'leader' && !this.cut.has(one.id));
    return leading.sort((a, b) => b.raft.term - a.raft.term)[0];
  }

  say(messages: readonly Message[]): void {
    this.network.push(...messages.filter((one) => !this.cut.has(one.from) && !this.cut.has(one.to)));
  }

  deliver(message: Message): void {
    if (!this.cut.has(message.to)) this.at(message.to).raft.step(message);
  }

  /** Everything that is due is done, in order, until nothing is left. */
  settle(): void {
    for (let busy = true; busy; ) {
      busy = false;
      for (const replica of this.replicas.values()) {
        this.say(replica.collect());
        while (replica.unsynced.length > 0) {
          this.say(replica.syncOne());
          this.say(replica.collect());
          busy = true;
        }
      }
      const messages = this.network.splice(0);
      for (const message of messages) this.deliver(message);
      busy ||= messages.length > 0;
    }
    this.check();
  }

  tick(id: VoterId, times = 1): void {
    for (let n = 0; n < times; n++) this.at(id).raft.tick();
  }

  /** One voter runs out of patience and wins. */
  elect(id: VoterId): Replica {
    this.tick(id, 20);
    this.settle();
    assert.is(this.at(id).raft.state, 'leader', `voter ${id} was elected`);
    return this.at(id);
  }

  /** One leader a term; what was applied is the same everywhere and held by a majority's disks. */
  check(): void {
    const longest = [...this.replicas.values()].map((one) => one.applied).sort((a, b) => b.length - a.length)[0] ?? [];
    for (const { id, raft, applied } of this.replicas.values()) {
      if (raft.state === 'leader') {
        assert.is(this.#leaders.get(raft.term) ?? id, id, `one leader in term ${raft.term}`);
        this.#leaders.set(raft.term, id);
      }
      assert.equal(applied, longest.slice(0, applied.length), `voter ${id} applied what the others did`);
    }
    const newest = longest.at(-1);
    if (newest === undefined) return;
    const holders = [...this.replicas.values()].filter(
      (one) => one.synced.entries[newest.index - 1]?.term === newest.term,
    );
    assert.ok(holders.length * 2 > this.replicas.size, `entry ${newest.index} is on a majority's disks`);
  }
}
