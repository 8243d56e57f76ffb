// The replica of the log that a gateway holds: founded with the mesh, or asked for and filled by the others.
import type { EpochId, MeshId } from '../protocol/ids.ts';
import { NOBODY } from '../protocol/raft/message.ts';
import { apply } from '../protocol/state/apply.ts';
import { keys, type Role } from '../protocol/state/rows.ts';
import { Consensus } from './consensus/driver.ts';
import { serveReplica, TransportLinks } from './consensus/links.ts';
import type { Core } from './core.ts';
import { bookMemory, type Kept } from './data-folder.ts';
import { faults } from './faults.ts';
import { enlist, serveEnlist } from './membership/enlist.ts';

const FOUND_TIMEOUT_MS = 15_000;
const BARRIER_TIMEOUT_MS = 5_000;
const PAUSE_MS = 200;
const SAY_AFTER_MS = 3_000;
/** Kept from when this replica hears that it was removed until it has forgotten its log. */
const REMOVED = 'replica-removed';

type Parts = Pick<Core, 'storage' | 'clock' | 'random' | 'book' | 'transport' | 'identity' | 'out'>;

export interface ReplicaOptions {
  readonly kept: Kept;
  readonly meshName: string;
  /** Undefined where this node joins a mesh that is there. */
  readonly founds: boolean;
}

/** Resolves once the rows are here: at once where they were before, else when this replica has caught up. */
export async function startReplica(parts: Parts, options: ReplicaOptions): Promise<Consensus> {
  const { storage, clock, random, transport } = parts;
  keepGateways(parts);
  if (storage.getLocal(REMOVED) === true) {
    await storage.forget();
    await storage.putLocal([{ key: REMOVED, value: undefined }]);
  }
  if (!options.founds && (await storage.open()).voterId === NOBODY) await becomeLearner(parts);
  const initialEpoch = { number: 1, id: Buffer.from(random.bytes(16)).toString('hex') as EpochId };
  const links = new TransportLinks(transport);
  const log = new Consensus({ storage, clock, random: random.fork('raft'), apply, faults, links }, { initialEpoch });
  serveReplica(transport, log);
  serveEnlist(transport, { log, clock });
  await log.start();
  if (options.founds) await found(log, parts, options);
  else await catchUp(log, parts);
  return log;
}

/** From now on, so that a new replica is not lost when the one leads no more that it joined by. */
function keepGateways({ book, transport }: Parts): void {
  for (const { peerId, addresses } of book.list?.gateways ?? []) transport.keep(peerId, addresses);
}

async function becomeLearner({ storage, book, transport, clock, out }: Parts): Promise<void> {
  const list = book.list;
  const gateways = () =>
    (book.list?.gateways ?? []).map(({ peerId }) => peerId).filter((peer) => peer !== transport.self);
  out.info({}, 'this gateway asks for a replica of the log');
  const never = new AbortController().signal;
  const { epoch, voterId } = await enlist({ transport, clock, gateways }, list?.epochId as EpochId, never);
  await storage.become(epoch, voterId);
}

/** Before it has its own row, a gateway can answer nothing. */
async function catchUp(log: Consensus, { transport, clock }: Parts): Promise<void> {
  const since = clock.monotonic();
  let said = false;
  while (log.view.get(keys.mesh) === undefined || log.view.get(keys.member(transport.self)) === undefined) {
    await log.readBarrier({ timeoutMs: BARRIER_TIMEOUT_MS }).catch(() => undefined);
    await clock.sleep(PAUSE_MS);
    if (said || clock.monotonic() - since < SAY_AFTER_MS) continue;
    said = true;
    process.stderr.write('skein: catching up with the log of the mesh\n');
  }
}

/** The first start of the first node: makes the mesh and joins it. Does nothing where the log holds one. */
async function found(log: Consensus, { identity, clock }: Parts, { kept, meshName }: ReplicaOptions): Promise<void> {
  const { peerId, boxKey, observer } = identity;
  // A mesh of several voters may have no quorum now: then the rows are here all the same.
  if (log.view.get(keys.member(peerId)) !== undefined) return;
  const options = { timeoutMs: FOUND_TIMEOUT_MS };
  await log.readBarrier(options);
  const at = clock.now();
  const { epochId } = log.status();
  if (log.view.get(keys.mesh) === undefined) {
    const meshId = kept.meshId as MeshId;
    await log.propose({ kind: 'mesh.created', meshId, founder: peerId, name: meshName, epochId, at }, options);
  }
  if (log.view.get(keys.member(peerId)) !== undefined) return;
  const roles = kept.roles as Role[];
  await log.propose(
    { kind: 'member.joined', peerId, name: kept.name, roles, boxKey, observer, ticket: null, at },
    options,
  );
}

/** A replica that was removed for good begins again under another name: in place, without what it holds. */
export function beginAgainOnceRemoved(
  log: Consensus,
  { storage, members, out }: Pick<Core, 'storage' | 'members' | 'out'>,
): void {
  let begun = false;
  log.onStatus(({ removed }) => {
    if (!removed || begun) return;
    begun = true;
    out.warn({}, 'this replica of the log was removed: the node starts again and asks for a new one');
    // With the rows goes what they say of the other gateways, whom it will have to ask.
    bookMemory(storage)
      .save(members.current())
      .then(() => storage.putLocal([{ key: REMOVED, value: true }]))
      .then(() => process.kill(process.pid, 'SIGHUP'))
      .catch((error: unknown) => out.error({ err: error }, 'the node could not start again by itself'));
  });
}
