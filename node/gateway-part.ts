// The gateway of a node: the leader's loop, what workers say to it, the HTTP door.
import { createGateway, type Gateway } from '../gateway/server.ts';
import { doorCertificate } from '../gateway/tls.ts';
import { SkeinError } from '../protocol/errors.ts';
import type { PeerId } from '../protocol/ids.ts';
import { keys } from '../protocol/state/rows.ts';
import { type MemberList, memberListCodec } from '../protocol/wire/members.ts';
import type { Located } from '../protocol/wire/shapes.ts';
import { workMethods } from '../protocol/wire/work.ts';
import { ensureAdminKey } from './admin-key.ts';
import { Copies } from './blob/copies.ts';
import { MeshBlobs } from './blob/mesh-blobs.ts';
import { Restorer } from './blob/restore.ts';
import type { ReplicatedLog } from './consensus/log.ts';
import type { Core } from './core.ts';
import { type Kept, saveKept } from './data-folder.ts';
import type { BeatStatus } from './gossip/gossip.ts';
import { isLoopback } from './gossip/neighbours.ts';
import { gatewayPeers } from './leader/gateway-peers.ts';
import { housekeeping } from './leader/housekeeping.ts';
import { Intake } from './leader/intake.ts';
import { Leader } from './leader/leader.ts';
import { ResultBlobs } from './leader/result-blobs.ts';
import { voterDuty } from './leader/voters.ts';
import { OpenTickets } from './membership/open-tickets.ts';
import { Mesh } from './mesh.ts';

const PUSH_TIMEOUT_MS = 5_000;
const REVIVE_MS = 1_000;
const HTTP_PORTS_TRIED = 64;

export class GatewayPart {
  readonly leader: Leader;
  readonly mesh: Mesh;
  readonly copies: Copies;
  readonly #core: Core;
  readonly #log: ReplicatedLog;
  readonly #intake: Intake;
  readonly #blobs: MeshBlobs;
  readonly #restorer: Restorer;
  readonly #tickets: OpenTickets;
  readonly #onMembers: () => void;
  readonly #stopped = new AbortController();
  #kept: Kept;
  #door: Gateway | undefined;
  #url: string | undefined;
  #pin: string | undefined;

  /** Everything but the HTTP door. */
  static async start(core: Core, log: ReplicatedLog, onMembers: () => void): Promise<GatewayPart> {
    const part = new GatewayPart(core, log, onMembers);
    await part.#start();
    return part;
  }

