// The settings of a job that may be said on the command line, in SKEIN_*, in ./skein.yaml or in config.yaml:
// one table, so that all four places know the same names, forms and messages.
import type { Needs } from '../../protocol/api/jobspec.ts';
import { parseDuration, parseSize } from './units.ts';

export interface JobSettings {
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly envFile?: readonly string[];
  /** `process`, `noop`, or the interpreter to start the script with. */
  readonly runtime?: string;
  readonly needs?: Needs;
  readonly timeout?: number;
  readonly startWithin?: number;
  readonly retries?: number;
  readonly retryOn?: readonly number[];
  readonly maxLost?: number;
  readonly maxFails?: number;
  readonly maxParallel?: number;
  readonly priority?: number;
  readonly keep?: number;
  readonly input?: readonly string[];
  readonly outputDir?: string;
  readonly overwrite?: boolean;
  readonly fetch?: boolean;
  readonly scan?: boolean;
  readonly onExit?: 'detach' | 'cancel';
  readonly progress?: 'auto' | 'bar' | 'plain' | 'none';
}

export interface Setting {
  readonly key: keyof JobSettings;
  /** The names it has in a job's spec. */
  readonly aliases: readonly string[];
  readonly expected: string;
  /** Undefined where the value is not of that form. Text from flags and SKEIN_*, anything from YAML. */
  readonly parse: (value: unknown) => unknown;
  /** Values of several places are joined, key by key. */
  readonly joins: boolean;
}

const setting = (
  key: keyof JobSettings,
  expected: string,
  parse: (value: unknown) => unknown,
  options: { aliases?: readonly string[]; joins?: boolean } = {},
): Setting => ({ key, expected, parse, aliases: options.aliases ?? [], joins: options.joins ?? false });

export const SETTINGS: readonly Setting[] = [
  setting('name', 'a name of at most 200 characters', shortText(200)),
  setting('labels', 'labels such as team=ml', labels, { joins: true }),
  setting('env', 'variables such as KEY=VALUE', variables, { joins: true }),
  setting('envFile', 'a file of KEY=VALUE lines', textList),
  setting('runtime', 'a runtime such as python3', shortText(4096)),
  setting('needs', 'needs such as cpu=2,mem=4g,disk=10g,gpu=1, each once', parseNeeds, { joins: true }),
  setting('timeout', 'a duration such as 10m', duration, { aliases: ['timeoutMs'] }),
  setting('startWithin', 'a duration such as 1h', duration, { aliases: ['startWithinMs'] }),
  setting('retries', 'a whole number from 0 to 100', whole(0, 100)),
  setting('retryOn', 'exit codes such as 1,75', exitCodes),
  setting('maxLost', 'a whole number from 0 to 100', whole(0, 100)),
  setting('maxFails', 'a whole number, 0 or more', whole(0, 1_000_000)),
  setting('maxParallel', 'a whole number, 1 or more', whole(1, 1_000_000)),
  setting('priority', 'a whole number from -100 to 100', whole(-100, 100)),
  setting('keep', 'a duration such as 30d', duration, { aliases: ['keepMs'] }),
  setting('input', 'a path, or a list of them', textList),
  setting('outputDir', 'a folder', shortText(4096)),
  setting('overwrite', 'true or false', truth),
  setting('fetch', 'true or false', truth),
  setting('scan', 'true or false', truth),
  setting('onExit', 'detach or cancel', oneOf('detach', 'cancel')),
  setting('progress', 'auto, bar, plain or none', oneOf('auto', 'bar', 'plain', 'none')),
];

function shortText(max: number): (value: unknown) => string | undefined {
  return (value) => {
    const text = typeof value === 'number' ? String(value) : value;
    return typeof text === 'string' && text !== '' && text.length <= max ? text : undefined;
  };
}

function oneOf(...words: readonly string[]): (value: unknown) => string | undefined {
  return (value) => words.find((word) => word === value);
}

function truth(value: unknown): boolean | undefined {
  if (typeof value === 'boolean') return value;
  if (value === 'true' || value === '1') return true;
  return value === 'false' || value === '0' ? false : undefined;
}

