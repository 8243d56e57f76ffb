// A gateway of the simulated mesh: production's replica, leader, intake and gossip over simulated disk, network and clock.
import { MemoryBlobStore } from '../../node/blob/memory.ts';
import { Consensus } from '../../node/consensus/driver.ts';
import { serveReplica, TransportLinks } from '../../node/consensus/links.ts';
import { bookMemory } from '../../node/data-folder.ts';
import { type BeatStatus, Gossip } from '../../node/gossip/gossip.ts';
import { Intake } from '../../node/leader/intake.ts';
import { Leader } from '../../node/leader/leader.ts';
import { voterDuty } from '../../node/leader/voters.ts';
import { enlist, serveEnlist } from '../../node/membership/enlist.ts';
import { redeem } from '../../node/membership/join.ts';
import { MemberBook } from '../../node/membership/member-book.ts';
import type { PeerId } from '../../protocol/ids.ts';
import type { Message } from '../../protocol/raft/message.ts';
import type { Random } from '../../protocol/random.ts';
import { apply } from '../../protocol/state/apply.ts';
import type { Command } from '../../protocol/state/command.ts';
import { keys, type MemberRow } from '../../protocol/state/rows.ts';
import type { MemberList } from '../../protocol/wire/members.ts';
import type { Located } from '../../protocol/wire/shapes.ts';
import type { Ticket } from '../../protocol/wire/ticket.ts';
import { SimDisk, SimStorage } from './disk.ts';
import type { Replica } from './log-rules.ts';
import { Life, type Machine } from './machine.ts';
import { EPOCH, figures, listeningLog, MESH, signerOf, verifier } from './mesh-facts.ts';
import { type SimNetwork, SimTransport } from './network.ts';

const FOUND_TIMEOUT_MS = 15_000;
const REVIVE_MS = 2_000;
const never = new AbortController().signal;

export interface GatewayParts {
  readonly machine: Machine;
  readonly network: SimNetwork;
  readonly random: Random;
  readonly keepEntries: number;
  readonly compactStride: number;
  /** All gateways of the mesh, whether they are up or not. */
  readonly gateways: readonly PeerId[];
  readonly onSaid: (gateway: GatewayNode, message: Message) => void;
  readonly onProposed: (gateway: GatewayNode, command: Command) => void;
}

export class GatewayNode implements Replica {
  readonly name: string;
  readonly peerId: PeerId;
  readonly machine: Machine;
  readonly disk: SimDisk;
  readonly #parts: GatewayParts;
  /** Undefined in the founder. */
  ticket: Ticket | undefined;
  life: Life | undefined;
  log: Consensus | undefined;
  #starts = 0;
  /** At a point that production's code passes, or in the middle of a write. */
  #crash: { readonly at: 'point' | 'write'; left: number; readonly run: () => void } | undefined;

  constructor(parts: GatewayParts, ticket: Ticket | undefined) {
    this.#parts = parts;
    this.machine = parts.machine;
    this.name = parts.machine.name;
    this.peerId = this.name as PeerId;
    this.ticket = ticket;
    this.disk = new SimDisk(parts.machine.world, parts.random.fork('disk'));
    this.disk.onWrite = (ms) => {
      if (this.#isDue('write')) this.machine.world.after(ms / 2, undefined, () => this.#crashNow());
    };
  }

  /** It crashes the nth time that it passes such a place; `run` is called then. */
  crashAt(at: 'point' | 'write', nth: number, run: () => void): void {
    this.#crash = { at, left: nth, run };
  }

  #isDue(at: 'point' | 'write'): boolean {
    return this.#crash?.at === at && --this.#crash.left === 0;
  }

