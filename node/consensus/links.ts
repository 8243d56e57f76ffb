// What replicas say to each other, over the channel `raft`. Messages of one turn share a request, which is answered once
// they were stepped: that bounds what is under way, and tells of a peer that cannot be reached.
import { SkeinError } from '../../protocol/errors.ts';
import type { EpochId, PeerId } from '../../protocol/ids.ts';
import type { Message } from '../../protocol/raft/message.ts';
import type { Command } from '../../protocol/state/command.ts';
import { decodeMessages, encodeMessages, raftMethods } from '../../protocol/wire/raft.ts';
import {
  type Forwarded,
  forwardCodec,
  forwardedCodec,
  type RowsTaken,
  readAtCodec,
  readIndexCodec,
  replicaMethods,
  rowsCodec,
  rowsTakenCodec,
  type SnapshotRows,
} from '../../protocol/wire/replica.ts';
import type { Transport } from '../transport/port.ts';
import type { Applied, WaitLimits } from './log.ts';

/** How one replica reaches the others. */
export interface Links {
  /** Best effort, in order per peer. */
  send(peer: PeerId, message: Message): void;
  /** Called when what was sent to a peer did not arrive. */
  onUnreachable(listener: (peer: PeerId) => void): void;
  /** One answer for each command, in order. Fails with `unreachable` or `no-answer`: nobody knows then what became of them. */
  forward(
    peer: PeerId,
    epochId: EpochId,
    commands: readonly Command[],
    limits: WaitLimits,
  ): Promise<readonly Forwarded[]>;
  readIndex(peer: PeerId, epochId: EpochId, limits: WaitLimits): Promise<number>;
  sendRows(peer: PeerId, rows: SnapshotRows, limits: WaitLimits): Promise<RowsTaken>;
}

/** What the others may ask of this replica. Each fails with `no-leader` where only a leader can answer. */
export interface ReplicaDoor {
  step(from: PeerId, message: Message): void;
  proposeHere(epochId: EpochId, command: Command, limits: WaitLimits): Promise<Applied>;
  readIndexHere(epochId: EpochId, limits: WaitLimits): Promise<number>;
  takeRows(from: PeerId, rows: SnapshotRows): Promise<RowsTaken>;
}

const STEP_TIMEOUT_MS = 5_000;
/** Requests with messages under way to one peer; what comes beyond waits for the next. */
const STEPS_MAX = 32;
const MESSAGES_PER_STEP = 64;
/** Raft sends again what got lost; so nothing waits for long. */
const WAITING_MAX = 1_024;
const CALLER_WAITS_MAX_MS = 60_000;

interface Lane {
  waiting: Message[];
  underWay: number;
}

export class TransportLinks implements Links {
  readonly #transport: Pick<Transport, 'call'>;
  readonly #lanes = new Map<PeerId, Lane>();
  readonly #listeners: ((peer: PeerId) => void)[] = [];

  constructor(transport: Pick<Transport, 'call'>) {
    this.#transport = transport;
  }

  onUnreachable(listener: (peer: PeerId) => void): void {
    this.#listeners.push(listener);
  }

  send(peer: PeerId, message: Message): void {
    const lane = this.#lanes.get(peer) ?? { waiting: [], underWay: 0 };
    this.#lanes.set(peer, lane);
    if (lane.waiting.length >= WAITING_MAX) {
      this.#lost(peer);
      return;
    }
    lane.waiting.push(message);
    if (lane.waiting.length === 1) queueMicrotask(() => this.#flush(peer, lane));
  }

  #flush(peer: PeerId, lane: Lane): void {
    while (lane.waiting.length > 0 && lane.underWay < STEPS_MAX) {
      const messages = takeStep(lane);
      lane.underWay++;
      const options = { timeoutMs: STEP_TIMEOUT_MS };
      this.#transport
        .call(peer, 'raft', raftMethods.step, encodeMessages(messages), options)
        .catch(() => {
          lane.waiting = [];
          this.#lost(peer);
        })
        .finally(() => {
          lane.underWay--;
          this.#flush(peer, lane);
        });
    }
  }

  #lost(peer: PeerId): void {
    for (const listener of this.#listeners) listener(peer);
  }

  async forward(
    peer: PeerId,
    epochId: EpochId,
    commands: readonly Command[],
    limits: WaitLimits,
  ): Promise<readonly Forwarded[]> {
    const body = forwardCodec.encode({ epochId, commands: [...commands], timeoutMs: Math.ceil(limits.timeoutMs) });
    const answers = forwardedCodec.decode(
      await this.#transport.call(peer, 'raft', replicaMethods.propose, body, limits),
    );
    if (answers.length !== commands.length) throw new SkeinError('internal-error', `${peer} answered something else`);
    return answers;
  }

  async readIndex(peer: PeerId, epochId: EpochId, limits: WaitLimits): Promise<number> {
    const body = readIndexCodec.encode({ epochId, timeoutMs: Math.ceil(limits.timeoutMs) });
    const answer = await this.#transport.call(peer, 'raft', replicaMethods.readIndex, body, limits);
    return readAtCodec.decode(answer).index;
  }

  async sendRows(peer: PeerId, rows: SnapshotRows, limits: WaitLimits): Promise<RowsTaken> {
    return rowsTakenCodec.decode(
      await this.#transport.call(peer, 'raft', replicaMethods.rows, rowsCodec.encode(rows), limits),
    );
  }
}

/** Messages with many entries go alone, so that a request keeps within the bound of a body. */
function takeStep(lane: Lane): Message[] {
  const isBulky = (message: Message | undefined): boolean => message?.kind === 'append' && message.entries.length > 0;
  let count = 1;
  if (!isBulky(lane.waiting[0])) {
    while (count < MESSAGES_PER_STEP && count < lane.waiting.length && !isBulky(lane.waiting[count])) count++;
  }
  return lane.waiting.splice(0, count);
}

/** Answers the others. */
export function serveReplica(transport: Pick<Transport, 'handle'>, replica: ReplicaDoor): void {
  const nothing = new Uint8Array();
  transport.handle('raft', raftMethods.step, async (from, body) => {
    for (const message of decodeMessages(body)) replica.step(from, message);
    return nothing;
  });
  transport.handle('raft', replicaMethods.propose, async (_from, body) => {
    const { epochId, commands, timeoutMs } = forwardCodec.decode(body);
    const limits = { timeoutMs: Math.min(timeoutMs, CALLER_WAITS_MAX_MS) };
    const answers = commands.map((command) => settled(replica.proposeHere(epochId, command, limits)));
    return forwardedCodec.encode(await Promise.all(answers));
  });
  transport.handle('raft', replicaMethods.readIndex, async (_from, body) => {
    const { epochId, timeoutMs } = readIndexCodec.decode(body);
    const limits = { timeoutMs: Math.min(timeoutMs, CALLER_WAITS_MAX_MS) };
    return readAtCodec.encode({ index: await replica.readIndexHere(epochId, limits) });
  });
  transport.handle('raft', replicaMethods.rows, async (from, body) =>
    rowsTakenCodec.encode(await replica.takeRows(from, rowsCodec.decode(body))),
  );
}

async function settled(work: Promise<Applied>): Promise<Forwarded> {
  try {
    const { index, outcome } = await work;
    return { index, outcome };
  } catch (error) {
    if (!(error instanceof SkeinError)) throw error;
    const { code, message, retryAfterMs } = error;
    return { code, message, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  }
}
