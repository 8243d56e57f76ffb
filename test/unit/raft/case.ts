// Runs a case: steps and expectations, one a line, as cases/README.md has them. Nothing here decides what is right: the
// expectations in the files do, and no tool writes them.
import type { MembershipChange } from '../../../protocol/raft/configuration.ts';
import type { ChangeResult } from '../../../protocol/raft/leader.ts';
import { type Configuration, NOBODY } from '../../../protocol/raft/message.ts';
import { Cluster, type epochId, type Flight, type Node, type Settings } from './cluster.ts';
import {
  command,
  ids,
  number,
  parseConfiguration,
  parseEntries,
  parseMessage,
  printConfiguration,
  printEntry,
  printMessage,
} from './notation.ts';

/** Chance that always draws the most patience: nobody campaigns unless the case makes it. */
const patient = { next: () => 1 - 2 ** -20, bytes: () => new Uint8Array(), fork: () => patient };

interface Line {
  readonly number: number;
  readonly text: string;
  /** The indented lines under it. */
  readonly block: readonly string[];
}

/** Fails with file, line and, for an expectation, what was found. */
export function runCase(file: string, text: string): void {
  const run = new Case();
  const lines = readLines(text);
  if (!lines.some((line) => line.text.startsWith('expect '))) throw new Error(`${file}: nothing is expected`);
  for (const line of lines) {
    try {
      run.step(line);
    } catch (error) {
      const { message } = error as Error;
      throw new Error(`${file}:${line.number}: ${line.text}\n${message}`, { cause: error });
    }
  }
}

