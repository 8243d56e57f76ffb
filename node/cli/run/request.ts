// What `skein run` was asked: flags stand before SCRIPT, all after it is the script's, but for one `--batch GLOB`
// directly after it, and a `--` directly after either (UX.md section 3).
import { SkeinError } from '../../../protocol/errors.ts';
import type { Flags } from '../../config/config.ts';
import { holdsGlob, type ItemSource } from '../upload/items.ts';

export interface RunRequest {
  /** Undefined: ./skein.yaml says it. */
  readonly script: string | undefined;
  readonly args: readonly string[];
  readonly items: ItemSource | undefined;
}

/** Fails with `usage`. @param exists whether a path is there, seen from the current folder. */
export function readRequest(operands: readonly string[], flags: Flags, exists: (path: string) => boolean): RunRequest {
  const fromFlags = itemsFromFlags(flags);
  const [script, ...rest] = operands;
  if (script === undefined) return { script: undefined, args: [], items: fromFlags };
  if (fromFlags?.kind === 'glob') refuseExpanded(fromFlags.pattern, script, exists);
  const batch = fromFlags === undefined && rest[0] === '--batch' ? batchAfterScript(rest[1], exists) : undefined;
  const afterBatch = batch === undefined ? rest : rest.slice(2);
  const args = afterBatch[0] === '--' ? afterBatch.slice(1) : afterBatch;
  return { script, args, items: fromFlags ?? batch };
}

/** Ours if it holds a pattern; a path would be what the shell made of one; anything else is the script's own flag. */
function batchAfterScript(value: string | undefined, exists: (path: string) => boolean): ItemSource | undefined {
  if (value === undefined) return undefined;
  if (holdsGlob(value)) return { kind: 'glob', pattern: value };
  if (exists(value)) throw quoteTheGlob(value);
  return undefined;
}

/** `--batch *.jpg script` unquoted: the first file went to --batch and the second stands where SCRIPT should. */
function refuseExpanded(pattern: string, script: string, exists: (path: string) => boolean): void {
  const extension = /\.[^./]+$/.exec(pattern)?.[0];
  if (
    extension !== undefined &&
    !holdsGlob(pattern) &&
    script.endsWith(extension) &&
    exists(pattern) &&
    exists(script)
  ) {
    throw quoteTheGlob(pattern);
  }
}

function quoteTheGlob(path: string): SkeinError {
  return new SkeinError(
    'usage',
    `--batch takes a pattern, and ${path} is a file: your shell has already filled it in`,
    {
      fix: "quote the glob: --batch 'photos/*.jpg'",
    },
  );
}

function itemsFromFlags(flags: Flags): ItemSource | undefined {
  const said: (ItemSource | undefined)[] = [
    text(flags.batch, (pattern) => ({ kind: 'glob', pattern })),
    text(flags.lines, (file) => ({ kind: 'lines', file, nul: flags.null === true })),
    text(flags.range, parseRange),
    text(flags.items, (file) => ({ kind: 'items', file })),
  ];
  const given = said.filter((each) => each !== undefined);
  if (given.length > 1) {
    throw new SkeinError('usage', 'a batch has one source: --batch, --lines, --range or --items', {
      fix: 'give one of them',
    });
  }
  return given[0];
}

function text(value: unknown, make: (text: string) => ItemSource): ItemSource | undefined {
  return typeof value === 'string' ? make(value) : undefined;
}

/** `A-B`, both included; numbers may be negative. */
export function parseRange(value: string): ItemSource & { readonly kind: 'range' } {
  const match = /^(-?\d{1,15})-(-?\d{1,15})$/.exec(value);
  const [from, to] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || to < from) {
    throw new SkeinError('usage', `--range ${value} is no range`, { fix: 'give two numbers such as 1-100' });
  }
  if (to - from >= 1_000_000) {
    throw new SkeinError('usage', `--range ${value} is more than a job takes (1000000)`, { fix: 'split the batch' });
  }
  return { kind: 'range', from, to };
}
