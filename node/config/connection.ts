// Which mesh a command speaks to, and with which key (UX 7.10). Only the connection's own places are asked:
// flags, SKEIN_*, config.yaml, the nodes of this machine. Never a file of the working folder.
import { join, resolve } from 'node:path';
import { SkeinError } from '../../protocol/errors.ts';
import type { Config, StoredMesh } from './config.ts';
import type { Surroundings } from './folders.ts';
import { isRunning, type NodeEntry, readNodeEntries } from './nodes.ts';
import { reasonOf } from './reason.ts';
import { readSmall } from './small-file.ts';

const KEY_FILE_MAX_BYTES = 4096;

export type Connection =
  | { readonly kind: 'local' }
  | {
      readonly kind: 'gateway';
      /** Tried in order; each without its pin. */
      readonly gateways: readonly Gateway[];
      readonly key: string;
      /** Where the key lies, or null where SKEIN_KEY said it. */
      readonly keyFile: string | null;
      readonly meshName: string | null;
      /** The data folder of a node of this mesh on this machine, whose observer key `peers` may use. */
      readonly dataFolder: string | null;
    };

export interface Gateway {
  readonly url: string;
  /** sha-256 of the certificate, hex, or null: the system's authorities judge. */
  readonly pin: string | null;
}

/** Fails with `unreachable`, `forbidden`, `unauthenticated`, `not-found` or `config-invalid`. */
export async function findConnection(config: Config, from: Surroundings): Promise<Connection> {
  const { gateway, mesh } = config.connection;
  if (gateway !== undefined) return atGateway(gateway, config, from);
  if (mesh === 'local') return { kind: 'local' };
  const entries = await readNodeEntries(from);
  if (mesh !== undefined) return namedMesh(mesh, config, entries, from);

  const names = new Map<string, () => Promise<Connection>>();
  for (const stored of config.stored)
    names.set(stored.meshId ?? stored.name, () => storedConnection(stored, config, from));
  for (const [meshId, nodes] of byMesh(entries)) names.set(meshId, () => nodesConnection(nodes, config, from));
  if (names.size === 0) return { kind: 'local' };
  const [only] = names.values();
  if (names.size === 1 && only !== undefined) return only();
  const all = [...config.stored.map((each) => each.name), ...entries.map((each) => each.meshName)];
  throw new SkeinError('config-invalid', `several meshes are known here: ${[...new Set(all)].join(', ')}`, {
    fix: 'choose one with --mesh NAME, or for good: skein config set mesh NAME',
  });
}

/** `URL[#sha256=PIN]`. Plain http is for loopback alone. */
export function parseGateway(text: string): Gateway {
  if (text.startsWith('ssh://')) {
    throw new SkeinError('not-in-this-version', 'a gateway over ssh:// is not in this version', {
      fix: 'forward the port with ssh -L and use http://127.0.0.1:PORT',
    });
  }
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) throw badGateway(text, 'it is not http:// or https://');
  const pin = /^#sha256=([0-9a-fA-F]{64})$/.exec(url.hash)?.[1]?.toLowerCase() ?? null;
  if (url.hash !== '' && pin === null) throw badGateway(text, 'what follows # is not sha256= and 64 hex digits');
  url.hash = '';
  return { url: url.href.replace(/\/$/, ''), pin };
}

function badGateway(text: string, why: string): SkeinError {
  return new SkeinError('config-invalid', `${text} is no gateway: ${why}`, {
    fix: 'give https://HOST:PORT[#sha256=PIN], or http://127.0.0.1:PORT',
  });
}

async function atGateway(text: string, config: Config, from: Surroundings): Promise<Connection> {
  const gateway = parseGateway(text);
  const given = await givenKey(config, from);
  const base = { kind: 'gateway', gateways: [gateway], meshName: null } as const;
  if (given !== undefined) return { ...base, ...given, dataFolder: null };
  const stored = config.stored.find((each) => each.gateways.some((url) => same(parseGateway(url), gateway)));
  if (stored !== undefined) return { ...base, ...(await keyIn(stored.keyFile)), dataFolder: null };
  const node = (await readNodeEntries(from)).find(
    (each) => each.url !== null && parseGateway(each.url).url === gateway.url,
  );
  if (node !== undefined) {
    return { ...base, ...(await keyIn(adminKey(node))), dataFolder: node.dataFolder, meshName: node.meshName };
  }
  throw new SkeinError('unauthenticated', `no key is known for ${gateway.url}`, {
    fix: 'set SKEIN_KEY or --key-file FILE, or skein login with the string that skein key create printed',
  });
}

