// Puts one node together: the only file that knows every room. What it starts it also stops, in the opposite order.
import { SkeinError } from '../protocol/errors.ts';
import type { EpochId, MeshId, PeerId } from '../protocol/ids.ts';
import type { Random } from '../protocol/random.ts';
import { apply } from '../protocol/state/apply.ts';
import { keys, type Role } from '../protocol/state/rows.ts';
import type { Clock } from '../protocol/time.ts';
import { type MemberList, memberListCodec } from '../protocol/wire/members.ts';
import { decodeTicket, type Ticket } from '../protocol/wire/ticket.ts';
import { workMethods } from '../protocol/wire/work.ts';
import { Fetcher } from './blob/fetch.ts';
import { FileBlobStore } from './blob/files.ts';
import { BlobServer } from './blob/transfer.ts';
import { ownVersion } from './cli/version.ts';
import { realClock, realRandom } from './clock.ts';
import { makeFolder } from './config/make-folder.ts';
import type { NodeOptions } from './config/node-options.ts';
import { reasonOf } from './config/reason.ts';
import { Consensus } from './consensus/driver.ts';
import type { Core } from './core.ts';
import { bookMemory, type Kept, loadKept, saveKept } from './data-folder.ts';
import { faults } from './faults.ts';
import type { GatewayPart } from './gateway-part.ts';
import { Gossip } from './gossip/gossip.ts';
import { realMachine } from './gossip/machine.ts';
import { Neighbours } from './gossip/neighbours.ts';
import { type Identity, openIdentity } from './identity/identity.ts';
import { makeVerifier } from './identity/signing.ts';
import { redeem } from './membership/join.ts';
import { MemberBook } from './membership/member-book.ts';
import { NodeEnd } from './node-end.ts';
import { readObserverNote } from './observer-note.ts';
import { openLog } from './output-log.ts';
import { platform } from './runtime/platform.ts';
import { LevelStorage } from './storage/level.ts';
import { Libp2pTransport } from './transport/libp2p.ts';
import { WorkerPart } from './worker-part.ts';

const ALL_ROLES: readonly Role[] = ['worker', 'gateway', 'voter'];
const FOUND_TIMEOUT_MS = 15_000;
const PORTS_TRIED = 64;
const HTTP_HOST = '127.0.0.1';
/** A busy machine takes seconds for a handshake. */
const LOOK_UP_TIMEOUT_MS = 10_000;

export interface RunningNode {
  /** Resolves with the exit code once the node has ended, by a signal or by itself. */
  readonly ended: Promise<number>;
}

/** Fails with the codes of a data folder, a port, a ticket or a certificate that will not do; nothing is left running then. */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const started: (() => Promise<void>)[] = [];
  try {
    return await start(options, started);
  } catch (error) {
    for (const stop of started.reverse()) await stop().catch(() => undefined);
    throw error;
  }
}

