// The items of a batch: files that a glob matches, lines, a range, or JSON. Each becomes one task.
import { readFile } from 'node:fs/promises';
import { isAbsolute, relative, resolve } from 'node:path';
import { addAbortSignal, type Readable } from 'node:stream';
import { text as textOf } from 'node:stream/consumers';
import { SkeinError } from '../../../protocol/errors.ts';
import { reasonOf } from '../../config/reason.ts';

export type ItemSource =
  | { readonly kind: 'glob'; readonly pattern: string }
  | { readonly kind: 'lines'; readonly file: string; readonly nul: boolean }
  | { readonly kind: 'range'; readonly from: number; readonly to: number }
  | { readonly kind: 'items'; readonly file: string }
  | { readonly kind: 'list'; readonly list: readonly unknown[] };

export interface Item {
  readonly value: unknown;
  /** The name of its output folder where the item is a path: relative to the glob's fixed part. */
  readonly name: string | undefined;
}

const MAX_ITEMS = 1_000_000;
export const holdsGlob = (text: string): boolean => /[*?[{]/.test(text);

/** Fails with `no-match`, `file-missing`, `usage`. */
export async function readItems(
  source: ItemSource,
  cwd: string,
  stdin: Readable,
  signal: AbortSignal,
): Promise<readonly Item[]> {
  const items = await itemsOf(source, cwd, (file) => readText(file, cwd, stdin, signal));
  if (items.length > MAX_ITEMS) {
    throw new SkeinError('usage', `${items.length} items are more than a job takes (${MAX_ITEMS})`, {
      fix: 'split the batch',
    });
  }
  return items;
}

async function itemsOf(
  source: ItemSource,
  cwd: string,
  read: (file: string) => Promise<string>,
): Promise<readonly Item[]> {
  switch (source.kind) {
    case 'glob':
      return globItems(source.pattern, cwd);
    case 'lines':
      return lineItems(await read(source.file), source.nul, source.file);
    case 'range':
      return Array.from({ length: source.to - source.from + 1 }, (_, n) => ({
        value: source.from + n,
        name: undefined,
      }));
    case 'items':
      return jsonItems(await read(source.file), source.file);
    case 'list':
      return source.list.map((value) => ({ value, name: undefined }));
  }
}

async function globItems(pattern: string, cwd: string): Promise<readonly Item[]> {
  const { glob } = await import('tinyglobby');
  const options = { cwd, absolute: true, expandDirectories: false } as const;
  const escaped = holdsGlob(pattern) ? pattern : pattern.replace(/[()!+@\\]/g, '\\$&');
  let paths = await glob(escaped, { ...options, onlyFiles: true });
  if (paths.length === 0) paths = await glob(escaped, { ...options, onlyDirectories: true });
  if (paths.length === 0) {
    throw new SkeinError('no-match', `--batch ${pattern} matches nothing here`, {
      fix: 'check the glob and the folder',
    });
  }
  const fixed = resolve(cwd, fixedPart(pattern));
  return paths
    .map((path) => path.replace(/\/$/, ''))
    .sort(bytewise)
    .map((path) => ({
      value: isAbsolute(pattern) ? path : relative(cwd, path) || '.',
      name: relative(fixed, path) || undefined,
    }));
}

const bytewise = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** The folders of a glob before its first pattern: `in/2026/` of `in/2026/*.json`. */
export function fixedPart(pattern: string): string {
  const parts = pattern.split('/');
  const first = parts.findIndex(holdsGlob);
  const kept = parts.slice(0, first < 0 ? -1 : first).join('/');
  return kept === '' ? (pattern.startsWith('/') ? '/' : '.') : kept;
}

function lineItems(text: string, nul: boolean, file: string): readonly Item[] {
  const lines = text.split(nul ? '\0' : /\r?\n/).filter((line) => line !== '');
  if (lines.length === 0)
    throw new SkeinError('no-match', `--lines ${file} holds no line`, { fix: 'give one item a line' });
  return lines.map((value) => ({ value, name: undefined }));
}

function jsonItems(text: string, file: string): readonly Item[] {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch (cause) {
    throw new SkeinError('usage', `--items ${file} is no JSON: ${(cause as Error).message}`, {
      cause,
      fix: 'give a JSON array',
    });
  }
  if (!Array.isArray(list) || list.length === 0) {
    throw new SkeinError('usage', `--items ${file} is no JSON array with items`, { fix: 'give a JSON array' });
  }
  return list.map((value: unknown) => ({ value, name: undefined }));
}

async function readText(file: string, cwd: string, stdin: Readable, signal: AbortSignal): Promise<string> {
  if (file === '-') return textOf(addAbortSignal(signal, stdin));
  return readFile(resolve(cwd, file), 'utf8').catch((cause: NodeJS.ErrnoException) => {
    const code = cause.code === 'ENOENT' ? 'no-match' : 'file-unreadable';
    throw new SkeinError(code, `cannot read ${file}: ${reasonOf(cause)}`, {
      cause,
      fix: 'name an existing file, or - for standard input',
    });
  });
}
