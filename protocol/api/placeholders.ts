// What `{}` and its kin stand for in the arguments of a task, as in GNU parallel: `{}` the item, `{.}` without its
// extension, `{/}` its last part, `{/.}` both; `{key}` a field where the item is an object.
// The command line asks it to see which files a task needs, the worker to start the task.

const PLACEHOLDER = /\{(\.|\/|\/\.|[A-Za-z_][A-Za-z0-9_-]*)?\}/g;

/** The item as a script sees it: text as it stands, anything else as JSON. Also `$SKEIN_ITEM`. */
export const itemText = (item: unknown): string => (typeof item === 'string' ? item : JSON.stringify(item));

/** The arguments with every placeholder filled in. Where none holds one, the item comes last. */
export function fillArgs(args: readonly string[], item: unknown): readonly string[] {
  const filled = args.map((arg) => fill(arg, item));
  return args.some((arg) => holdsPlaceholder(arg, item)) ? filled : [...filled, itemText(item)];
}

/** One argument filled in; what was put in is not looked at again. */
export function fill(arg: string, item: unknown): string {
  return arg.replace(PLACEHOLDER, (whole, name: string | undefined) => filledBy(name ?? '', item) ?? whole);
}

export function holdsPlaceholder(arg: string, item: unknown): boolean {
  return [...arg.matchAll(PLACEHOLDER)].some(([, name]) => filledBy(name ?? '', item) !== undefined);
}

function filledBy(name: string, item: unknown): string | undefined {
  switch (name) {
    case '':
      return itemText(item);
    case '.':
      return withoutExtension(itemText(item));
    case '/':
      return lastPart(itemText(item));
    case '/.':
      return withoutExtension(lastPart(itemText(item)));
    default:
      return field(item, name);
  }
}

const lastPart = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
const withoutExtension = (path: string): string => path.replace(/\.[^/.]+$/, '');

function field(item: unknown, name: string): string | undefined {
  if (typeof item !== 'object' || item === null || !Object.hasOwn(item, name)) return undefined;
  return itemText((item as Readonly<Record<string, unknown>>)[name]);
}
