// What one task of a job runs with: its item put in the place of `{}` and its kin, or appended last.
// The submitter writes the templates; the worker fills them, so that an array of a million is one short spec.
import type { ItemEntry, JobSpec } from './jobspec.ts';

/** The item of task `n` (from 1) where the spec alone says it; a manifest's entries come from its blob. */
export function entryOf(spec: JobSpec, n: number): ItemEntry | undefined {
  if (spec.items === undefined || 'manifest' in spec.items) return undefined;
  if ('list' in spec.items) return { item: spec.items.list[n - 1] };
  return { item: spec.items.range.from + n - 1 };
}

/** `args` with the item filled in. */
export function fillArgs(args: readonly string[], entry: ItemEntry | null): readonly string[] {
  if (entry === null) return args;
  const filled = args.map((arg) => fill(arg, entry.item));
  const named = filled.some((arg, at) => arg !== args[at]);
  return named ? filled : [...filled, textOf(entry.item)];
}

/** `{}` the item, `{.}` without its extension, `{/}` its base name, `{/.}` that without extension, `{key}` of an object. */
export function fill(template: string, item: unknown): string {
  return template.replace(/\{(\/\.|[./]|[A-Za-z_][A-Za-z0-9_]*)?\}/g, (whole, form: string | undefined) => {
    const text = textOf(item);
    if (form === undefined) return text;
    if (form === '.') return withoutExtension(text);
    if (form === '/') return baseName(text);
    if (form === '/.') return withoutExtension(baseName(text));
    const fields = typeof item === 'object' && item !== null ? (item as Readonly<Record<string, unknown>>) : {};
    return Object.hasOwn(fields, form) ? textOf(fields[form]) : whole;
  });
}

export function textOf(item: unknown): string {
  return typeof item === 'string' ? item : JSON.stringify(item);
}

const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

function withoutExtension(path: string): string {
  const dot = path.lastIndexOf('.');
  return dot > path.lastIndexOf('/') + 1 ? path.slice(0, dot) : path;
}