function readLines(text: string): Line[] {
  const lines: { number: number; text: string; block: string[] }[] = [];
  for (const [n, raw] of text.split('\n').entries()) {
    const line = raw.replace(/#.*/, '').trimEnd();
    if (line === '') continue;
    if (/^\s/.test(line)) lines.at(-1)?.block.push(line.trim());
    else lines.push({ number: n + 1, text: line, block: [] });
  }
  return lines;
}

class Mismatch extends Error {
  constructor(expected: readonly string[], found: readonly string[]) {
    const gone = expected.filter((line) => !found.includes(line)).map((line) => `- ${line}`);
    const extra = found.filter((line) => !expected.includes(line)).map((line) => `+ ${line}`);
    const order = gone.length + extra.length > 0 ? [] : ['in this order:', ...found.map((line) => `+ ${line}`)];
    super([...gone, ...extra, ...order].join('\n'));
  }
}

class Case {
  #settings: Partial<Settings> = {};
  #cluster = new Cluster(patient);
  #initial: Configuration = { voters: [], learners: [] };
  readonly #labels: string[] = [];

  step({ text, block }: Line): void {
    const [verb = '', ...words] = text.split(/\s+/);
    if (verb === 'expect') {
      this.#expect(words, block);
      return;
    }
    const act = this.#verbs[verb];
    if (act === undefined) throw new Error(`there is no step ${verb}`);
    act(words);
    this.#cluster.work();
    this.#cluster.invariants.check();
    this.#cluster.invariants.checkLogs();
  }

  readonly #verbs: Readonly<Record<string, (words: readonly string[]) => void>> = {
    options: (words) => this.#options(words),
    nodes: ([voters = '']) => {
      this.#cluster = new Cluster(patient, this.#settings);
      this.#initial = parseConfiguration(voters);
      for (const id of [...this.#initial.voters, ...this.#initial.learners]) this.#cluster.add(id, this.#initial);
    },
    blank: ([id = '']) => {
      this.#cluster.add(number(id), this.#initial);
    },
    disk: (words) => this.#disk(words),
    tick: ([who = '', times = 'x1']) => {
      for (const id of ids(who)) this.#tick(id, number(times.slice(1)));
    },
    campaign: ([id = '']) => this.#campaign(number(id)),
    elect: ([id = '']) => this.#elect(number(id)),
    propose: ([id = '', ...labels]) => {
      const isRefused = labels.at(-1) === '!';
      for (const label of isRefused ? labels.slice(0, -1) : labels) {
        const index = this.#raft(id).propose(command(label));
        this.#taken(index !== undefined, isRefused);
      }
    },
    read: ([id = '', ...labels]) => {
      const isRefused = labels.at(-1) === '!';
      for (const label of isRefused ? labels.slice(0, -1) : labels) {
        const context = this.#labels.push(label);
        this.#cluster.invariants.onReadAsked(context);
        this.#taken(this.#raft(id).readIndex(context), isRefused);
      }
    },
    change: (words) => this.#change(words),
    transfer: ([id = '', to = '', mark]) => this.#taken(this.#raft(id).transferTo(number(to)), mark === '!'),
    unreachable: ([id = '', to = '']) => this.#raft(id).onUnreachable(number(to)),
    deliver: (words) => {
      for (const flight of this.#select(words)) {
        this.#cluster.deliver(flight);
        this.#cluster.work();
      }
    },
    drop: (words) => {
      const dropped = this.#select(words);
      this.#cluster.flights = this.#cluster.flights.filter((flight) => !dropped.includes(flight));
    },
    double: (words) => this.#cluster.flights.push(...this.#select(words).map((flight) => ({ ...flight }))),
    hold: (words) => {
      for (const flight of this.#select(words)) flight.isHeld = true;
    },
    release: (words) => {
      const held = this.#select(words, true);
      for (const flight of held) flight.isHeld = false;
    },
    inject: (words) => {
      const isForeign = words.at(-1) === 'foreign';
      const message = parseMessage((isForeign ? words.slice(0, -1) : words).join(' '));
      const foreign = isForeign ? { epochId: 'f'.repeat(32) as typeof epochId } : {};
      this.#cluster.flights.push({ message: { ...message, ...foreign }, isHeld: false });
    },
    settle: () => this.#cluster.settle(),
    cut: (words) => {
      for (const way of this.#ways(words)) this.#cluster.cuts.add(way);
    },
    heal: () => this.#cluster.cuts.clear(),
    slow: ([who = '']) => {
      for (const id of ids(who)) this.#cluster.at(id).isSlow = true;
    },
    fast: ([who = '']) => {
      for (const id of ids(who)) this.#cluster.at(id).isSlow = false;
    },
    sync: ([id = '', times]) => this.#sync(this.#cluster.at(number(id)), times === undefined ? 1e9 : number(times)),
    crash: ([who = '']) => {
      for (const id of ids(who)) this.#cluster.at(id).crash();
    },
    restart: ([who = '']) => {
      for (const id of ids(who)) {
        this.#cluster.at(id).crash();
        this.#cluster.at(id).start();
      }
    },
    compact: ([id = '', index = '']) => this.#cluster.at(number(id)).compact(number(index)),
    snapshot: ([way = '', at]) => this.#snapshot(way, at),
    report: ([id = '', to = '', outcome = '']) => {
      this.#raft(id).onSnapshotSent(number(to), outcome === 'failed' ? undefined : number(outcome));
    },
  };

  #raft(id: string) {
    const { raft } = this.#cluster.at(number(id));
    if (raft === undefined) throw new Error(`node ${id} is down`);
    return raft;
  }

  #taken(was: boolean, isRefused: boolean): void {
    if (was === isRefused) throw new Mismatch([isRefused ? 'refused' : 'taken'], [was ? 'taken' : 'refused']);
  }

  #options(words: readonly string[]): void {
    this.#settings = Object.fromEntries(words.map((word) => word.split('=')).map(([k, v = '']) => [k, number(v)]));
  }

  /** `disk 1 term=3 vote=2 commit=1: 1 1:a 3` */
  #disk(words: readonly string[]): void {
    const [head = '', log = ''] = words.join(' ').split(/:\s|:$/, 2);
    const [id = '', ...pairs] = head.split(' ');
    const values = new Map(pairs.map((pair) => pair.split('=') as [string, string]));
    const value = (key: string) => number(values.get(key) ?? '0');
    const node = this.#cluster.at(number(id));
    node.crash();
    node.disk.hardState = { term: value('term'), vote: value('vote'), commit: value('commit') };
    node.disk.entries = parseEntries(log.split(' ').filter(Boolean));
    node.start();
  }

  #tick(id: number, times: number): void {
    for (let n = 0; n < times; n++) {
      this.#cluster.at(id).raft?.tick();
      this.#cluster.work();
    }
  }

  /** Ticks it until it asks for votes. */
  #campaign(id: number): void {
    const { raft } = this.#cluster.at(id);
    for (let n = 0; n < 20; n++) {
      raft?.tick();
      if (raft?.state === 'precandidate' || raft?.state === 'candidate') return;
    }
    throw new Error(`node ${id} does not campaign`);
  }

  #elect(id: number): void {
    this.#campaign(id);
    this.#cluster.settle();
    const { state } = this.#raft(String(id));
    if (state !== 'leader') throw new Mismatch(['leader'], [state]);
  }

  /** `change 1 add`, `change 1 promote 4 5`, `change 1 remove 3`; `! REASON` behind it where it is refused. */
  #change(words: readonly string[]): void {
    const at = words.indexOf('!');
    const [id = '', kind, ...who] = at === -1 ? words : words.slice(0, at);
    const voterIds = who.map(number);
    const changes: Readonly<Record<string, MembershipChange>> = {
      add: { kind: 'add-learner' },
      promote: { kind: 'promote', voterIds },
      remove: { kind: 'remove', voterId: voterIds[0] ?? NOBODY },
    };
    const change = changes[kind ?? ''];
    if (change === undefined) throw new Error(`no such change: ${kind}`);
    const result: ChangeResult = this.#raft(id).changeMembership(change);
    const expected = at === -1 ? 'taken' : words.slice(at + 1).join(' ');
    const found = result.ok ? 'taken' : result.reason;
    if (expected !== found) throw new Mismatch([expected], [found]);
  }

  /** `1->2`, `*->2`, `*`; then a kind; then `n`, the n-th of those. */
  #select(words: readonly string[], isHeld = false): Flight[] {
    const [way = '*', ...rest] = words;
    const [from = '*', to = '*'] = way === '*' ? [] : way.split('->');
    const kind = rest.find((word) => !/^\d+$/.test(word));
    const nth = rest.find((word) => /^\d+$/.test(word));
    const fits = (text: string, id: number) => text === '*' || ids(text).includes(id);
    const found = this.#cluster.flights.filter(
      (flight) =>
        flight.isHeld === isHeld &&
        fits(from, flight.message.from) &&
        fits(to, flight.message.to) &&
        (kind === undefined || flight.message.kind === kind),
    );
    const chosen = nth === undefined ? found : found.slice(number(nth) - 1, number(nth));
    if (chosen.length === 0)
      throw new Error(`no such message is under way:\n${this.#flights(words.slice(0, 1)).join('\n')}`);
    return chosen;
  }

  #flights(words: readonly string[]): string[] {
    const [way = '*', kind] = words;
    const [from = '*', to = '*'] = way === '*' ? [] : way.split('->');
    const fits = (text: string, id: number) => text === '*' || ids(text).includes(id);
    return this.#cluster.flights
      .map((flight) => flight.message)
      .filter((message) => fits(from, message.from) && fits(to, message.to))
      .filter((message) => kind === undefined || message.kind === kind)
      .map(printMessage);
  }

  /** `1->2` one way, `1,2|3` both ways between two sides, `1` from all others. */
  *#ways(words: readonly string[]): Generator<string> {
    for (const word of words) {
      if (word.includes('->')) {
        yield word;
        continue;
      }
      const [one = '', other] = word.split('|');
      const all = [...this.#cluster.nodes.keys()];
      const others = other === undefined ? all.filter((id) => !ids(one).includes(id)) : ids(other);
      for (const a of ids(one)) for (const b of others) yield* [`${a}->${b}`, `${b}->${a}`];
    }
  }

  #sync(node: Node, times: number): void {
    for (let n = 0; n < times && node.unsynced.length > 0; n++) {
      node.syncOne();
      node.collect();
    }
  }

  /** The shell answers what is due: `snapshot 1->3`, or of an earlier index, `snapshot 1->3 at=2`. */
  #snapshot(way: string, at: string | undefined): void {
    const [from = '', to = ''] = way.split('->');
    const node = this.#cluster.at(number(from));
    const due = node.snapshotsDue.find((envelope) => envelope.to === number(to));
    if (due === undefined) throw new Error(`no snapshot is due from ${from} to ${to}`);
    node.snapshotsDue = node.snapshotsDue.filter((envelope) => envelope !== due);
    const snapshot = node.placeAt(at === undefined ? undefined : number(at.slice('at='.length)));
    this.#cluster.say([{ ...due, kind: 'snapshot', snapshot }]);
  }

  // Expectations

  #expect(words: readonly string[], block: readonly string[]): void {
    const [what = '', ...rest] = words;
    if (what === 'log') this.#expectLogs(rest);
    else if (what === 'flight') same(block, this.#flights(rest));
    else if (what === 'reads') this.#expectReads(rest);
    else if (what === 'followers') this.#expectFollowers(rest);
    else if (what === 'snapshots') this.#expectSnapshots(rest);
    else for (const id of ids(what)) this.#expectState(id, rest);
  }

  /** `expect 1,2 follower t3 commit=2`: only what is named is compared. */
  #expectState(id: number, words: readonly string[]): void {
    const { raft, disk, applied } = this.#cluster.at(id);
    const found = new Map<string, string>([
      ['vote', String(disk.hardState.vote)],
      ['commit', String(raft?.commitIndex)],
      ['applied', String(applied)],
      ['last', String(raft?.lastIndex)],
      ['leader', String(raft?.leader)],
      ['config', raft === undefined ? '' : printConfiguration(raft.configuration)],
    ]);
    const flags = [raft?.state ?? 'down', `t${raft?.term}`];
    if (raft?.wasRemoved === true) flags.push('removed');
    if (raft?.isTransferring === true) flags.push('transferring');
    const shown = words.map((word) => {
      const [key = '', value] = word.split('=');
      if (value !== undefined) return `${key}=${found.get(key)}`;
      if (flags.includes(word)) return word;
      return flags.join(' ');
    });
    if (shown.join(' ') !== words.join(' '))
      throw new Mismatch([`${id} ${words.join(' ')}`], [`${id} ${shown.join(' ')}`]);
  }

  /** `expect log 1,2: 1 1:a 2`: as synced; `(4/2)` in front is the entry before the first one kept. */
  #expectLogs(words: readonly string[]): void {
    const [who = '', ...expected] = words;
    for (const id of ids(who.replace(/:$/, ''))) {
      const { base, entries } = this.#cluster.at(id).disk;
      const found = [...(base.index > 0 ? [`(${base.index}/${base.term})`] : []), ...entries.map(printEntry)];
      same([`log ${id}: ${expected.join(' ')}`.trimEnd()], [`log ${id}: ${found.join(' ')}`.trimEnd()]);
    }
  }

  /** `expect reads 1: a@3 b@3`: answered since this was last asked. */
  #expectReads([who = '', ...expected]: readonly string[]): void {
    const reads = this.#cluster.at(number(who.replace(/:$/, ''))).reads.splice(0);
    for (const { context, index } of reads) this.#cluster.invariants.onReadAnswered(context, index);
    same([expected.join(' ')], [reads.map(({ context, index }) => `${this.#labels[context - 1]}@${index}`).join(' ')]);
  }

  /** `expect followers 1: 2=replicate@3 3=probe@0` */
  #expectFollowers([who = '', ...expected]: readonly string[]): void {
    const { followers } = this.#raft(who.replace(/:$/, ''));
    same(
      [expected.join(' ')],
      [followers.map(({ voterId, match, state }) => `${voterId}=${state}@${match}`).join(' ')],
    );
  }

  /** `expect snapshots 1: 3`: to whom node 1 owes one. */
  #expectSnapshots([who = '', ...expected]: readonly string[]): void {
    const { snapshotsDue } = this.#cluster.at(number(who.replace(/:$/, '')));
    same([expected.join(' ')], [snapshotsDue.map(({ to }) => to).join(' ')]);
  }
}

function same(expected: readonly string[], found: readonly string[]): void {
  if (expected.join('\n') !== found.join('\n')) throw new Mismatch(expected, found);
}
