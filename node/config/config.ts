// The one frozen Config of a command: flags, then SKEIN_*, then ./skein.yaml (job settings alone), then config.yaml.
import { join, resolve } from 'node:path';
import { SkeinError } from '../../protocol/errors.ts';
import { configFile, type Surroundings } from './folders.ts';
import { camel, kebab } from './node-options.ts';
import { type JobSettings, SETTINGS, type Setting } from './settings.ts';
import { type KeyPath, readYaml, type YamlFile } from './yaml-file.ts';

/** How to reach a mesh, as said; resolved by connection.ts. */
export interface ConnectionSettings {
  readonly gateway?: string;
  readonly mesh?: string;
  readonly keyFile?: string;
  /** The key's own text: only SKEIN_KEY can say it, for no secret is ever a flag. */
  readonly key?: string;
}

/** A mesh that `skein login` stored. */
export interface StoredMesh {
  readonly name: string;
  readonly meshId: string | undefined;
  /** URLs, each with its pin where it has one. */
  readonly gateways: readonly string[];
  readonly keyFile: string;
}

export interface Winner {
  readonly key: string;
  readonly value: unknown;
  /** `--timeout`, `SKEIN_TIMEOUT`, `FILE:LINE:COLUMN KEY`, or `default`. */
  readonly from: string;
}

export interface Config {
  readonly job: JobSettings;
  readonly connection: ConnectionSettings;
  readonly stored: readonly StoredMesh[];
  /** ./skein.yaml where there is one: `skein run` without a script runs it. */
  readonly jobFile: YamlFile | undefined;
  /** Every place that says the key, strongest first. */
  explain(key: string): readonly Winner[];
}

/** Flags as commander names them (camelCase), text or lists of text. */
export type Flags = Readonly<Record<string, unknown>>;

const CONNECTION = ['gateway', 'mesh', 'keyFile'] as const;
const FORBIDDEN_IN_JOB = new Set(['gateway', 'mesh', 'meshes', 'key', 'keyFile', 'data', 'dataFolder', 'connection']);
/** What only a job's own file says: the job itself. */
const JOB_ONLY = new Set([
  'schema',
  'script',
  'command',
  'args',
  'inputs',
  'items',
  'batch',
  'lines',
  'range',
  'stdin',
  'interpreter',
]);
const USER_ONLY = new Set(['gateway', 'mesh', 'keyFile', 'meshes']);
/** Free-form below these: their keys are the user's. */
const OPEN = new Set(['env', 'labels', 'items', 'meshes', 'inputs']);

interface Layer {
  readonly get: (
    key: string,
    aliases: readonly string[],
  ) => { readonly value: unknown; readonly from: string } | undefined;
  readonly fault: (from: string, value: unknown, expected: string) => SkeinError;
}

/** Reads all places once. Fails with `usage` or `config-invalid`, naming flag, variable, or file, line and key. */
export async function loadConfig(flags: Flags, from: Surroundings): Promise<Config> {
  const [jobFile, userFile] = await Promise.all([readYaml(join(from.cwd, 'skein.yaml')), readYaml(configFile(from))]);
  if (jobFile !== undefined) checkKeys(jobFile, 'job');
  if (userFile !== undefined) checkKeys(userFile, 'user');
  const job = [flagLayer(flags), envLayer(from), fileLayer(jobFile), fileLayer(userFile)];
  const user = [flagLayer(flags), envLayer(from), fileLayer(userFile)];

  const settings: Record<string, unknown> = {};
  for (const setting of SETTINGS) {
    const value = settle(setting, job);
    if (value !== undefined) settings[setting.key] = value;
  }
  const connection: Record<string, string> = {};
  // Two answers to one question: which of them is said first counts, and the other one's later word does not.
  const place = user.find((layer) => layer.get('gateway', []) !== undefined || layer.get('mesh', []) !== undefined);
  for (const key of CONNECTION) {
    const layers = key === 'keyFile' ? user : user.filter((layer) => layer === place);
    const said = layers.map((layer) => layer.get(key, [])).find((found) => found !== undefined);
    if (said === undefined) continue;
    if (typeof said.value !== 'string')
      throw new SkeinError('config-invalid', `${said.from}: expected text`, { fix: 'correct that line' });
    connection[key] = said.value;
  }
  if (from.env.SKEIN_KEY !== undefined && from.env.SKEIN_KEY !== '') connection.key = from.env.SKEIN_KEY.trim();
  return Object.freeze({
    job: Object.freeze(settings) as JobSettings,
    connection: Object.freeze(connection),
    stored: storedMeshes(userFile, from),
    jobFile,
    explain: (key: string) => explain(key, job, user),
  });
}

function settle(setting: Setting, layers: readonly Layer[]): unknown {
  let joined: unknown;
  for (const layer of layers) {
    const said = layer.get(setting.key, setting.aliases);
    if (said === undefined) continue;
    const value = setting.parse(said.value);
    if (value === undefined) throw layer.fault(said.from, said.value, setting.expected);
    if (!setting.joins) return value;
    joined = { ...(value as object), ...((joined as object | undefined) ?? {}) };
  }
  return joined;
}

