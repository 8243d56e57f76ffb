// A worker of the simulated mesh: production's worker, ledger, attempts, reporter and gossip on a simulated machine.
import { bookMemory, workerMemory } from '../../node/data-folder.ts';
import { noFaults } from '../../node/faults.ts';
import { Gossip } from '../../node/gossip/gossip.ts';
import { redeem } from '../../node/membership/join.ts';
import { MemberBook } from '../../node/membership/member-book.ts';
import { Attempts } from '../../node/worker/attempts.ts';
import { Gateways } from '../../node/worker/gateways.ts';
import { Reporter } from '../../node/worker/reporter.ts';
import { Worker } from '../../node/worker/worker.ts';
import type { PeerId } from '../../protocol/ids.ts';
import type { Random } from '../../protocol/random.ts';
import { answerCodec } from '../../protocol/wire/heartbeat.ts';
import type { MemberList } from '../../protocol/wire/members.ts';
import type { Ticket } from '../../protocol/wire/ticket.ts';
import { workMethods } from '../../protocol/wire/work.ts';
import { SimDisk, SimStorage } from './disk.ts';
import { Life, type Machine } from './machine.ts';
import { figures, listeningLog, MESH, signerOf, verifier } from './mesh-facts.ts';
import { type SimNetwork, SimTransport } from './network.ts';
import type { WorkRules } from './work-rules.ts';
import { Bench, SimRuntime, SimWorkshop } from './workshop.ts';

export interface WorkerParts {
  readonly machine: Machine;
  readonly network: SimNetwork;
  readonly random: Random;
  readonly rules: WorkRules;
  readonly ticket: Ticket;
  readonly slots: number;
}

export class WorkerNode {
  readonly name: string;
  readonly peerId: PeerId;
  readonly machine: Machine;
  readonly disk: SimDisk;
  readonly ticket: Ticket;
  readonly #parts: WorkerParts;
  readonly #bench: Bench;
  life: Life | undefined;
  worker: Worker | undefined;

  constructor(parts: WorkerParts) {
    this.#parts = parts;
    this.machine = parts.machine;
    this.ticket = parts.ticket;
    this.name = parts.machine.name;
    this.peerId = this.name as PeerId;
    this.disk = new SimDisk(parts.machine.world, parts.random.fork('disk'));
    this.#bench = new Bench(parts.machine, parts.rules, parts.random.fork('bench'));
  }

  get isUp(): boolean {
    return this.life !== undefined;
  }

  start(): void {
    const life = new Life(this.machine);
    this.life = life;
    life.post(() => void this.#run(life).catch((error: unknown) => this.#failed(life, error)));
  }

  #failed(life: Life, error: unknown): void {
    if (!life.isOver) this.machine.world.violate(`${this.name} could not start`, error);
  }

  /** The daemon alone, or with all that runs on its machine. */
  crash(what: 'daemon' | 'power'): void {
    this.life?.end();
    this.life = undefined;
    this.worker = undefined;
    this.disk.crash();
    if (what === 'power') this.#bench.powerOff();
  }

  async #run(life: Life): Promise<void> {
    const { network, slots, random } = this.#parts;
    const { clock } = life;
    const out = listeningLog(this.machine.world, this.name);
    const storage = new SimStorage(this.disk, life);
    await storage.open();
    const book = new MemberBook(bookMemory(storage));
    const transport = new SimTransport({
      network,
      self: this.peerId,
      life,
      admission: book,
      verifier,
      log: out,
      meshId: MESH,
    });
    await this.#join(transport, book, life);
    const members = {
      current(): MemberList {
        if (book.list === undefined) throw new Error('no member yet');
        return book.list;
      },
      accept: (list: MemberList) => book.accept(list),
    };
    const gossip = new Gossip(
      {
        transport,
        signer: signerOf(this.peerId),
        verifier,
        clock,
        log: out,
        machine: figures,
        members,
        blobs: () => ({ count: 0, bytes: 0 }),
      },
      { name: this.name, roles: ['worker'], version: 'sim' },
    );
    const gateways = new Gateways(this.#watched(transport));
    gateways.update(members.current().gateways);
    const runtime = new SimRuntime(this.#bench, life);
    const workshop = new SimWorkshop(this.#bench, life);
    const attempts = new Attempts({ runtime, workshop, clock, out });
    this.worker = new Worker(
      {
        transport,
        gateways,
        runtime,
        attempts,
        workshop,
        reporter: new Reporter({ gateways, clock, log: out }),
        memory: workerMemory(storage),
        clock,
        out,
        faults: noFaults,
        beat: (status) => gossip.beat(status),
        sealBeat: (status) => gossip.sealBeat(status),
        members,
        grantOf: (attempt) => workshop.grantOf(attempt),
        leftovers: (kept) => workshop.leftovers(kept),
      },
      { slots, memBytes: 2 ** 34 },
    );
    await clock.sleep(random.next() * 500);
    await this.worker.start();
  }

  async #join(transport: SimTransport, book: MemberBook, { clock }: Life): Promise<void> {
    const { ticket } = this;
    book.trust(ticket.peerIds);
    const joiner = { name: this.name, roles: null, boxKey: '', observer: this.peerId };
    while (book.list === undefined) {
      try {
        const joined = await redeem({ transport, clock }, ticket, joiner, new AbortController().signal);
        await book.accept(joined.list);
      } catch {
        await clock.sleep(1_000);
      }
    }
  }

  /** The rules hear of each lease, as truly counted from when the heartbeat was sent. */
  #watched(transport: SimTransport): SimTransport {
    const { rules } = this.#parts;
    const { machine } = this;
    const call = transport.call.bind(transport);
    transport.call = async (peer, channel, method, body, options) => {
      const sentAtMs = machine.world.nowMs;
      const answer = await call(peer, channel, method, body, options);
      if (method === workMethods.heartbeat) rules.onLease(machine, sentAtMs, answerCodec.decode(answer).leaseMs);
      return answer;
    };
    return transport;
  }
}
