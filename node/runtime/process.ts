// The runtime `process`: attempts as processes of this machine, each in the hands of a runner that outlives the daemon.
// What the daemon does with an attempt is here; what happens to its processes is in runner.ts and attempt.ts.
import { readdir, readFile } from 'node:fs/promises';
import { assert, SkeinError } from '../../protocol/errors.ts';
import type { Fence } from '../../protocol/ids.ts';
import type { Random } from '../../protocol/random.ts';
import type { StopSignal } from '../../protocol/state/rows.ts';
import type { Clock } from '../../protocol/time.ts';
import { killUntilGone, once } from './kill.ts';
import { freezeAt, type Lease } from './lease.ts';
import { homeArgument, type RunnerDelays, RunnerLink } from './link.ts';
import { platform } from './platform.ts';
import { RunnerPool } from './pool.ts';
import type { AttemptEnded, AttemptSpec, LeaseGrant, RunningAttempt, Runtime } from './port.ts';
import { RunnerHome } from './runner-home.ts';
import {
  ARGUMENTS_LIMIT,
  EXIT_FILE,
  type ExitRecord,
  type FromRunner,
  MARKER_NAME,
  parseExitRecord,
  type RunningRecord,
} from './wire.ts';

export interface ProcessParts {
  /** Its uptime must be the machine's: the runners read the same one. */
  readonly clock: Clock;
  readonly random: Random;
  readonly log: { warn(fields: Readonly<Record<string, unknown>>, message: string): void };
}

export interface ProcessOptions {
  /** Where runners keep their sockets; made if missing. One daemon at a time: the data folder's lock sees to it. */
  readonly runFolder: string;
  /** Holds the folders of the attempts, and nothing else. An attempt's own must stay until its end was dealt with. */
  readonly attemptsFolder: string;
  /** False where a namespace is not wanted. Without one, what leaves its group may outlive a crash of its runner. */
  readonly namespaces?: boolean;
  readonly delays?: Partial<RunnerDelays>;
}

const DELAYS: RunnerDelays = { awayMs: 600_000, idleMs: 5000, frozenMs: 86_400_000 };
const STOP_DEADLINE_MS = 10_000;

type Refusal = Pick<AttemptEnded, 'exit' | 'reason' | 'detail'>;
const TOO_LONG: Refusal = {
  exit: { code: 126, signal: null },
  reason: 'not-executable',
  detail: 'The argument list is too long.',
};
const NO_LEASE: Refusal = {
  exit: { code: null, signal: null },
  reason: 'killed',
  detail: 'The lease had lapsed before it began.',
};

export class ProcessRuntime implements Runtime {
  readonly #parts: ProcessParts;
  readonly #options: ProcessOptions;
  readonly #home: RunnerHome;
  readonly #pool: RunnerPool;
  readonly #held = new Map<RunnerLink, HeldAttempt>();
  #lease: Lease | undefined;

  /** Tries what this machine can do, starts nothing. */
  static async open(parts: ProcessParts, options: ProcessOptions): Promise<ProcessRuntime> {
    const home = await RunnerHome.open(options.runFolder, parts.random, options.namespaces ?? true);
    return new ProcessRuntime(parts, options, home);
  }