async function start(options: NodeOptions, started: (() => Promise<void>)[]): Promise<RunningNode> {
  const clock = realClock();
  const random = realRandom();
  await makeDataFolder(options.dataFolder);
  const storage = new LevelStorage({ clock, faults }, { folder: options.dataFolder });
  await storage.open();
  started.push(() => storage.close());
  const out = openLog(options.dataFolder, { quiet: options.embedded });
  const identity = await openIdentity(options.dataFolder, random);
  const before = loadKept(storage);
  const asked = options.ticket === undefined ? undefined : decodeTicket(options.ticket);
  if (before !== undefined && asked !== undefined && asked.meshId !== before.meshId) {
    throw new SkeinError('state-conflict', `${options.dataFolder} belongs to another mesh than that ticket`, {
      fix: `give it a folder of its own with --data, or start this one as it is: skein up --data ${options.dataFolder}`,
    });
  }
  // A folder that has joined just starts.
  const ticket = before === undefined ? asked : undefined;
  refuseWhatIsLater(ticket, options);
  const meshId = (before?.meshId ?? ticket?.meshId ?? Buffer.from(random.bytes(16)).toString('hex')) as MeshId;
  const roles = chooseRoles(options, before, ticket);
  const book = new MemberBook(bookMemory(storage));
  const gateway = roles.includes('gateway');
  const wanted: Kept = { ...keptFrom(options, before, roles), meshId };
  const transport = await startTransport({
    options,
    wanted,
    gateway,
    identity,
    book,
    clock,
    random,
    out,
    meshId,
    ticket,
    first: (before?.listen ?? []).length === 0,
  });
  started.push(() => transport.transport.stop());
  const machine = realMachine();
  started.push(async () => machine.close());
  const members = {
    current(): MemberList {
      if (book.list === undefined) throw new SkeinError('no-leader', 'this node is no member yet');
      return book.list;
    },
    accept: (list: MemberList) => book.accept(list),
  };
  const blobs = new FileBlobStore(
    { clock, faults },
    { folder: options.dataFolder, reserve: gateway ? 0.1 : 0, durable: gateway },
  );
  if (!gateway) await clearAfterBoot(blobs, storage);
  await blobs.start();
  const shared = {
    options,
    version: ownVersion(),
    clock,
    random,
    out,
    identity,
    storage,
    book,
    blobs,
    machine,
    members,
  };
  const joined = ticket === undefined ? undefined : await joinMesh(transport.transport, ticket, shared, wanted);
  const name = joined?.name ?? before?.name ?? options.name;
  const kept: Kept = { ...wanted, ...transport.kept, name, roles: joined?.roles ?? roles };
  let consensus: Consensus | undefined;
  if (gateway) {
    consensus = new Consensus(
      { storage, clock, random: random.fork('raft'), apply, faults },
      { initialEpoch: { number: 1, id: Buffer.from(random.bytes(16)).toString('hex') as EpochId } },
    );
    await consensus.start();
    const log = consensus;
    started.push(() => log.stop());
    await found(log, { meshId, kept, identity, clock, meshName: options.meshName });
  }
  // The door's address is kept once the door is open: a start that fails must not decide for the next one.
  await saveKept(storage, { ...kept, httpHost: before?.httpHost ?? HTTP_HOST, httpPort: before?.httpPort ?? null });
  const blobUse = { count: 0, bytes: 0 };
  let workerPart: WorkerPart | undefined;
  const gossip = new Gossip(
    {
      transport: transport.transport,
      signer: identity.signer,
      verifier: makeVerifier(),
      clock,
      log: out,
      machine,
      members,
      blobs: () => blobUse,
      status: () => (workerPart === undefined ? gatewayPart?.status() : undefined),
    },
    { name, roles: kept.roles as Role[], version: shared.version },
  );
  const fetcher = new Fetcher({ transport: transport.transport, store: blobs });
  const core: Core = { ...shared, kept, transport: transport.transport, gossip, fetcher };
  let gatewayPart: GatewayPart | undefined;
  if (consensus !== undefined) {
    // Loaded here alone: a worker starts in a sixth less time without the HTTP door's code.
    gatewayPart = await (await import('./gateway-part.ts')).GatewayPart.start(core, consensus);
    const part = gatewayPart;
    started.push(() => part.stop());
  }
  transport.transport.handle('work', workMethods.members, async (from, body) => {
    // A gateway pushes the list with the same method that workers ask it with; a gateway answers with its own.
    if (gatewayPart !== undefined) return memberListCodec.encode(gatewayPart.memberList());
    if (book.isGateway(from) && (await book.accept(memberListCodec.decode(body)))) workerPart?.onMembers();
    return new Uint8Array();
  });
  const copies = gatewayPart?.copies;
  new BlobServer({ transport: transport.transport, store: blobs, fetcher, clock, copies }, { gateway }).start();
  gossip.start();
  await lookUpOthers(core, asked);
  started.push(async () => gossip.stop());
  if (!gateway) {
    const linked = new AbortController();
    started.push(async () => linked.abort());
    new Neighbours({ transport: transport.transport, table: gossip.table, members, clock }).start(linked.signal);
  }
  if (kept.roles.includes('worker')) {
    workerPart = await WorkerPart.start(core, copies);
    const part = workerPart;
    started.push(() => part.stop({ keep: false }));
    const looking = new AbortController();
    started.push(async () => looking.abort());
    const again = (): void => void (part.worker.leaseLeftMs === 0 && lookUpOthers(core, asked));
    clock.every(LOOK_UP_TIMEOUT_MS, again, looking.signal);
  }
  const countBlobs = async (): Promise<void> => void Object.assign(blobUse, await blobs.usage());
  void countBlobs();
  const counting = new AbortController();
  clock.every(10_000, () => void countBlobs().catch(() => undefined), counting.signal);
  started.push(async () => counting.abort());
  if (gatewayPart !== undefined) await gatewayPart.open();
  const end = new NodeEnd(core, { gateway: gatewayPart, worker: workerPart, stops: started });
  await end.announceReady();
  return { ended: end.ended };
}

