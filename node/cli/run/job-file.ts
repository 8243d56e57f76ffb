// `skein run` without a script: ./skein.yaml is the job. Paths stand for what they name, units may be written.
import { SkeinError } from '../../../protocol/errors.ts';
import type { KeyPath, YamlFile } from '../../config/yaml-file.ts';
import type { ItemSource } from '../upload/items.ts';
import { parseRange, type RunRequest } from './request.ts';

export interface FileRequest extends RunRequest {
  readonly script: string;
  readonly inputs: readonly string[];
  /** A file for the script's standard input. */
  readonly stdin: string | undefined;
}

/** Fails with `usage` where there is no file, `config-invalid` naming line and key. */
export function requestFromFile(file: YamlFile | undefined): FileRequest {
  if (file === undefined) {
    throw new SkeinError('usage', 'no script is named, and there is no skein.yaml here', {
      fix: 'skein run SCRIPT [ARGS], or write the job into skein.yaml',
    });
  }
  const schema = file.get(['schema']);
  if (schema !== undefined && schema !== 'skein.jobspec/1') throw file.fault(['schema'], 'skein.jobspec/1');
  const [script, first] = startOf(file);
  return {
    script,
    args: [...first, ...texts(file, 'args')],
    items: itemsOf(file),
    inputs: inputsOf(file),
    stdin: text(file, 'stdin'),
  };
}

function startOf(file: YamlFile): readonly [string, readonly string[]] {
  const script = text(file, 'script');
  const [command, ...rest] = texts(file, 'command');
  if (script !== undefined && command !== undefined) throw file.fault(['command'], 'either script or command');
  if (script !== undefined) return [script, []];
  if (command !== undefined) return [command, rest];
  throw new SkeinError('config-invalid', `${file.path} names neither script nor command`, { fix: 'add  script: FILE' });
}

/** Text, or `{path: text}` as in a spec. */
function text(file: YamlFile, key: string): string | undefined {
  const value = file.get([key]);
  if (value === undefined || value === null) return undefined;
  const path = typeof value === 'object' ? file.get([key, 'path']) : value;
  if (typeof path !== 'string' || path === '') throw file.fault([key], 'a path');
  return path;
}

function texts(file: YamlFile, key: string): readonly string[] {
  const value = file.get([key]);
  if (value === undefined || value === null) return [];
  const list = Array.isArray(value) ? value : [value];
  if (!list.every((each) => ['string', 'number', 'boolean'].includes(typeof each)))
    throw file.fault([key], 'a list of texts');
  return list.map(String);
}

function inputsOf(file: YamlFile): readonly string[] {
  const value = file.get(['inputs']);
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw file.fault(['inputs'], 'a list of paths');
  return value.map((each: unknown) => {
    const path = typeof each === 'object' && each !== null ? (each as { path?: unknown }).path : each;
    if (typeof path !== 'string') throw file.fault(['inputs'], 'a list of paths');
    return path;
  });
}

function itemsOf(file: YamlFile): ItemSource | undefined {
  const batch = file.get(['batch']);
  if (typeof batch === 'string') return { kind: 'glob', pattern: batch };
  const lines = file.get(['lines']);
  if (typeof lines === 'string') return { kind: 'lines', file: lines, nul: false };
  for (const key of [['range'], ['items', 'range']]) {
    const range = file.get(key);
    if (range !== undefined && range !== null) return rangeOf(file, key, range);
  }
  const list = file.get(['items', 'list']) ?? file.get(['items']);
  if (list === undefined || list === null) return undefined;
  if (typeof list === 'string') return { kind: 'items', file: list };
  if (!Array.isArray(list) || list.length === 0) throw file.fault(['items'], 'a list with items, or range');
  return { kind: 'list', list };
}

function rangeOf(file: YamlFile, key: KeyPath, value: unknown): ItemSource {
  const { from, to } = (typeof value === 'object' ? value : {}) as { from?: unknown; to?: unknown };
  try {
    return parseRange(typeof value === 'string' ? value : `${from}-${to}`);
  } catch {
    // The flag's own words would not say where this was written.
    throw file.fault(key, 'a range such as 1-100, of at most a million');
  }
}