  private constructor(parts: ProcessParts, options: ProcessOptions, home: RunnerHome) {
    this.#parts = parts;
    this.#options = options;
    this.#home = home;
    const delays = { ...DELAYS, ...options.delays };
    this.#pool = new RunnerPool(
      async () => this.#listen(await RunnerLink.start(parts.clock, home, delays)),
      (error) => parts.log.warn({ err: error }, 'a runner could not be started'),
    );
  }

  get containment(): Runtime['containment'] {
    return this.#home.containment;
  }

  /** Once, before anything else. */
  async recover(): Promise<readonly RunningAttempt[]> {
    const links = (await Promise.all(this.#home.sockets().map((name) => this.#attach(name)))).filter((link) => !!link);
    await this.#killStrays(links);
    const found = links.flatMap((link) => this.#adopt(link));
    await this.#killMarked((fence) => !found.some((attempt) => attempt.fence === fence));
    // Read after attaching: an attempt that ended in between is in both, and the runner's word comes anyway.
    const records = await this.#readRecords();
    const known = new Set(found.map((attempt) => attempt.fence));
    return [...found, ...records.filter((record) => !known.has(record.fence)).map(endedAttempt)];
  }

  startAhead(slots: number): Promise<void> {
    return this.#pool.startAhead(slots);
  }

  async start(spec: AttemptSpec): Promise<RunningAttempt> {
    const { fence, folder } = spec;
    if (argumentSize(spec) > ARGUMENTS_LIMIT) return this.#refuse(spec, TOO_LONG);
    const link = await this.#pool.acquire();
    for (const held of this.#held.values()) assert(held.fence !== fence, `${fence} is begun twice`);
    // Asked only now, as the runner may have been long in coming; the runner asks once more.
    const lease = this.#lease;
    if (lease === undefined || this.#parts.clock.uptime() >= freezeAt(lease)) {
      this.#pool.giveBack(link, false);
      return this.#refuse(spec, NO_LEASE);
    }
    const attempt = this.#hold(link, { fence, folder, frozen: false, startedAt: this.#parts.clock.now() });
    link.send({ kind: 'start', spec, marker: this.#marker(fence), lease });
    return attempt;
  }

  extend(grant: LeaseGrant): void {
    const lease = { untilMs: grant.untilMs, leaseMs: grant.leaseMs };
    this.#lease = lease;
    const listed = new Set(grant.fences);
    for (const [link, { fence }] of this.#held) link.send({ kind: 'extend', lease, listed: listed.has(fence) });
  }

  async stop({ keep }: { readonly keep: boolean }): Promise<void> {
    const letGo = (link: RunnerLink): Promise<void> => (keep ? link.release() : this.#end(link));
    const idle = this.#pool.close(new SkeinError('runtime-failed', 'The node is stopping'));
    await Promise.all([...this.#pool.busy].map(letGo));
    await Promise.all((await idle).map(letGo));
    this.#home.close();
  }

  #marker(fence: Fence | ''): string {
    return `${this.#home.id}.${fence}`;
  }

  #refuse({ fence, folder }: AttemptSpec, refusal: Refusal): RunningAttempt {
    const now = this.#parts.clock.now();
    return endedAttempt({ fence, folder, ...refusal, startedAt: now, endedAt: now });
  }

  #listen(link: RunnerLink): RunnerLink {
    link.listen({
      onMessage: (message) => this.#onMessage(link, message),
      onGone: (left) => {
        this.#sayLeft(left);
        this.#pool.remove(link);
        const attempt = this.#held.get(link);
        this.#held.delete(link);
        if (attempt !== undefined) void this.#bury(attempt);
      },
    });
    return link;
  }

  #hold(link: RunnerLink, record: RunningRecord): HeldAttempt {
    const attempt = new HeldAttempt(link, record);
    this.#held.set(link, attempt);
    return attempt;
  }

  #onMessage(link: RunnerLink, message: FromRunner): void {
    const attempt = this.#held.get(link);
    if (attempt === undefined) return;
    if (message.kind === 'frozen') attempt.frozen = message.frozen;
    if (message.kind !== 'ended' || message.record.fence !== attempt.fence) return;
    this.#held.delete(link);
    this.#pool.giveBack(link, message.spent);
    attempt.resolve(toEnded(message.record));
  }

  /** Its runner is gone. In a namespace so is all the rest; else that is found and killed now. */
  async #bury(attempt: HeldAttempt): Promise<void> {
    await this.#killMarked((fence) => fence === attempt.fence);
    const record = await this.#readRecord(attempt.folder);
    if (record?.fence === attempt.fence) return attempt.resolve(toEnded(record));
    attempt.resolve({
      exit: { code: null, signal: 'SIGKILL' },
      reason: 'runner-died',
      detail: 'The process that watched over it ended, and it with that.',
      startedAt: attempt.startedAt,
      endedAt: this.#parts.clock.now(),
    });
  }

  async #attach(name: string): Promise<RunnerLink | undefined> {
    try {
      const link = await RunnerLink.attach(this.#parts.clock, this.#home, name);
      if (link === undefined) this.#home.forget(name);
      return link;
    } catch (error) {
      this.#parts.log.warn({ err: error, runner: name }, 'a runner does not answer and is killed');
      this.#home.forget(name);
      return undefined;
    }
  }

  #adopt(link: RunnerLink): readonly RunningAttempt[] {
    const { running, ended } = link.state;
    const attempt = running === null ? undefined : this.#hold(link, running);
    this.#listen(link);
    this.#pool.adopt(link, attempt !== undefined);
    return [...(attempt === undefined ? [] : [attempt]), ...(ended === null ? [] : [endedAttempt(ended)])];
  }

  /** Runners of this folder that did not answer, or were only starting when the last daemon died. */
  async #killStrays(links: readonly RunnerLink[]): Promise<void> {
    const ours = new Set(links.flatMap((link) => link.pids));
    const strays = platform.withArgument(homeArgument(this.#home)).filter((pid) => !ours.has(pid));
    await this.#killAll(once(strays));
  }

  async #killMarked(match: (fence: string) => boolean): Promise<void> {
    const prefix = this.#marker('');
    const ours = (value: string): boolean => value.startsWith(prefix) && match(value.slice(prefix.length));
    await this.#killAll(() => platform.killMarked(MARKER_NAME, ours));
  }

  async #killAll(kill: () => readonly number[]): Promise<void> {
    this.#sayLeft(await killUntilGone(this.#parts.clock, kill));
  }

  #sayLeft(pids: readonly number[]): void {
    if (pids.length === 0) return;
    const sentence = `killed processes hang in the kernel until it lets go of them: ${pids.join(', ')}`;
    this.#parts.log.warn({ pids }, sentence);
  }

  async #readRecords(): Promise<readonly ExitRecord[]> {
    const records: ExitRecord[] = [];
    for (const name of await readdir(this.#options.attemptsFolder)) {
      const record = await this.#readRecord(`${this.#options.attemptsFolder}/${name}`);
      if (record !== undefined) records.push(record);
    }
    return records;
  }

  async #readRecord(folder: string): Promise<ExitRecord | undefined> {
    try {
      const record = parseExitRecord(await readFile(`${folder}/${EXIT_FILE}`, 'utf8'), platform.bootId());
      return record && { ...record, folder };
    } catch {
      // There is none: the attempt has not ended, or the folder is no attempt's.
      return undefined;
    }
  }

  async #end(link: RunnerLink): Promise<void> {
    link.send({ kind: 'leave' });
    const timer = new AbortController();
    const late = this.#parts.clock.sleep(STOP_DEADLINE_MS, timer.signal).then(
      () => link.kill(),
      () => undefined,
    );
    await Promise.race([link.gone, late]);
    timer.abort();
    await link.gone;
  }
}