async function makeDataFolder(folder: string): Promise<void> {
  try {
    await makeFolder(folder, 0o700);
  } catch (cause) {
    throw new SkeinError(
      'folder-unusable',
      `the data folder ${folder} cannot be made: ${reasonOf(cause as NodeJS.ErrnoException)}`,
      {
        cause,
        fix: 'name another with --data DIR',
      },
    );
  }
}

/** A worker's blobs are a cache that nothing fsyncs: after a power cut a file may be there with less than its bytes. */
async function clearAfterBoot(blobs: FileBlobStore, storage: LevelStorage): Promise<void> {
  const boot = platform.bootId();
  if (storage.getLocal('boot') === boot) return;
  await blobs.clear();
  await storage.putLocal([{ key: 'boot', value: boot }]);
}

function refuseWhatIsLater(ticket: Ticket | undefined, options: NodeOptions): void {
  const later = ticket?.roles.some((role) => role !== 'worker') === true;
  if (later && options.roles === undefined) {
    throw new SkeinError('not-in-this-version', 'a second gateway is not in this version', {
      fix: 'join as a worker: make the ticket with skein ticket --roles worker',
    });
  }
}

/** Roles are the ticket's, fewer by --roles; a node that joined keeps what it has. */
function chooseRoles(options: NodeOptions, before: Kept | undefined, ticket: Ticket | undefined): readonly Role[] {
  const given = (before?.roles as readonly Role[] | undefined) ?? ticket?.roles ?? options.roles ?? ALL_ROLES;
  if (options.roles === undefined) return given;
  const excess = options.roles.find((role) => !given.includes(role));
  if (excess !== undefined) {
    const what = before === undefined ? 'the ticket' : 'the first start of this data folder';
    throw new SkeinError('usage', `--roles ${excess}: ${what} does not give that role (it gives ${given.join(', ')})`, {
      fix: 'leave --roles away, or make a ticket with that role',
    });
  }
  if (
    before === undefined &&
    ticket === undefined &&
    !(options.roles.includes('gateway') && options.roles.includes('voter'))
  ) {
    throw new SkeinError('usage', 'the first node of a mesh is its gateway and voter', {
      fix: 'add gateway,voter to --roles, or join a mesh with skein join TICKET',
    });
  }
  return options.roles;
}

function keptFrom(options: NodeOptions, before: Kept | undefined, roles: readonly Role[]): Omit<Kept, 'meshId'> {
  const { http } = options;
  return {
    name: options.nameExplicit ? options.name : (before?.name ?? options.name),
    roles,
    slots: options.slotsExplicit ? options.slots : (before?.slots ?? options.slots),
    httpHost: http.explicit ? http.host : (before?.httpHost ?? http.host),
    // Whoever asks for any port gets the same one again at the next start.
    httpPort: http.explicit && http.port !== 0 ? http.port : (before?.httpPort ?? (http.explicit ? 0 : null)),
    listen: listenOf(options, before),
    announce: options.announce.length > 0 ? options.announce.map(announced) : (before?.announce ?? []),
  };
}

function listenOf({ listen, embedded }: NodeOptions, before: Kept | undefined): readonly string[] {
  // Nobody has to find the mesh `local` again: it never waits for a port.
  if (embedded) return [multiaddrOf(listen.host, 0)];
  const kept = before?.listen ?? [];
  const again =
    listen.port === 0 && kept.some((address) => address.startsWith(multiaddrOf(listen.host, 0).slice(0, -1)));
  if (kept.length > 0 && (!listen.explicit || again)) return kept;
  return [multiaddrOf(listen.host, listen.port)];
}

function multiaddrOf(host: string, port: number): string {
  const kind = host.includes(':') ? 'ip6' : /^[0-9.]+$/.test(host) ? 'ip4' : 'dns';
  return `/${kind}/${host}/tcp/${port}`;
}

function announced(address: string): string {
  if (address.startsWith('/')) return address;
  const match = /^\[?([^\]]+?)\]?:(\d+)$/.exec(address);
  if (match === null)
    throw new SkeinError('usage', `--announce ${address}: neither HOST:PORT nor a multiaddr`, {
      fix: 'for instance --announce 203.0.113.7:7071',
    });
  return multiaddrOf(match[1] ?? '', Number(match[2]));
}

interface TransportNeeds {
  readonly options: NodeOptions;
  readonly wanted: Kept;
  readonly gateway: boolean;
  readonly identity: Identity;
  readonly book: MemberBook;
  readonly clock: Clock;
  readonly random: Random;
  readonly out: Core['out'];
  readonly meshId: MeshId;
  readonly ticket: Ticket | undefined;
  /** Never listened before. */
  readonly first: boolean;
}