function whole(min: number, max: number): (value: unknown) => number | undefined {
  return (value) => {
    const n = typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : value;
    return typeof n === 'number' && Number.isInteger(n) && n >= min && n <= max ? n : undefined;
  };
}

const YEAR_MS = 31_536_000_000;

/** Text with units, or a number of milliseconds as in a spec. */
function duration(value: unknown): number | undefined {
  const ms = typeof value === 'number' ? value : typeof value === 'string' ? parseDuration(value) : undefined;
  return ms !== undefined && Number.isInteger(ms) && ms >= 1 && ms <= YEAR_MS ? ms : undefined;
}

function textList(value: unknown): readonly string[] | undefined {
  const list = typeof value === 'string' ? [value] : value;
  return Array.isArray(list) && list.every((item) => typeof item === 'string' && item !== '') ? list : undefined;
}

function exitCodes(value: unknown): readonly number[] | undefined {
  const list = Array.isArray(value) ? value : String(value).split(',');
  const codes = list.map((item) => whole(1, 255)(typeof item === 'string' ? item.trim() : item));
  return codes.length > 0 && codes.every((code) => code !== undefined) ? (codes as number[]) : undefined;
}

/** `K=V` texts or an object; an environment also takes `K` alone, which the command line has filled in before. */
function pairs(value: unknown, name: RegExp): Readonly<Record<string, string>> | undefined {
  const entries = Array.isArray(value) || typeof value === 'string' ? [value].flat().map(split) : objectEntries(value);
  if (entries === undefined) return undefined;
  const out: Record<string, string> = {};
  for (const entry of entries) {
    if (entry === undefined || !name.test(entry[0])) return undefined;
    out[entry[0]] = entry[1];
  }
  return out;
}

function split(item: unknown): readonly [string, string] | undefined {
  if (typeof item !== 'string') return undefined;
  const at = item.indexOf('=');
  return at < 1 ? undefined : [item.slice(0, at), item.slice(at + 1)];
}

function objectEntries(value: unknown): readonly (readonly [string, string] | undefined)[] | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.entries(value).map(([key, item]) =>
    typeof item === 'string' || typeof item === 'number' || typeof item === 'boolean' ? [key, String(item)] : undefined,
  );
}

function variables(value: unknown): Readonly<Record<string, string>> | undefined {
  return pairs(value, /^[A-Za-z_][A-Za-z0-9_]*$/);
}

function labels(value: unknown): Readonly<Record<string, string>> | undefined {
  return pairs(value, /^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/);
}

const NEED_NAMES: Readonly<Record<string, keyof Needs>> = {
  cpu: 'cpu',
  mem: 'memBytes',
  memBytes: 'memBytes',
  disk: 'diskBytes',
  diskBytes: 'diskBytes',
  gpu: 'gpu',
};

/** `cpu=2,mem=4g` or an object with the same names or a spec's. */
export function parseNeeds(value: unknown): Needs | undefined {
  const entries = typeof value === 'string' ? value.split(',').map(split) : objectEntries(value);
  if (entries === undefined) return undefined;
  const needs: { cpu?: number | 'all'; memBytes?: number; diskBytes?: number; gpu?: number } = {};
  for (const entry of entries) {
    const name = entry === undefined ? undefined : NEED_NAMES[entry[0].trim()];
    if (name === undefined || entry === undefined || name in needs) return undefined;
    const amount = needAmount(name, entry[1].trim());
    if (amount === undefined) return undefined;
    Object.assign(needs, { [name]: amount });
  }
  return Object.keys(needs).length > 0 ? needs : undefined;
}

function needAmount(name: keyof Needs, text: string): number | 'all' | undefined {
  if (name === 'memBytes' || name === 'diskBytes') return parseSize(text);
  if (name === 'gpu') return whole(0, 64)(text);
  if (text === 'all') return 'all';
  const cpu = Number(text);
  return text !== '' && cpu > 0 && cpu <= 4096 ? cpu : undefined;
}
