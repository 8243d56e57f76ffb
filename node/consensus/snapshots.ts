// Snapshots between replicas: all rows at one index, in key order and in pieces, staged by whoever receives them until all
// are there. A piece that was lost is sent again, from the key up to which the receiver has it.
import { SkeinError } from '../../protocol/errors.ts';
import type { EpochId, PeerId } from '../../protocol/ids.ts';
import type { Configuration, Envelope, Message } from '../../protocol/raft/message.ts';
import { keys, type ReplicasRow } from '../../protocol/state/rows.ts';
import type { Clock } from '../../protocol/time.ts';
import type { RowsTaken, SnapshotRows } from '../../protocol/wire/replica.ts';
import { compareKeys } from '../storage/keys.ts';
import type { LogStorage, Snapshot } from '../storage/port.ts';
import type { Links } from './links.ts';

/** A piece ends with the row that reaches either. */
const PIECE_ROWS = 2_000;
const PIECE_BYTES = 128 * 1024;
const PIECE_TIMEOUT_MS = 10_000;
const PAUSE_MS = 200;
/** Of one piece; then the leader sees anew what that follower needs. */
const TRIES = 50;

type Row = readonly [string, unknown];

export interface Sendable extends Snapshot {
  readonly term: number;
  /** Where no row says it. */
  readonly initial: Configuration;
}

/** @returns whether the snapshot is whole at the receiver. Fails with the signal's reason. */
export async function sendSnapshot(
  { links, clock }: { readonly links: Links; readonly clock: Clock },
  { index, term, stateHash, rows, initial }: Sendable,
  { epochId, envelope, peer }: { readonly epochId: EpochId; readonly envelope: Envelope; readonly peer: PeerId },
  signal: AbortSignal,
): Promise<boolean> {
  const { from, to } = envelope;
  let configuration = initial;
  let after: string | null = null;
  const send = async (piece: readonly Row[], isLast: boolean): Promise<RowsTaken | undefined> => {
    const end = isLast ? { term, configuration: asLists(configuration), stateHash } : null;
    const body: SnapshotRows = { epochId, term: envelope.term, from, to, index, after, rows: [...piece], end };
    for (let tried = 0; tried < TRIES; tried++) {
      try {
        return await links.sendRows(peer, body, { timeoutMs: PIECE_TIMEOUT_MS, signal });
      } catch {
        await clock.sleep(PAUSE_MS, signal);
      }
    }
    return undefined;
  };
  for await (const piece of pieces(rows)) {
    for (const [key, row] of piece) if (key === keys.replicas) configuration = (row as ReplicasRow).configuration;
    const last = piece.at(-1)?.[0] ?? null;
    const taken = await send(piece, false);
    if (taken?.whole === true) return true;
    // It has forgotten what came before, or would not have this one: the next snapshot begins again.
    if (taken === undefined || last === null || taken.lastKey === null || compareKeys(taken.lastKey, last) < 0)
      return false;
    after = last;
  }
  return (await send([], true))?.whole === true;
}

const asLists = ({ voters, learners }: Configuration) => ({ voters: [...voters], learners: [...learners] });

async function* pieces(rows: AsyncIterable<Row>): AsyncGenerator<Row[]> {
  let piece: Row[] = [];
  let sizeBytes = 0;
  for await (const row of rows) {
    piece.push(row);
    sizeBytes += row[0].length + JSON.stringify(row[1]).length;
    if (piece.length < PIECE_ROWS && sizeBytes < PIECE_BYTES) continue;
    yield piece;
    piece = [];
    sizeBytes = 0;
  }
  if (piece.length > 0) yield piece;
}

/** Takes pieces in, one at a time. */
export class SnapshotReceiver {
  readonly #storage: Pick<LogStorage, 'stage' | 'staged'>;
  /** A whole one is being taken into use: it must not be replaced under that. */
  readonly #isInstalling: () => boolean;
  #taking: Promise<unknown> = Promise.resolve();

  constructor(storage: Pick<LogStorage, 'stage' | 'staged'>, isInstalling: () => boolean) {
    this.#storage = storage;
    this.#isInstalling = isInstalling;
  }

  /** @param step is handed the message that ends a whole snapshot. Fails as the storage does. */
  take(piece: SnapshotRows, step: (message: Message) => void): Promise<RowsTaken> {
    const taken = this.#taking.then(() => this.#take(piece, step));
    this.#taking = taken.catch(() => undefined);
    return taken;
  }

  async #take(piece: SnapshotRows, step: (message: Message) => void): Promise<RowsTaken> {
    if (this.#isInstalling()) throw new SkeinError('too-busy', 'A snapshot is just being taken into use.');
    const place = { from: piece.from, index: piece.index };
    const staged = this.#storage.staged();
    const isSame = staged?.from === place.from && staged.index === place.index;
    const lastKey = isSame ? (staged.lastKey ?? null) : null;
    if (!follows(piece.after, lastKey)) return { lastKey, whole: false };
    const fresh = piece.rows.filter(([key]) => lastKey === null || compareKeys(key, lastKey) > 0);
    if (fresh.length > 0 || !isSame) await this.#storage.stage(place, fresh);
    const now = this.#storage.staged();
    if (piece.end === null) return { lastKey: now?.lastKey ?? null, whole: false };
    if (now?.stateHash !== piece.end.stateHash) {
      // Not what was sent: nothing of it is worth keeping.
      await this.#storage.stage({ ...place, index: 0 }, []);
      return { lastKey: null, whole: false };
    }
    const { epochId, term, from, to, index, end } = piece;
    const snapshot = { index, term: end.term, configuration: end.configuration };
    step({ epochId, term, from, to, kind: 'snapshot', snapshot });
    return { lastKey: now.lastKey ?? null, whole: true };
  }
}

/** Whether rows after `after` leave no gap where all up to `lastKey` is here. */
function follows(after: string | null, lastKey: string | null): boolean {
  return after === null || (lastKey !== null && compareKeys(after, lastKey) <= 0);
}
