// One YAML file, read once: its values, and for each key the line that it stands on.
import { basename } from 'node:path';
import type { Document } from 'yaml';
import { SkeinError } from '../../protocol/errors.ts';
import { reasonOf } from './reason.ts';
import { readSmall } from './small-file.ts';

export type KeyPath = readonly string[];

export interface YamlFile {
  readonly path: string;
  /** Undefined where the key is absent. */
  get(path: KeyPath): unknown;
  /** Every key that is written, with where it stands. */
  keys(): readonly { readonly path: KeyPath; readonly where: string }[];
  /** `FILE:LINE:COLUMN KEY`, for messages. */
  where(path: KeyPath): string;
  /** The error of a key that is not of the documented form. */
  fault(path: KeyPath, expected: string): SkeinError;
}

/** As much as a person would write; a larger file is a mistake. */
const MAX_BYTES = 1_048_576;
const ALIASES_MAX = 100;

/** Undefined where there is no such file. Fails with `config-invalid`, naming line and column, or `file-unreadable`. */
export async function readYaml(path: string): Promise<YamlFile | undefined> {
  const text = await readText(path);
  if (text === undefined) return undefined;
  const { parseDocument, LineCounter, isMap, isScalar } = await import('yaml');
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [problem] = document.errors;
  if (problem !== undefined)
    throw invalid(`${place(path, lines.linePos(problem.pos[0]))}: ${whatIsWrong(problem.message)}`);
  const root = document.contents;
  if (root !== null && !isMap(root)) throw invalid(`${path}:1:1: expected keys and values, such as timeout: 10m`);

  const places = new Map<string, { path: KeyPath; where: string }>();
  const visit = (node: unknown, above: KeyPath): void => {
    if (!isMap(node)) return;
    for (const pair of node.items) {
      const key = isScalar(pair.key) ? String(pair.key.value) : String(pair.key);
      const offset = isScalar(pair.key) ? (pair.key.range?.[0] ?? 0) : 0;
      const here = [...above, key];
      places.set(here.join('\0'), { path: here, where: `${place(path, lines.linePos(offset))} ${here.join('.')}` });
      visit(pair.value, here);
    }
  };
  visit(root, []);
  const values: unknown = valuesOf(document, path) ?? {};
  const where = (at: KeyPath): string => places.get(at.join('\0'))?.where ?? `${path} ${at.join('.')}`;
  return {
    path,
    get: (at) => at.reduce<unknown>(child, values),
    keys: () => [...places.values()],
    where,
    fault: (at, expected) => invalid(`${where(at)}: expected ${expected}`),
  };
}

function valuesOf(document: Document, path: string): unknown {
  try {
    return document.toJS({ maxAliasCount: ALIASES_MAX });
  } catch (cause) {
    throw new SkeinError('config-invalid', `${path}: ${(cause as Error).message}`, {
      cause,
      fix: 'write out what the aliases (*NAME) stand for',
    });
  }
}

function child(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
  return (value as Readonly<Record<string, unknown>>)[key];
}

async function readText(path: string): Promise<string | undefined> {
  try {
    const text = await readSmall(path, MAX_BYTES);
    if (text === undefined) throw invalid(`${path} is larger than 1 MiB: that is no configuration`);
    return text;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    if (error instanceof SkeinError) throw error;
    throw new SkeinError('file-unreadable', `cannot read ${path}: ${reasonOf(error as NodeJS.ErrnoException)}`, {
      cause: error,
      fix: `make ${basename(path)} a file that you may read`,
    });
  }
}

const place = (path: string, at: { line: number; col: number }): string => `${path}:${at.line}:${at.col}`;
/** The parser recurses, and ends with the stack where a file nests deeper than that goes. */
const whatIsWrong = (text: string): string =>
  text.startsWith('Maximum call stack') ? 'it nests too deeply' : (text.split('\n', 1)[0] ?? text);
const invalid = (message: string): SkeinError =>
  new SkeinError('config-invalid', message, { fix: 'correct that line' });