  #crashNow(): void {
    const { run } = this.#crash ?? {};
    this.#crash = undefined;
    if (run === undefined || !this.isUp) return;
    this.crash();
    run();
  }

  get isUp(): boolean {
    return this.life !== undefined;
  }

  /** The process starts; what it waits for comes in time. */
  start(): void {
    const life = new Life(this.machine);
    this.life = life;
    life.post(() => void this.#run(life).catch((error: unknown) => this.#failed(life, error)));
  }

  #failed(life: Life, error: unknown): void {
    if (!life.isOver) this.machine.world.violate(`${this.name} could not start`, error);
  }

  /** The process is gone, with all that it held unsynced. */
  crash(): void {
    this.#crash = undefined;
    this.life?.end();
    this.life = undefined;
    this.log = undefined;
    this.disk.crash();
  }

  /** As after the loss of its folder; the identity is kept. */
  wipe(): void {
    this.disk.forget();
    for (const [key] of this.disk.local.select('', {})) this.disk.local.put(key, undefined);
  }

  async #run(life: Life): Promise<void> {
    const { network, random } = this.#parts;
    const { clock } = life;
    const out = listeningLog(this.machine.world, this.name);
    const storage = new SimStorage(this.disk, life);
    const loaded = await storage.open();
    this.machine.world.note(this.name, () => `starts: ${JSON.stringify(loaded)}`);
    const book = new MemberBook(bookMemory(storage));
    book.trust(this.#parts.gateways);
    book.joinableWhile(() => true);
    const transport = new SimTransport({
      network,
      self: this.peerId,
      life,
      admission: book,
      verifier,
      log: out,
      meshId: MESH,
    });
    const chance = random.fork(`start ${this.#starts++}`);
    if (loaded.epoch === undefined) await this.#becomeReplica(storage, transport, life, book);
    const links = new TransportLinks(transport);
    const told = {
      send: (peer: PeerId, message: Message): void => {
        if (life.isOver) return;
        this.#parts.onSaid(this, message);
        links.send(peer, message);
      },
      onUnreachable: links.onUnreachable.bind(links),
      forward: links.forward.bind(links),
      readIndex: links.readIndex.bind(links),
      sendRows: links.sendRows.bind(links),
    };
    const { keepEntries, compactStride } = this.#parts;
    const faults = {
      reach: () => {
        if (!life.isOver && this.#isDue('point')) this.#crashNow();
      },
    };
    const log = new Consensus(
      { storage, clock, random: chance, apply, links: told, faults },
      { initialEpoch: EPOCH, keepEntries, compactStride },
    );
    const propose = log.propose.bind(log);
    log.propose = (command, options) => {
      if (!life.isOver) this.#parts.onProposed(this, command);
      return propose(command, options);
    };
    serveReplica(transport, log);
    serveEnlist(transport, { log, clock });
    this.log = log;
    await log.start();
    if (this.ticket === undefined) await this.#found(log, life);
    await this.#lead(log, { transport, book, life, storage });
    log.onStatus(({ removed }) => {
      if (removed) this.#beginAgain(life);
    });
  }

  /** Its replica was removed: it comes back under another name. */
  #beginAgain(life: Life): void {
    this.machine.world.note(this.name, 'was removed; it begins again without a log');
    life.post(() => {
      this.crash();
      this.disk.forget();
      this.start();
    });
  }

  async #becomeReplica(storage: SimStorage, transport: SimTransport, life: Life, book: MemberBook): Promise<void> {
    const { clock } = life;
    if (this.ticket === undefined && this.machine.world.nowMs < 1_000) return void (await storage.open(EPOCH));
    const gateways = (): readonly PeerId[] => this.#parts.gateways.filter((peer) => peer !== this.peerId);
    const { ticket } = this;
    if (ticket !== undefined && storage.getLocal('members') === undefined) {
      const joiner = { name: this.name, roles: null, boxKey: '', observer: this.peerId };
      for (;;) {
        try {
          const joined = await redeem({ transport, clock }, ticket, joiner, never);
          await book.accept(joined.list);
          break;
        } catch {
          await clock.sleep(1_000);
          await storage.reopen(never);
        }
      }
    }
    for (;;) {
      try {
        const { epoch, voterId } = await enlist({ transport, clock, gateways }, EPOCH.id, never);
        await storage.become(epoch, voterId);
        this.machine.world.count('replicas enlisted');
        this.machine.world.note(this.name, `is replica ${voterId}`);
        return;
      } catch (error) {
        // It left the mesh; someone may take it in again.
        this.machine.world.note(this.name, `cannot enlist: ${error instanceof Error ? error.message : error}`);
        await clock.sleep(5_000);
        await storage.reopen(never);
      }
    }
  }

  async #found(log: Consensus, { clock }: Life): Promise<void> {
    if (log.view.get(keys.mesh) !== undefined || log.status().voterId !== 1) return;
    const options = { timeoutMs: FOUND_TIMEOUT_MS };
    const at = clock.now();
    const { peerId, name } = this;
    await log.propose(
      { kind: 'mesh.created', meshId: MESH, founder: peerId, name: 'sim', epochId: EPOCH.id, at },
      options,
    );
    const roles = ['gateway', 'voter'] as const;
    await log.propose(
      { kind: 'member.joined', peerId, name, roles, boxKey: '', observer: null, ticket: null, at },
      options,
    );
  }

  async #lead(
    log: Consensus,
    parts: { transport: SimTransport; book: MemberBook; life: Life; storage: SimStorage },
  ): Promise<void> {
    const { transport, book, life } = parts;
    const { clock } = life;
    const out = listeningLog(this.machine.world, this.name);
    const blobs = new MemoryBlobStore({ clock });
    const members = {
      current: (): MemberList => book.list ?? intake.memberList(),
    };
    const gossip: Gossip = new Gossip(
      {
        transport,
        signer: signerOf(this.peerId),
        verifier,
        clock,
        log: out,
        machine: figures,
        members,
        blobs: () => ({ count: 0, bytes: 0 }),
        status: () => this.#status(log),
      },
      { name: this.name, roles: ['gateway', 'voter'], version: 'sim' },
    );
    const leader = new Leader({ log, transport, blobs, clock, out, announce: gossip.announce.bind(gossip) });
    const intake: Intake = new Intake({
      log,
      transport,
      // Blobs are not modelled: every result is here with its bytes.
      results: { secure: async () => undefined },
      clock,
      roster: leader.roster,
      answers: leader.answers,
      gateways: () => this.#located(log),
      receive: (sealed) => gossip.receive(sealed),
      isGateway: (peer) => book.isGateway(peer),
    });
    await leader.load();
    let isKnown = false;
    const show = (): void => {
      if (log.view.get(keys.mesh) === undefined) return;
      book.show(intake.memberList());
      if (!isKnown) gossip.start();
      isKnown = true;
    };
    leader.start([voterDuty({ log, clock, out })]);
    log.onApplied(({ entries }) => {
      if (entries.some(({ command }) => command.kind.startsWith('member.'))) show();
    });
    log.onReplaced(async () => {
      await leader.load();
      show();
    });
    gossip.onHeartbeat((heartbeat) => leader.onHeartbeat(heartbeat));
    intake.open();
    show();
    clock.every(REVIVE_MS, () => void this.#revive(log, life), never);
  }

  #status(log: Consensus): BeatStatus {
    const incarnation = log.view.get(keys.member(this.peerId))?.incarnation ?? 0;
    const claim = { incarnation, sequence: 0, slots: 0, prefetch: 0, memBytes: 0, wants: [] };
    return { incarnation, begun: [], claim, busy: 0, draining: false, restarting: false };
  }

  /** Declared dead while it was away, it comes back as the next incarnation. */
  async #revive(log: Consensus, { clock }: Life): Promise<void> {
    const member = log.view.get(keys.member(this.peerId));
    if (member?.state !== 'dead') return;
    const { peerId } = this;
    const incarnation = member.incarnation + 1;
    try {
      await log.propose(
        { kind: 'member.adopted', peerId, incarnation, fences: [], begun: [], at: clock.now() },
        { timeoutMs: REVIVE_MS },
      );
    } catch {
      // Asked again soon.
    }
  }

  #located(log: Consensus): readonly Located[] {
    return this.#parts.gateways.flatMap((peerId) => {
      const member: MemberRow | undefined = log.view.get(keys.member(peerId));
      return member === undefined || member.state === 'left' ? [] : [{ peerId, addresses: [`/sim/${peerId}`] }];
    });
  }
}