function flagLayer(flags: Flags): Layer {
  return {
    get: (key) => (flags[key] === undefined ? undefined : { value: flags[key], from: `--${kebab(key)}` }),
    fault: (from, value, expected) => new SkeinError('usage', `${from} ${show(value)}: expected ${expected}`),
  };
}

function envLayer(from: Surroundings): Layer {
  return {
    get: (key) => {
      const variable = variableOf(key);
      const value = from.env[variable];
      return value === undefined || value === '' ? undefined : { value, from: variable };
    },
    fault: (name, value, expected) =>
      new SkeinError('config-invalid', `${name}=${show(value)}: expected ${expected}`, { fix: `set or unset ${name}` }),
  };
}

function fileLayer(file: YamlFile | undefined): Layer {
  return {
    get: (key, aliases) => {
      for (const name of [kebab(key), key, ...aliases]) {
        const value = file?.get([name]);
        if (value !== undefined && value !== null) return { value, from: file?.where([name]) ?? '' };
      }
      return undefined;
    },
    fault: (from, _, expected) =>
      new SkeinError('config-invalid', `${from}: expected ${expected}`, { fix: 'correct that line' }),
  };
}

const variableOf = (key: string): string => `SKEIN_${kebab(key).replaceAll('-', '_').toUpperCase()}`;
const show = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

function checkKeys(file: YamlFile, kind: 'job' | 'user'): void {
  const known = new Set<string>(SETTINGS.flatMap((setting) => [setting.key, ...setting.aliases]));
  const own = kind === 'job' ? JOB_ONLY : USER_ONLY;
  for (const { path, where } of file.keys()) {
    const key = camel(path[0] ?? '');
    if (kind === 'job' && FORBIDDEN_IN_JOB.has(key)) throw connectionInJob(where);
    if (path.length === 1 ? !known.has(key) && !own.has(key) : !OPEN.has(key) && !known.has(key) && !own.has(key)) {
      throw file.fault(path, `a setting such as ${nearest(key, [...known, ...own])}`);
    }
  }
}

function connectionInJob(where: string): SkeinError {
  return new SkeinError(
    'config-invalid',
    `${where}: a job's file cannot say where to connect, so that a copied folder cannot draw your key to a stranger`,
    { fix: 'remove it here; put it in config.yaml (skein config set) or SKEIN_GATEWAY' },
  );
}

/** The known word that shares the longest beginning, in the way it is written. */
function nearest(word: string, known: readonly string[]): string {
  const shared = (other: string): number => {
    let n = 0;
    while (n < word.length && word[n] === other[n]) n += 1;
    return n;
  };
  return kebab(known.reduce((best, other) => (shared(other) > shared(best) ? other : best), 'timeout'));
}

function storedMeshes(file: YamlFile | undefined, from: Surroundings): readonly StoredMesh[] {
  const meshes = file?.get(['meshes']);
  if (file === undefined || meshes === undefined || meshes === null) return [];
  if (typeof meshes !== 'object') throw file.fault(['meshes'], 'a name for each mesh');
  return Object.entries(meshes).map(([name, value]) => storedMesh(name, value, file, from));
}

function storedMesh(name: string, value: unknown, file: YamlFile, from: Surroundings): StoredMesh {
  const fields = (typeof value === 'object' && value !== null ? value : {}) as Readonly<Record<string, unknown>>;
  const at: KeyPath = ['meshes', name];
  const { gateways, keyFile, meshId } = fields;
  if (!Array.isArray(gateways) || !gateways.every((url) => typeof url === 'string')) {
    throw file.fault(at, 'gateways: a list of URLs');
  }
  if (typeof keyFile !== 'string') throw file.fault(at, 'keyFile: a file');
  return {
    name,
    meshId: typeof meshId === 'string' ? meshId : undefined,
    gateways,
    keyFile: resolve(from.cwd, keyFile),
  };
}

function explain(key: string, job: readonly Layer[], user: readonly Layer[]): readonly Winner[] {
  const name = camel(key);
  const setting = SETTINGS.find((each) => each.key === name || each.aliases.includes(name));
  const isConnection = (CONNECTION as readonly string[]).includes(name);
  if (setting === undefined && !isConnection) {
    const all = [...SETTINGS.map((each) => each.key), ...CONNECTION].map(kebab);
    throw new SkeinError('not-found', `no setting ${key}`, { fix: `one of ${all.join(', ')}` });
  }
  const layers = isConnection ? user : job;
  const winners = layers
    .map((layer) => layer.get(setting?.key ?? name, setting?.aliases ?? []))
    .filter((said) => said !== undefined)
    .map((said) => ({ key: kebab(name), value: said.value, from: said.from }));
  return winners.length > 0 ? winners : [{ key: kebab(name), value: null, from: 'default' }];
}
