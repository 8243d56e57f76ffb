// What workers say to a gateway: heartbeats, results, ends, new incarnations, tickets. Who says it is proven by the
// transport; what it does to the state is judged by `apply`.
import { createHash } from 'node:crypto';
import { SkeinError } from '../../protocol/errors.ts';
import type { Fence, JobId, PeerId } from '../../protocol/ids.ts';
import { DEFAULT_SETTINGS } from '../../protocol/state/apply-member.ts';
import type { Command, Outcome } from '../../protocol/state/command.ts';
import { keys } from '../../protocol/state/rows.ts';
import type { Clock } from '../../protocol/time.ts';
import { answerCodec, type Heartbeat } from '../../protocol/wire/heartbeat.ts';
import {
  joinedCodec,
  joinMethods,
  type MemberList,
  memberListCodec,
  redeemCodec,
} from '../../protocol/wire/members.ts';
import type { Located } from '../../protocol/wire/shapes.ts';
import {
  adoptCodec,
  endedCodec,
  finishedCodec,
  type Settled,
  settledCodec,
  workMethods,
} from '../../protocol/wire/work.ts';
import type { ReplicatedLog } from '../consensus/log.ts';
import type { Transport } from '../transport/port.ts';
import type { Answers } from './answers.ts';
import type { ResultBlobs } from './result-blobs.ts';
import type { Roster } from './roster.ts';

const PROPOSE_TIMEOUT_MS = 8_000;

interface Parts {
  readonly log: ReplicatedLog;
  readonly transport: Transport;
  readonly results: Pick<ResultBlobs, 'secure'>;
  readonly clock: Clock;
  readonly roster: Roster;
  readonly answers: Answers;
  /** The gateways with the addresses under which others may dial them. */
  readonly gateways: () => readonly Located[];
  /** Opens a sealed heartbeat, which counts as heard. Fails with `invalid-request`, `forbidden`. */
  readonly receive: (sealed: Uint8Array) => Heartbeat;
}

export class Intake {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Takes over the gateway's methods of the channels `work` and `join`. */
  open(): void {
    const { transport } = this.#parts;
    transport.handle('work', workMethods.heartbeat, (from, body) => this.#heartbeat(from, body));
    transport.handle('work', workMethods.finished, (from, body) => this.#finished(from, body));
    transport.handle('work', workMethods.ended, (from, body) => this.#ended(from, body));
    transport.handle('work', workMethods.adopt, (from, body) => this.#adopt(from, body));
    transport.handle('work', workMethods.members, async () => memberListCodec.encode(this.memberList()));
    transport.handle('join', joinMethods.redeem, (from, body) => this.#redeem(from, body));
  }

  async #heartbeat(from: PeerId, body: Uint8Array): Promise<Uint8Array> {
    const heartbeat = this.#parts.receive(body);
    if (heartbeat.peerId !== from)
      throw new SkeinError('invalid-request', 'the heartbeat names another than its sender');
    return answerCodec.encode(await this.#parts.answers.answer(heartbeat));
  }

  async #finished(from: PeerId, body: Uint8Array): Promise<Uint8Array> {
    const settled = finishedCodec.decode(body).map(async (item): Promise<Settled> => {
      const missing = await this.#parts.results.secure(item.result, from);
      if (missing !== undefined) {
        return { kind: 'unsettled', code: 'blobs-missing', sentence: `blob ${missing} is not here yet` };
      }
      const { jobId, task, incarnation, result } = item;
      const fence = item.fence as Fence;
      return this.#settle({
        kind: 'task.finished',
        fence,
        jobId: jobId as JobId,
        task,
        peerId: from,
        incarnation,
        result,
        at: this.#now(),
      });
    });
    return settledCodec.encode(await Promise.all(settled));
  }

  async #ended(from: PeerId, body: Uint8Array): Promise<Uint8Array> {
    const settled = endedCodec.decode(body).map((item) => {
      const { jobId, task, incarnation, startedAt, reason } = item;
      const fence = item.fence as Fence;
      return this.#settle({
        kind: 'task.ended',
        fence,
        jobId: jobId as JobId,
        task,
        peerId: from,
        incarnation,
        startedAt,
        reason,
        at: this.#now(),
      });
    });
    return settledCodec.encode(await Promise.all(settled));
  }

  async #adopt(from: PeerId, body: Uint8Array): Promise<Uint8Array> {
    const { incarnation, fences, begun } = adoptCodec.decode(body);
    const heard = this.#parts.roster.leases.get(from)?.begun ?? [];
    const command: Command = {
      kind: 'member.adopted',
      peerId: from,
      incarnation,
      fences: fences as Fence[],
      begun: [...new Map([...heard, ...begun])],
      at: this.#now(),
    };
    return settledCodec.encode([await this.#settle(command)]);
  }

  async #settle(command: Command): Promise<Settled> {
    try {
      const { index, outcome } = await this.#propose(command);
      if (outcome.kind === 'done') return { kind: 'committed', index };
      return { kind: 'refused', code: outcome.code, sentence: outcome.sentence };
    } catch (error) {
      if (error instanceof SkeinError) return { kind: 'unsettled', code: error.code, sentence: error.message };
      throw error;
    }
  }

  #propose(command: Command): Promise<{ readonly index: number; readonly outcome: Outcome }> {
    return this.#parts.log.propose(command, { timeoutMs: PROPOSE_TIMEOUT_MS });
  }

  async #redeem(from: PeerId, body: Uint8Array): Promise<Uint8Array> {
    const request = redeemCodec.decode(body);
    if (request.peerId !== from) throw new SkeinError('forbidden', 'a ticket is redeemed by the peer that joins');
    const mesh = this.#parts.log.view.get(keys.mesh);
    if (mesh?.meshId !== request.meshId) throw new SkeinError('ticket-refused', 'the ticket is of another mesh');
    const ticket = createHash('sha256').update(Buffer.from(request.secret, 'base64url')).digest('hex');
    // Strangers may ask this: what is no ticket at all must not cost an entry of the log each time.
    if (this.#parts.log.view.get(keys.ticket(ticket)) === undefined)
      throw refusedTicket('this mesh has made no such ticket');
    const { name, boxKey, observer } = request;
    const { outcome } = await this.#propose({
      kind: 'member.joined',
      peerId: from,
      name,
      roles: request.roles ?? [],
      boxKey,
      observer: observer as PeerId | null,
      ticket,
      at: this.#now(),
    });
    if (outcome.kind === 'refused') throw refusedTicket(outcome.sentence);
    const member = this.#parts.log.view.get(keys.member(from));
    if (member === undefined) throw new SkeinError('internal-error', 'the new member is not in the state');
    return joinedCodec.encode({ member, list: this.memberList() });
  }

  memberList(): MemberList {
    const { log, roster, gateways } = this.#parts;
    const mesh = log.view.get(keys.mesh);
    if (mesh === undefined) throw new SkeinError('no-leader', 'the mesh is not founded yet');
    const settings = log.view.get(keys.settings) ?? DEFAULT_SETTINGS;
    return {
      meshId: mesh.meshId,
      meshName: mesh.name,
      epochId: mesh.epoch.id,
      epochNumber: mesh.epoch.number,
      index: roster.membersIndex,
      heartbeatMs: settings.heartbeatMs,
      leaseMs: settings.leaseMs,
      members: [...roster.members()],
      gateways: [...gateways()],
    };
  }

  #now(): number {
    return this.#parts.clock.now();
  }
}

const refusedTicket = (sentence: string): SkeinError =>
  new SkeinError('ticket-refused', sentence, { fix: 'make a new one with: skein ticket' });
