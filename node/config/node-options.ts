// What one node is started with: flags, then SKEIN_*, then DIR/node.yaml (or --config), then defaults.
// What is not said anywhere the node fills in from its first start, kept in its data folder.
import { cpus, hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { SkeinError } from '../../protocol/errors.ts';
import type { Role } from '../../protocol/state/rows.ts';
import { slotsMax } from '../../protocol/wire/bounds.ts';
import { defaultDataFolder, type Surroundings } from './folders.ts';
import { parseDuration } from './units.ts';
import { readYaml, type YamlFile } from './yaml-file.ts';

/** An address to listen on. `explicit`: it was asked for, so a taken port is an error. */
export interface Listen {
  readonly host: string;
  readonly port: number;
  readonly explicit: boolean;
}

export interface NodeOptions {
  /** Absolute. */
  readonly dataFolder: string;
  /** The name of the mesh that a first start without a ticket creates. */
  readonly meshName: string;
  readonly http: Listen;
  readonly listen: Listen;
  /** HOST:PORT or multiaddrs that others should dial. */
  readonly announce: readonly string[];
  /** Undefined: what the ticket or the first start says. */
  readonly roles: readonly Role[] | undefined;
  readonly slots: number;
  readonly slotsExplicit: boolean;
  readonly name: string;
  readonly nameExplicit: boolean;
  /** The text of a ticket: join that mesh. */
  readonly ticket: string | undefined;
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined;
  readonly insecureHttp: boolean;
  /** Where the JSON line of a ready node goes. */
  readonly readyFd: number | undefined;
  /** How long SIGTERM waits for running tasks. */
  readonly drainDeadlineMs: number;
  /** The mesh `local`: free ports, no entry for the CLI to find, ends by itself when idle. */
  readonly embedded: boolean;
}

/** As commander hands them over; all text. */
export interface NodeFlags {
  readonly data?: string;
  readonly config?: string;
  readonly mesh?: string;
  readonly http?: string;
  readonly listen?: string;
  readonly announce?: readonly string[];
  readonly roles?: string;
  readonly slots?: string;
  readonly name?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly insecureHttp?: boolean;
  readonly readyFd?: string;
  readonly drainDeadline?: string;
}

const HTTP = { host: '127.0.0.1', port: 7070 };
const MESH = { host: '127.0.0.1', port: 7071 };
const ROLES: readonly Role[] = ['worker', 'gateway', 'voter'];
const KEYS = {
  http: 'HOST:PORT',
  listen: 'HOST:PORT or a multiaddr',
  announce: 'a list of HOST:PORT or multiaddrs',
  roles: 'worker, gateway, voter',
  slots: `a whole number from 1 to ${slotsMax}`,
  name: 'a name',
  mesh: 'a name',
  tlsCert: 'a file',
  tlsKey: 'a file',
  insecureHttp: 'true or false',
  drainDeadline: 'a duration such as 30s',
} as const;
type Key = keyof typeof KEYS;

/** A value and the place that it came from, for the error that it may cause. */
interface Said {
  readonly value: unknown;
  readonly from: string;
}

/** Fails with `usage` or `config-invalid`, naming flag, variable, or file, line and key. */
export async function nodeOptions(
  flags: NodeFlags,
  ticket: string | undefined,
  from: Surroundings,
): Promise<NodeOptions> {
  const dataFolder = dataFolderOf(flags, from);
  const file = await nodeFile(flags, dataFolder, from);
  const said = (key: Key): Said | undefined => sayer(key, flags, file, from);
  const slots = said('slots');
  const name = said('name');
  return Object.freeze({
    dataFolder,
    meshName: text(said('mesh'), KEYS.mesh) ?? 'skein',
    http: address(said('http'), HTTP, KEYS.http),
    listen: address(said('listen'), MESH, KEYS.listen),
    announce: texts(said('announce'), KEYS.announce),
    roles: rolesOf(said('roles')),
    slots: slots === undefined ? Math.min(Math.max(1, cpus().length), slotsMax) : whole(slots, 1, slotsMax, KEYS.slots),
    slotsExplicit: slots !== undefined,
    name: text(name, KEYS.name) ?? (hostname() || 'node'),
    nameExplicit: name !== undefined,
    ticket,
    tls: tlsOf(said('tlsCert'), said('tlsKey'), from),
    insecureHttp: truth(said('insecureHttp')),
    readyFd:
      flags.readyFd === undefined
        ? undefined
        : whole({ value: flags.readyFd, from: '--ready-fd' }, 3, 1023, 'a descriptor from 3 to 1023'),
    drainDeadlineMs: duration(said('drainDeadline')) ?? 30_000,
    embedded: false,
  });
}

/** The data folder that flags and environment name: also what `down` looks for. Fails with `usage`. */
export function dataFolderOf(flags: { readonly data?: string }, from: Surroundings): string {
  if (flags.data === '') {
    throw new SkeinError('usage', '--data is empty', { fix: 'name a folder, or leave --data away' });
  }
  const chosen = flags.data ?? from.env.SKEIN_DATA;
  return chosen === undefined || chosen === '' ? defaultDataFolder(from) : resolve(from.cwd, chosen);
}

async function nodeFile(flags: NodeFlags, dataFolder: string, from: Surroundings): Promise<YamlFile | undefined> {
  const named = flags.config ?? from.env.SKEIN_CONFIG;
  const path = named === undefined ? join(dataFolder, 'node.yaml') : resolve(from.cwd, named);
  const file = await readYaml(path);
  if (file === undefined && named !== undefined) {
    throw new SkeinError('file-missing', `no such file: ${named}`, { fix: 'name an existing node.yaml with --config' });
  }
  for (const { path: keyPath } of file?.keys() ?? []) {
    if (keyPath.length === 1 && !Object.hasOwn(KEYS, camel(keyPath[0] ?? ''))) {
      throw file?.fault(keyPath, `one of ${Object.keys(KEYS).map(kebab).join(', ')}`);
    }
  }
  return file;
}

function sayer(key: Key, flags: NodeFlags, file: YamlFile | undefined, from: Surroundings): Said | undefined {
  const flag = flags[key];
  if (flag !== undefined) return { value: flag, from: `--${kebab(key)}` };
  const variable = `SKEIN_${kebab(key).replaceAll('-', '_').toUpperCase()}`;
  const inEnv = from.env[variable];
  if (inEnv !== undefined && inEnv !== '') return { value: inEnv, from: variable };
  for (const written of [kebab(key), key]) {
    const value = file?.get([written]);
    if (value !== undefined) return { value, from: file?.where([written]) ?? '' };
  }
  return undefined;
}

function fault(said: Said, expected: string): SkeinError {
  const code = said.from.startsWith('--') ? 'usage' : 'config-invalid';
  const shown = JSON.stringify(said.value);
  const value = shown.length > 80 ? `${shown.slice(0, 80)}…` : shown;
  return new SkeinError(code, `${said.from}: ${value} is not ${expected}`);
}

/** HOST:PORT, :PORT, PORT, or /ip4/…/tcp/PORT. */
function address(said: Said | undefined, fallback: { host: string; port: number }, expected: string): Listen {
  if (said === undefined) return { ...fallback, explicit: false };
  const parsed = typeof said.value === 'object' ? undefined : parseAddress(String(said.value), fallback.host);
  if (parsed === undefined) throw fault(said, expected);
  return { ...parsed, explicit: true };
}

export function parseAddress(text: string, defaultHost: string): { host: string; port: number } | undefined {
  const multi = /^\/(?:ip4|ip6|dns|dns4|dns6)\/([^/]+)\/tcp\/(\d+)$/.exec(text);
  const plain = /^(?:\[([0-9a-fA-F:.]+)\]:|([^:/\s]*):)?(\d+)$/.exec(text);
  const host = multi?.[1] ?? plain?.[1] ?? (plain?.[2] === '' ? '0.0.0.0' : plain?.[2]) ?? defaultHost;
  const port = Number(multi?.[2] ?? plain?.[3] ?? Number.NaN);
  return Number.isInteger(port) && port >= 0 && port <= 65_535 ? { host, port } : undefined;
}

function text(said: Said | undefined, expected: string): string | undefined {
  if (said === undefined) return undefined;
  const value = typeof said.value === 'number' ? String(said.value) : said.value;
  if (typeof value !== 'string' || !/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(value)) {
    throw fault(said, `${expected} (letters, digits, '.', '_', '-'; at most 63)`);
  }
  return value;
}

function texts(said: Said | undefined, expected: string): readonly string[] {
  if (said === undefined) return [];
  const list = typeof said.value === 'string' ? said.value.split(',') : said.value;
  if (!Array.isArray(list) || !list.every((item) => typeof item === 'string')) throw fault(said, expected);
  return list.map((item) => item.trim()).filter((item) => item !== '');
}

function rolesOf(said: Said | undefined): readonly Role[] | undefined {
  if (said === undefined) return undefined;
  const list = texts(said, KEYS.roles);
  const wrong = list.find((role) => !(ROLES as readonly string[]).includes(role));
  if (wrong !== undefined || list.length === 0) throw fault(said, `some of ${KEYS.roles}`);
  return ROLES.filter((role) => list.includes(role));
}

function whole(said: Said, min: number, max: number, expected: string): number {
  const n =
    typeof said.value === 'number' ? said.value : Number(/^\d+$/.test(String(said.value)) ? said.value : Number.NaN);
  if (!Number.isInteger(n) || n < min || n > max) throw fault(said, expected);
  return n;
}

function truth(said: Said | undefined): boolean {
  if (said === undefined) return false;
  if (said.value === true || said.value === 'true' || said.value === '1') return true;
  if (said.value === false || said.value === 'false' || said.value === '0') return false;
  throw fault(said, KEYS.insecureHttp);
}

function duration(said: Said | undefined): number | undefined {
  if (said === undefined) return undefined;
  const ms = String(said.value) === '0' ? 0 : parseDuration(String(said.value));
  if (ms === undefined) throw fault(said, KEYS.drainDeadline);
  return ms;
}

function tlsOf(cert: Said | undefined, key: Said | undefined, from: Surroundings): NodeOptions['tls'] {
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) {
    throw new SkeinError('usage', 'a certificate needs its key', {
      fix: 'give both --tls-cert FILE and --tls-key FILE',
    });
  }
  return { certFile: resolve(from.cwd, String(cert.value)), keyFile: resolve(from.cwd, String(key.value)) };
}

export const kebab = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
export const camel = (key: string): string => key.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
