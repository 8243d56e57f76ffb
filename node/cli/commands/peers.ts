// `skein peers`: from the gossip itself where this machine has a node's key for it, else from a gateway, and says so.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { PeerList, PeerView } from '../../../protocol/api/mesh.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import { type Config, loadConfig } from '../../config/config.ts';
import { defaultDataFolder } from '../../config/folders.ts';
import { readNodeEntries } from '../../config/nodes.ts';
import { formatDuration } from '../../config/units.ts';
import type { Call, Command } from '../call.ts';
import { type Mesh, openMesh } from '../mesh.ts';
import { formatTable } from '../output/table.ts';
import { showOrWatch } from '../show.ts';

const GOSSIP_LIMIT_MS = 15_000;

export const command: Command = async (call: Call) => {
  const config = await loadConfig(call.flags, call.world.surroundings);
  const folders = await foldersOf(call, config);
  let mesh: Mesh | undefined;
  const ask = async (signal: AbortSignal): Promise<PeerList> => {
    if (mesh !== undefined) return mesh.client.peers(signal);
    try {
      const opened = await openMesh(call, config);
      const list = await opened.client.peers(signal);
      mesh = opened;
      const why = folders.length > 0 ? 'the gossip could not be heard' : 'no node here lets this user hear the gossip';
      await call.screen.say(`${why}; asked a gateway`);
      return list;
    } catch (error) {
      const [folder] = folders;
      throw folder === undefined || signal.aborted ? error : nobodyAnswers(folder, error);
    }
  };
  await showOrWatch(call, async (signal) => {
    const heard = mesh === undefined ? await hear(call, folders, signal) : undefined;
    if (heard !== undefined) return { document: heard, text: () => text(heard, call) };
    const list = await ask(signal);
    return { document: list, text: () => text(list, call) };
  });
  return 0;
};

function nobodyAnswers(folder: string, cause: unknown): SkeinError {
  return new SkeinError(
    'unreachable',
    'nobody of the mesh answers: not the node of this machine, no member that it knew',
    {
      cause,
      fix: `start the node here: skein up --data ${folder}; or ask on another machine of the mesh`,
    },
  );
}

/** The data folders of this machine's nodes, of the mesh that was asked for; none where a gateway was named. */
async function foldersOf(call: Call, config: Config): Promise<readonly string[]> {
  const { gateway, mesh } = config.connection;
  if (gateway !== undefined || mesh === 'local') return [];
  const from = call.world.surroundings;
  const entries = (await readNodeEntries(from)).filter(
    (each) => mesh === undefined || each.meshName === mesh || each.meshId.startsWith(mesh),
  );
  const meshes = new Set(entries.map((each) => each.meshId));
  if (meshes.size > 1) {
    throw new SkeinError(
      'config-invalid',
      `several meshes are known here: ${entries.map((each) => each.meshName).join(', ')}`,
      {
        fix: 'choose one with --mesh NAME',
      },
    );
  }
  if (entries.length > 0) return entries.map((each) => each.dataFolder);
  // A node that was stopped in order left no entry, and still its key for the gossip.
  const folder = defaultDataFolder(from);
  const isKnown = mesh === undefined && config.stored.length === 0 && existsSync(join(folder, 'observer.json'));
  return isKnown ? [folder] : [];
}

async function hear(call: Call, folders: readonly string[], signal: AbortSignal): Promise<PeerList | undefined> {
  if (folders.length === 0) return undefined;
  const { observePeers } = await import('../../observe.ts');
  const { clock, random } = call.world;
  for (const folder of folders) {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(GOSSIP_LIMIT_MS)]);
    const report = await observePeers(folder, { clock, random }, limit).catch((error: unknown) => {
      if (signal.aborted || !(error instanceof SkeinError || limit.aborted)) throw error;
      // Nobody answers by way of this folder: the next one, then a gateway.
      return undefined;
    });
    if (report === undefined) continue;
    const { peers, beacon } = report;
    return {
      schema: 'skein.peers/1',
      leader: beacon?.leader ?? null,
      term: beacon?.term ?? null,
      commitIndex: beacon?.commitIndex ?? null,
      voters: beacon?.voters ?? null,
      source: 'gossip',
      items: peers.map((each) => ({ ...each, roles: [...each.roles] })),
      next: null,
    };
  }
  return undefined;
}

function text(list: PeerList, call: Call): string {
  const header = ['NAME', 'STATE', 'ROLES', 'REACH', 'SLOTS', 'LOAD', 'BEAT', 'LEASE', 'VERSION', 'PAID UNTIL'];
  const rows = list.items.map((peer) => rowOf(peer, list.leader));
  return `${formatTable({ header, rows }, call.world.stdout.columns)}${footer(list)}\n`;
}

function rowOf(peer: PeerView, leader: string | null): readonly string[] {
  const all = ['worker', 'gateway', 'voter'].every((role) => peer.roles.includes(role));
  const roles = all ? 'all' : peer.roles.join(',');
  return [
    peer.name,
    peer.state,
    peer.peerId === leader ? `${roles}, leader` : roles,
    peer.reach ?? '-',
    peer.slots === null ? '-' : `${peer.slots.busy}/${peer.slots.total}`,
    peer.load1 === null ? '-' : peer.load1.toFixed(2),
    peer.heartbeatAgeMs === null ? '-' : age(peer.heartbeatAgeMs),
    peer.leaseLeftMs === null ? '-' : age(peer.leaseLeftMs),
    peer.version ?? '-',
    '-',
  ];
}

const age = (ms: number): string =>
  ms < 10_000 ? `${(ms / 1000).toFixed(1)}s` : ms < 60_000 ? `${Math.round(ms / 1000)}s` : formatDuration(ms);

function whyNothingStarts(items: PeerList['items']): string {
  const gateways = items.filter(({ roles }) => roles.includes('gateway'));
  if (gateways.length === 0 || gateways.some(({ state }) => state !== 'suspect'))
    return 'no leader is heard: nothing new starts until there is one';
  const names = gateways.map(({ name }) => name).join(', ');
  return `gateway ${names} is not heard: what runs stands still and nothing new starts until it is back`;
}

function footer({ items, leader, term, voters }: PeerList): string {
  const name = items.find((peer) => peer.peerId === leader)?.name ?? leader;
  const count = `${items.length} ${items.length === 1 ? 'peer' : 'peers'}`;
  if (name === null) return `${count}, ${whyNothingStarts(items)}`;
  const head = `${count}, leader ${name}${term === null ? '' : ` (term ${term})`}`;
  if (voters === null) return head;
  const spare = voters.healthy - voters.needed;
  const risk = spare < 0 ? ': too few, nothing new starts' : spare === 0 ? ': one more loss stops new submissions' : '';
  return `${head}, ${voters.healthy} of ${voters.total} voters healthy${risk}`;
}