/** A stored key goes only to the gateways that it was stored with, certificate included. */
const same = (stored: Gateway, asked: Gateway): boolean =>
  stored.url === asked.url && (asked.pin === null || stored.pin === asked.pin);

async function namedMesh(
  mesh: string,
  config: Config,
  entries: readonly NodeEntry[],
  from: Surroundings,
): Promise<Connection> {
  const stored = config.stored.find((each) => each.name === mesh || each.meshId === mesh);
  if (stored !== undefined) return storedConnection(stored, config, from);
  const matching = entries.filter((each) => each.meshName === mesh || each.meshId.startsWith(mesh));
  const meshes = byMesh(matching);
  if (meshes.size > 1) {
    throw new SkeinError('config-invalid', `several meshes are named ${mesh}: ${[...meshes.keys()].join(', ')}`, {
      fix: 'give --mesh the id',
    });
  }
  if (matching.length > 0) return nodesConnection(matching, config, from);
  const known = [...config.stored.map((each) => each.name), ...entries.map((each) => each.meshName), 'local'];
  throw new SkeinError('not-found', `no mesh ${mesh} is known here`, {
    fix: `known are: ${[...new Set(known)].join(', ')}`,
  });
}

function byMesh(entries: readonly NodeEntry[]): ReadonlyMap<string, readonly NodeEntry[]> {
  return Map.groupBy(entries, (entry) => entry.meshId);
}

async function storedConnection(stored: StoredMesh, config: Config, from: Surroundings): Promise<Connection> {
  return {
    kind: 'gateway',
    gateways: stored.gateways.map(parseGateway),
    ...((await givenKey(config, from)) ?? (await keyIn(stored.keyFile))),
    meshName: stored.name,
    dataFolder: null,
  };
}

/** The nodes of one mesh count as one: those that run come first. */
async function nodesConnection(nodes: readonly NodeEntry[], config: Config, from: Surroundings): Promise<Connection> {
  const first = nodes[0];
  const gateways = nodes.filter((node) => node.url !== null);
  const running = gateways.filter((node) => isRunning(node.pid));
  const chosen = running[0] ?? gateways[0];
  if (chosen === undefined || first === undefined) {
    throw new SkeinError(
      'unauthenticated',
      `the nodes of mesh ${first?.meshName ?? ''} on this machine are workers alone`,
      {
        fix: 'skein login with the string that skein key create prints on a gateway',
      },
    );
  }
  if (running.length === 0) {
    throw new SkeinError('unreachable', `node ${chosen.name} of mesh ${chosen.meshName} is not running`, {
      fix: `skein up --data ${chosen.dataFolder}, or --mesh local to run here without it`,
    });
  }
  return {
    kind: 'gateway',
    gateways: running.map((node) => parseGateway(node.url ?? '')),
    ...((await givenKey(config, from)) ?? (await keyIn(adminKey(chosen)))),
    meshName: chosen.meshName,
    dataFolder: chosen.dataFolder,
  };
}

const adminKey = (node: NodeEntry): string => join(node.dataFolder, 'admin.key');

interface FoundKey {
  readonly key: string;
  readonly keyFile: string | null;
}

async function givenKey(config: Config, from: Surroundings): Promise<FoundKey | undefined> {
  const { key, keyFile } = config.connection;
  if (key !== undefined) return { key: soundKey(key, 'SKEIN_KEY'), keyFile: null };
  return keyFile === undefined ? undefined : keyIn(resolve(from.cwd, keyFile));
}

const keyIn = async (keyFile: string): Promise<FoundKey> => ({ key: await readKey(keyFile), keyFile });

/** One line of a file that only its owner may read. */
export async function readKey(path: string): Promise<string> {
  let text: string | undefined;
  try {
    text = await readSmall(path, KEY_FILE_MAX_BYTES);
  } catch (error) {
    const denied = ['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '');
    const why = denied ? '' : `: ${reasonOf(error as NodeJS.ErrnoException)}`;
    throw new SkeinError(
      denied ? 'forbidden' : 'unauthenticated',
      denied ? `this user may not read the key in ${path}` : `the key in ${path} cannot be read${why}`,
      { cause: error, fix: 'use its owner, or skein login with a key of your own' },
    );
  }
  return soundKey(text?.trim() ?? '', path);
}

/** What no header could carry would fail as something else, later. */
function soundKey(key: string, where: string): string {
  if (/^[\x21-\x7e]{1,512}$/.test(key)) return key;
  throw new SkeinError('unauthenticated', `what ${where} holds is no key: it must be one line of plain characters`, {
    fix: 'give the whole key, as skein key create or admin.key has it, and nothing else',
  });
}
