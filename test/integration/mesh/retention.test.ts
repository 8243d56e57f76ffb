// Weeks of the same work every day over the real log, storage and blobs, with a wall clock that jumps from day to day:
// what is kept no longer goes, and the data folder stops growing.
import { lstatSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FileBlobStore } from '../../../node/blob/files.ts';
import { realClock, seededRandom } from '../../../node/clock.ts';
import { Consensus } from '../../../node/consensus/driver.ts';
import { housekeeping } from '../../../node/leader/housekeeping.ts';
import { silentLog } from '../../../node/log.ts';
import { LevelStorage } from '../../../node/storage/level.ts';
import { type Fence, type JobId, makeFence, makeJobId, type Sha256 } from '../../../protocol/ids.ts';
import { apply } from '../../../protocol/state/apply.ts';
import type { Command } from '../../../protocol/state/command.ts';
import { ANN, EPOCH, resultOf } from '../../support/state.ts';

const DAY_MS = 86_400_000;
const KEEP_DAYS = 2;
const DAYS = 26;
/** Idempotency keys are kept for a week; a blob goes a day after the last row that named it. */
const STEADY_FROM = 12;
const JOBS = 16;
const TASKS = 2;

const random = seededRandom('retention');

/** Enough for LevelDB to put its log into tables several times a week. */
const text = (): string => Buffer.from(random.bytes(30_000)).toString('base64');

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function sizeOf(folder: string): number {
  let bytes = 0;
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const { blocks } = lstatSync(join(folder, name));
    bytes += (blocks ?? 0) * 512;
  }
  return bytes;
}

class Month {
  readonly folder = mkdtempSync(join(tmpdir(), 'skein-month-'));
  readonly blobs: FileBlobStore;
  readonly log: Consensus;
  readonly #storage: LevelStorage;
  readonly #clock = realClock();
  #day = 0;

  constructor() {
    const clock = { ...this.#clock, now: () => this.#clock.now() + this.#day * DAY_MS };
    this.#storage = new LevelStorage({ clock }, { folder: this.folder });
    this.blobs = new FileBlobStore({ clock }, { folder: this.folder, reserve: 0, durable: true });
    const initialEpoch = { number: 1, id: EPOCH };
    this.log = new Consensus({ storage: this.#storage, clock, random, apply }, { initialEpoch, keepEntries: 300 });
    this.#now = clock.now;
  }

  readonly #now: () => number;

  async start(): Promise<void> {
    await this.blobs.start();
    await this.log.start();
    const at = this.#now();
    await this.propose({
      kind: 'mesh.created',
      meshId: 'cd'.repeat(16) as never,
      founder: ANN,
      name: 'm',
      epochId: EPOCH,
      at,
    });
    await this.propose({ kind: 'settings.set', settings: { keepMs: KEEP_DAYS * DAY_MS }, at });
    const member = { peerId: ANN, name: 'ann', boxKey: 'x', observer: null, ticket: null, at };
    await this.propose({ kind: 'member.joined', roles: ['worker', 'gateway', 'voter'], ...member });
    await this.propose({ kind: 'member.adopted', peerId: ANN, incarnation: 1, fences: [], begun: [], at });
  }

  async stop(): Promise<void> {
    await this.log.stop();
    await this.#storage.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async propose(command: Command): Promise<number> {
    const { index, outcome } = await this.log.propose(command, { timeoutMs: 20_000 });
    assert.is(outcome.kind, 'done', JSON.stringify(outcome));
    return index;
  }

  async aDay(): Promise<void> {
    this.#day++;
    await Promise.all(Array.from({ length: JOBS }, () => this.#aJob()));
    await this.#aTicket();
    const settings = () => ({ leaseMs: 15_000, heartbeatMs: 1_000, keepMs: KEEP_DAYS * DAY_MS });
    const { log, blobs } = this;
    const clock = { ...this.#clock, now: this.#now };
    const restorer = { pass: async () => {} };
    const parts = { log, blobs, lists: blobs, restorer, clock, random, out: silentLog, settings };
    for (const duty of housekeeping(parts)) await duty.pass(AbortSignal.timeout(20_000));
  }

  async #aTicket(): Promise<void> {
    const at = this.#now();
    const secretHash = Buffer.from(random.bytes(32)).toString('hex');
    const ticket = { secretHash, uses: 1, by: 'k', project: 'default', idempotency: null };
    await this.propose({ kind: 'ticket.created', roles: ['worker'], expiresAt: at + 900_000, ...ticket, at });
  }

  async #aJob(): Promise<void> {
    const at = this.#now();
    const jobId = makeJobId(random.bytes(10));
    const input = await this.#blob();
    const spec = {
      schema: 'skein.jobspec/1' as const,
      command: ['x'],
      args: [text()],
      inputs: [{ path: 'in', sha256: input }],
    };
    const idempotency = { key: jobId, bodyHash: input };
    await this.propose({
      kind: 'job.submitted',
      jobId,
      project: 'default',
      spec,
      taskCount: TASKS,
      by: 'k',
      idempotency,
      at,
    });
    for (let task = 1; task <= TASKS; task++) await this.#aTask(jobId, task);
  }

  async #aTask(jobId: JobId, task: number): Promise<void> {
    const grant = { peerId: ANN, incarnation: 1, jobId, task, at: this.#now() };
    const fence: Fence = makeFence(EPOCH, await this.propose({ kind: 'task.granted', ...grant }));
    const span = { blob: await this.#blob(), offset: 0, sizeBytes: 1_000 };
    const result = { ...resultOf(), stdout: span };
    await this.propose({ kind: 'task.finished', fence, result, ...grant });
  }

  async #blob(): Promise<Sha256> {
    return (await this.blobs.put(once(random.bytes(20_000)), {})).sha256;
  }

  /** How many rows of each kind there are. */
  async rows(): Promise<Readonly<Record<string, number>>> {
    const counts: Record<string, number> = {};
    for await (const [key] of this.log.scan('')) {
      const kind = key.split('/')[0] ?? '';
      counts[kind] = (counts[kind] ?? 0) + 1;
    }
    return counts;
  }
}

test('a mesh that does the same work every day stops growing', async () => {
  const month = new Month();
  try {
    await month.start();
    const sizes: number[] = [];
    let steady: unknown;
    for (let day = 1; day <= DAYS; day++) {
      await month.aDay();
      sizes.push(sizeOf(month.folder));
      const seen = { rows: await month.rows(), blobs: (await month.blobs.usage()).count };
      if (day === STEADY_FROM) steady = seen;
      if (day > STEADY_FROM) assert.equal(seen, steady, `day ${day}`);
    }
    assert.is((steady as { rows: { job: number } }).rows.job, KEEP_DAYS * JOBS);
    // LevelDB gives room back when it merges its tables, so the size goes up and down; without end it would have doubled twice.
    const [early, late] = [sizes.slice(0, STEADY_FROM), sizes.slice(-6)];
    assert.ok(Math.max(...late) < 2 * Math.max(...early), `bytes by day: ${sizes.join(' ')}`);
  } finally {
    await month.stop();
  }
});

test.run();