class HeldAttempt implements RunningAttempt {
  readonly fence: Fence;
  readonly folder: string;
  readonly startedAt: number;
  readonly ended: Promise<AttemptEnded>;
  readonly resolve: (ended: AttemptEnded) => void;
  frozen: boolean;
  readonly #link: RunnerLink;
  #over = false;

  constructor(link: RunnerLink, record: RunningRecord) {
    this.#link = link;
    this.fence = record.fence;
    this.folder = record.folder;
    this.frozen = record.frozen;
    this.startedAt = record.startedAt;
    const { promise, resolve } = Promise.withResolvers<AttemptEnded>();
    this.ended = promise;
    this.resolve = (ended) => {
      // The runner takes the next attempt now, which a late kill must not reach.
      this.#over = true;
      this.frozen = false;
      resolve(ended);
    };
  }

  kill(graceMs: number, signal: StopSignal = 'SIGTERM'): void {
    if (!this.#over) this.#link.send({ kind: 'kill', graceMs, signal });
  }
}

type EndedRecord = AttemptEnded & Pick<ExitRecord, 'fence' | 'folder'>;

function endedAttempt(record: EndedRecord): RunningAttempt {
  const { fence, folder, startedAt } = record;
  return { fence, folder, startedAt, ended: Promise.resolve(toEnded(record)), frozen: false, kill: () => undefined };
}

function toEnded({ exit, reason, detail, startedAt, endedAt }: EndedRecord): AttemptEnded {
  return { exit, reason, detail, startedAt, endedAt };
}

function argumentSize(spec: AttemptSpec): number {
  const words = [...spec.argv, ...Object.entries(spec.env).flat()];
  return words.reduce((sum, word) => sum + word.length, 0);
}