  private constructor(core: Core, log: ReplicatedLog, onMembers: () => void) {
    const { transport, blobs: store, fetcher, clock, out, gossip, random, version } = core;
    this.#core = core;
    this.#onMembers = onMembers;
    this.#kept = core.kept;
    this.#log = log;
    const announce = gossip.announce.bind(gossip);
    const gateways = gatewayPeers(() => this.leader.roster, transport);
    const blobs = new MeshBlobs({ transport, store, fetcher, gateways, clock });
    this.copies = new Copies({ transport, store, gateways, clock, out });
    const scan = <Row>(prefix: string) => log.scan<Row>(prefix);
    this.#blobs = blobs;
    this.#restorer = new Restorer({
      transport,
      store,
      gateways,
      clock,
      scan,
      lists: blobs,
      random: random.fork('copies'),
    });
    this.leader = new Leader({ log, transport, blobs, clock, out, announce });
    this.#tickets = new OpenTickets({ log, clock });
    this.#intake = new Intake({
      log,
      transport,
      results: new ResultBlobs({ blobs, copies: this.copies, gateways, clock }),
      clock,
      roster: this.leader.roster,
      answers: this.leader.answers,
      gateways: () => this.#gateways(),
      receive: (sealed) => gossip.receive(sealed),
      isGateway: (peer) => core.book.isGateway(peer),
    });
    const leaseLeft = (peer: PeerId): number | null =>
      this.leader.leading
        ? this.leader.roster.leases.leftMs(peer, this.leader.settings().leaseMs, clock.uptime())
        : null;
    const ticketAddresses = () => this.#ticketAddresses();
    const peers = () => gossip.table.lines(this.memberList(), leaseLeft);
    this.mesh = new Mesh({
      log,
      leader: this.leader,
      transport,
      store,
      blobs,
      copies: this.copies,
      clock,
      random,
      version,
      peers,
      ticketAddresses,
    });
  }

  async #start(): Promise<void> {
    const { book, gossip, blobs, clock, random, out } = this.#core;
    await this.#tickets.load();
    await this.leader.load();
    book.joinableWhile(() => this.#tickets.any());
    book.show(this.memberList());
    const settings = () => this.leader.settings();
    const log = this.#log;
    const parts = { log, blobs, lists: this.#blobs, restorer: this.#restorer, clock, out, settings };
    this.leader.start([...housekeeping({ ...parts, random: random.fork('sweep') }), voterDuty({ log, clock, out })]);
    log.onReplaced(async () => {
      await this.#tickets.load();
      await this.leader.load();
      this.#showMembers();
    });
    this.#log.onApplied(({ entries }) => {
      this.#tickets.onApplied(entries);
      if (entries.some(({ command }) => command.kind.startsWith('member.'))) this.#showMembers();
    });
    gossip.onHeartbeat((heartbeat) => {
      this.leader.onHeartbeat(heartbeat);
      if (heartbeat.roles.includes('gateway')) this.#keepGateways();
    });
    if (!this.#kept.roles.includes('worker')) clock.every(REVIVE_MS, () => void this.#revive(), this.#stopped.signal);
    this.#keepGateways();
    this.#intake.open();
  }

  memberList(): MemberList {
    return this.#intake.memberList();
  }

  /** Where each was heard last. */
  #gateways(): readonly Located[] {
    const { transport, gossip, book } = this.#core;
    const before = new Map(book.list?.gateways.map(({ peerId, addresses }) => [peerId, addresses]));
    const self = { peerId: transport.self, addresses: [...transport.addresses()] };
    const others = [...this.leader.roster.members()].flatMap(({ peerId, roles, state }) => {
      if (peerId === transport.self || state === 'left' || !roles.includes('gateway')) return [];
      const heard = gossip.table.get(peerId)?.heartbeat.addresses ?? [];
      return [{ peerId, addresses: heard.length > 0 ? [...heard] : (before.get(peerId) ?? []) }];
    });
    return [self, ...others];
  }

  /** Replicas speak to each other whether or not one of them leads now. */
  #keepGateways(): void {
    const { transport } = this.#core;
    for (const { peerId, addresses } of this.#gateways()) {
      if (peerId !== transport.self && addresses.length > 0) transport.keep(peerId, addresses);
    }
  }

  /** A gateway without a worker runs nothing that its death could have been about: it takes the next incarnation. */
  async #revive(): Promise<void> {
    const { transport, clock, out } = this.#core;
    const member = this.#log.view.get(keys.member(transport.self));
    if (member?.state !== 'dead') return;
    const next = {
      peerId: transport.self,
      incarnation: member.incarnation + 1,
      fences: [],
      begun: [],
      at: clock.now(),
    };
    try {
      await this.#log.propose({ kind: 'member.adopted', ...next }, { timeoutMs: PUSH_TIMEOUT_MS });
    } catch (error) {
      out.debug({ err: error }, 'this gateway is still held for dead; the next look tries again');
    }
  }

  /** A changed list reaches every connected worker at once; one that misses it asks when an answer says it is behind. */
  #showMembers(): void {
    const { book, transport, out } = this.#core;
    const list = this.memberList();
    book.show(list);
    this.#onMembers();
    this.#keepGateways();
    const body = memberListCodec.encode(list);
    for (const peer of transport.connected()) {
      if (!book.isMember(peer) || peer === transport.self) continue;
      transport
        .call(peer, 'work', workMethods.members, body, { timeoutMs: PUSH_TIMEOUT_MS })
        .catch((error: unknown) => {
          out.debug({ peer, err: error }, 'a member list was not heard; its next answer says that it is behind');
        });
    }
  }

  /** What a gateway without a worker puts into its heartbeats. */
  status(): BeatStatus {
    const incarnation = this.#log.view.get(keys.member(this.#core.transport.self))?.incarnation ?? 0;
    const claim = { incarnation, sequence: 0, slots: 0, prefetch: 0, memBytes: 0, wants: [] };
    return { incarnation, begun: [], claim, busy: 0, draining: false, restarting: false };
  }

  /** Opens the HTTP door. Fails with `port-in-use` where a port was asked for. */
  async open(): Promise<void> {
    const { options, out, clock, version, random } = this.#core;
    const kept = this.#kept;
    await ensureAdminKey({ log: this.#log, random, clock }, options.dataFolder, kept.name);
    const { tls: files, insecureHttp: insecure } = options;
    const certificate = await doorCertificate(options.dataFolder, { host: kept.httpHost, tls: files, insecure });
    this.#pin = certificate?.pin;
    const tls = certificate === undefined ? {} : { tls: { cert: certificate.cert, key: certificate.key } };
    const wanted = options.embedded ? 0 : (kept.httpPort ?? options.http.port);
    const fixed = options.embedded || kept.httpPort !== null || options.http.explicit;
    for (let tried = 0; ; tried++) {
      const door = createGateway(
        { mesh: this.mesh, log: out, clock },
        { host: kept.httpHost, port: wanted + tried, version, ...tls },
      );
      try {
        this.#url = await door.listen();
        this.#door = door;
        await this.#keep({ httpPort: Number(new URL(this.#url).port) });
        return;
      } catch (error) {
        await door.close();
        const taken = error instanceof SkeinError && error.code === 'port-in-use';
        if (!taken || fixed || tried >= HTTP_PORTS_TRIED) throw error;
      }
    }
  }

  /** Where it is found now it shall be found after the next start. */
  async #keep(change: Partial<Kept>): Promise<void> {
    this.#kept = { ...this.#kept, ...change };
    await saveKept(this.#core.storage, this.#kept);
  }

  /** With the certificate's pin where it is the gateway's own. */
  get url(): string | null {
    if (this.#url === undefined) return null;
    return this.#pin === undefined ? this.#url : `${this.#url}#sha256=${this.#pin}`;
  }

  /** Whether a job is live, or a request came within `quietMs`. */
  busyWithin(quietMs: number): boolean {
    for (const _ of this.leader.jobs.all()) return true;
    return this.#door !== undefined && this.#door.idleMs() < quietMs;
  }

  /** On a loopback mesh whose port nobody asked for, the first ticket opens the mesh to other machines. */
  async #ticketAddresses(): ReturnType<Mesh['ticketAddresses']> {
    const { transport, options } = this.#core;
    const notes: string[] = [];
    if (!options.listen.explicit && transport.addresses().every(isLoopback)) {
      const opened = await transport.listenToo('/ip4/0.0.0.0/tcp/0');
      await this.#keep({ listen: [...this.#kept.listen, opened] });
      notes.push('the mesh port is now open on all addresses of this machine, for members and ticket holders only');
    }
    const gateways = this.#gateways();
    const addresses = gateways.flatMap((gateway) => gateway.addresses);
    if (addresses.every(isLoopback))
      notes.push('only this machine can use the ticket: no other address is listened on');
    return { addresses, peerIds: gateways.map(({ peerId }) => peerId), notes };
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#door?.close();
    await this.leader.stop();
  }
}
