// The slow duties: jobs, idempotency keys and tickets kept no longer leave the log, by record and so by the leader. On every
// gateway, blobs that no row names any more leave the disk, and those that one names are put back where they should be too.
import type { JobId } from '../../protocol/ids.ts';
import type { Random } from '../../protocol/random.ts';
import {
  type IdempotencyRow,
  keys,
  type ProgressRow,
  type SettingsRow,
  type TicketRow,
} from '../../protocol/state/rows.ts';
import type { Clock } from '../../protocol/time.ts';
import type { BlobStore } from '../blob/port.ts';
import type { Restorer } from '../blob/restore.ts';
import { sweepBlobs } from '../blob/sweep.ts';
import type { ReplicatedLog } from '../consensus/log.ts';
import type { Log } from '../log.ts';
import { type HeldKey, jobsPastKeep, keysPastUse, ticketPastUse } from '../policy/retention.ts';
import type { Duty } from './leader.ts';

const RETENTION_EVERY_MS = 10 * 60_000;
const SWEEP_EVERY_MS = 60 * 60_000;
const COPIES_EVERY_MS = 20_000;
const BARRIER_TIMEOUT_MS = 10_000;
const PROPOSE_TIMEOUT_MS = 10_000;
/** A pass drops no more: each is a record in the log, and others want to write too. */
const DROPS_MAX = 1_000;
const KEYS_PER_RECORD = 500;

export interface HousekeepingParts {
  readonly log: ReplicatedLog;
  readonly blobs: BlobStore;
  /** Reads lists wherever they are in the mesh. */
  readonly lists: Pick<BlobStore, 'read'>;
  readonly restorer: Pick<Restorer, 'pass'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly out: Log;
  readonly settings: () => SettingsRow;
}

export function housekeeping(parts: HousekeepingParts): readonly Duty[] {
  return [
    { name: 'retention', everyMs: RETENTION_EVERY_MS, pass: (signal) => dropOld(parts, signal) },
    { name: 'sweep', everyMs: SWEEP_EVERY_MS, everywhere: true, pass: (signal) => sweep(parts, signal) },
    { name: 'copies', everyMs: COPIES_EVERY_MS, everywhere: true, pass: (signal) => parts.restorer.pass(signal) },
  ];
}

async function dropOld(parts: HousekeepingParts, signal: AbortSignal): Promise<void> {
  const { log, clock } = parts;
  const options = { timeoutMs: PROPOSE_TIMEOUT_MS, signal };
  const limits = { now: clock.now(), max: DROPS_MAX };
  for (const jobId of await pastKeep(log, parts.settings(), limits)) {
    await log.propose({ kind: 'job.dropped', jobId, at: clock.now() }, options);
  }
  const isKept = (jobId: JobId): boolean => log.view.get(keys.job(jobId)) !== undefined;
  for (const [project, past] of keysPastUse(await heldKeys(log), isKept, limits)) {
    for (let from = 0; from < past.length; from += KEYS_PER_RECORD) {
      const some = past.slice(from, from + KEYS_PER_RECORD);
      await log.propose({ kind: 'idempotency.dropped', project, keys: some, at: clock.now() }, options);
    }
  }
  const tickets = await expiredTickets(log, limits);
  for (let from = 0; from < tickets.length; from += KEYS_PER_RECORD) {
    const secretHashes = tickets.slice(from, from + KEYS_PER_RECORD);
    await log.propose({ kind: 'tickets.dropped', secretHashes, at: clock.now() }, options);
  }
}

/** Judged one by one as they are read: a mesh may keep a million. */
async function pastKeep(
  log: ReplicatedLog,
  settings: SettingsRow,
  limits: { now: number; max: number },
): Promise<readonly JobId[]> {
  const past: JobId[] = [];
  for await (const [, progress] of log.scan<ProgressRow>('progress/')) {
    const job = progress.finishedAt === null ? undefined : log.view.get(keys.job(progress.jobId));
    if (job !== undefined) past.push(...jobsPastKeep([{ job, progress }], settings, limits));
    if (past.length >= limits.max) break;
  }
  return past;
}

async function expiredTickets(
  log: ReplicatedLog,
  { now, max }: { now: number; max: number },
): Promise<readonly string[]> {
  const past: string[] = [];
  for await (const [rowKey, row] of log.scan<TicketRow>('ticket/')) {
    if (past.length >= max) break;
    if (ticketPastUse(row, now)) past.push(rowKey.slice('ticket/'.length));
  }
  return past;
}

async function heldKeys(log: ReplicatedLog): Promise<readonly HeldKey[]> {
  const held: HeldKey[] = [];
  for await (const [rowKey, row] of log.scan<IdempotencyRow>('idempotency/')) {
    const [, project = '', ...rest] = rowKey.split('/');
    held.push({ project, key: rest.join('/'), row });
  }
  return held;
}

async function sweep({ log, blobs, lists, clock, random, out }: HousekeepingParts, signal: AbortSignal): Promise<void> {
  // Rows that are behind do not name what was copied here for the latest ones.
  await log.readBarrier({ timeoutMs: BARRIER_TIMEOUT_MS, signal });
  const scan = <Row>(prefix: string) => log.scan<Row>(prefix);
  const report = await sweepBlobs({ store: blobs, lists, scan, clock, random }, signal);
  const { blobs: count, bytes, uploads, failures } = report;
  if (count + uploads > 0) out.info({ count, bytes, uploads }, 'blobs that nothing names any more were removed');
  for (const failure of failures)
    out.warn({ err: failure }, 'the sweep could not remove or read something; the next one tries again');
}