/** A default port that is taken gives way to the next free one; not a gateway's after its first start: others know it by that. */
async function startTransport(
  needs: TransportNeeds,
): Promise<{ transport: Libp2pTransport; kept: Pick<Kept, 'listen'> }> {
  const { options, wanted, gateway, identity, book, clock, random, out, meshId, ticket } = needs;
  if (ticket !== undefined) book.trust(ticket.peerIds);
  const fixed = options.listen.explicit || options.embedded || (gateway && !needs.first);
  for (let tried = 0; ; tried++) {
    const listen = wanted.listen.map((address) => moved(address, tried));
    const transport = new Libp2pTransport(
      { identity, verifier: makeVerifier(), admission: book, clock, random, log: out },
      { listen, announce: wanted.announce, meshId, dialOutOnly: false },
    );
    try {
      await transport.start();
      return { transport, kept: { listen: withRealPorts(listen, transport.listening()) } };
    } catch (error) {
      await transport.stop().catch(() => undefined);
      const taken = error instanceof SkeinError && error.code === 'port-in-use';
      if (!taken || fixed || tried >= PORTS_TRIED) throw error;
    }
  }
}

const portOf = (address: string): number => Number(/\/tcp\/(\d+)/.exec(address)?.[1] ?? 0);
const moved = (address: string, by: number): string =>
  address.replace(/\/tcp\/(\d+)/, (_, port: string) => `/tcp/${port === '0' ? 0 : Number(port) + by}`);

/** Port 0 becomes the one that was given, so that the node comes back on it. */
function withRealPorts(listen: readonly string[], real: readonly string[]): readonly string[] {
  return listen.map((address) => {
    if (portOf(address) !== 0) return address;
    const port = portOf(real[0] ?? '');
    return port === 0 ? address : address.replace(/\/tcp\/0/, `/tcp/${port}`);
  });
}

async function joinMesh(
  transport: Libp2pTransport,
  ticket: Ticket,
  { identity, book, options, clock }: Pick<Core, 'identity' | 'book' | 'options' | 'clock'>,
  wanted: Kept,
): Promise<{ readonly name: string; readonly roles: readonly Role[] }> {
  const joiner = {
    name: wanted.name,
    roles: options.roles ?? null,
    boxKey: identity.boxKey,
    observer: identity.observer,
  };
  const joined = await redeem({ transport, clock }, ticket, joiner, AbortSignal.timeout(30_000));
  await book.accept(joined.list);
  book.trust([]);
  return { name: joined.member.name, roles: joined.member.roles };
}

/**
 * Dials where members were last heard, and where a ticket says that a gateway is: whoever moved meanwhile, this node or a
 * gateway, is found again by anyone whom both can reach. Asked again for as long as a worker has no lease.
 */
async function lookUpOthers({ options, transport, out }: Core, ticket: Ticket | undefined): Promise<void> {
  const note = await readObserverNote(options.dataFolder);
  for (const address of new Set([...(ticket?.addresses ?? []), ...(note?.addresses ?? [])])) {
    transport
      .dial(address, { timeoutMs: LOOK_UP_TIMEOUT_MS })
      .catch((error: unknown) => out.debug({ err: error, address }, 'no member is there any more'));
  }
}

interface Founding {
  readonly meshId: MeshId;
  readonly meshName: string;
  readonly kept: Kept;
  readonly identity: Identity;
  readonly clock: Clock;
}

/** The first start of the first node: makes the mesh and joins it. Does nothing where the log holds one. */
async function found(log: Consensus, { meshId, meshName, kept, identity, clock }: Founding): Promise<void> {
  const options = { timeoutMs: FOUND_TIMEOUT_MS };
  await log.readBarrier(options);
  const peerId: PeerId = identity.peerId;
  const at = clock.now();
  const { epochId } = log.status();
  if (log.view.get(keys.mesh) === undefined) {
    await log.propose({ kind: 'mesh.created', meshId, founder: peerId, name: meshName, epochId, at }, options);
  }
  if (log.view.get(keys.member(peerId)) !== undefined) return;
  const { boxKey, observer } = identity;
  const roles = kept.roles as Role[];
  await log.propose(
    { kind: 'member.joined', peerId, name: kept.name, roles, boxKey, observer, ticket: null, at },
    options,
  );
}
