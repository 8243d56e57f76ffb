// When an import or an open failed in the script for something that is here, the last line names it and the fix.
import { basename, dirname, join, normalize, resolve } from 'node:path';
import { statOf } from '../upload/stat.ts';

type Kind = 'python' | 'package' | 'module' | 'path';

const PATTERNS: readonly { readonly pattern: RegExp; readonly kind: Kind }[] = [
  { pattern: /ModuleNotFoundError: No module named '([\w.]+)'/g, kind: 'python' },
  { pattern: /Cannot find package '([^'\n]+)' imported from/g, kind: 'package' },
  { pattern: /Cannot find module '([^'\n]+)'/g, kind: 'module' },
  // Python, Node, Ruby: the name comes last.
  { pattern: /No such file or directory: '([^'\n]+)'/g, kind: 'path' },
  { pattern: /ENOENT: no such file or directory, \w+ '([^'\n]+)'/g, kind: 'path' },
  { pattern: /No such file or directory @ \w+ - ([^\n(]+[^\n( ])/g, kind: 'path' },
  // In quotes: python's own script, cat, head, perl, gawk.
  { pattern: /[`'"‘]([^`'"‘’\n]+)['"’](?: for reading)?\)?: (?:\[Errno 2\] )?No such file/g, kind: 'path' },
  // Without: a name may hold spaces (grep), or stand behind words (sort, sed, sh, tar).
  { pattern: /^[^:\n]+: (?:line \d+: )?([^:\n]+): No such file/gm, kind: 'path' },
  { pattern: /(?:^|\s)([^\s:'"]+)(?:: Cannot open)?: [Nn]o such file/gm, kind: 'path' },
  // mawk, java.
  { pattern: /(?:^|\s)(\S+) \(No such file or directory\)/gm, kind: 'path' },
];

/** What to add as `--input`, as seen from the current folder; undefined where nothing here would help. */
export function missingInput(stderr: string, cwd: string, script: string | undefined): string | undefined {
  const folder = script === undefined ? '.' : dirname(script);
  let last: { readonly at: number; readonly input: string } | undefined;
  for (const { pattern, kind } of PATTERNS) {
    for (const match of stderr.matchAll(pattern)) {
      const input = candidates(match[1] ?? '', kind, folder).find((path) => isHere(path, cwd));
      if (input !== undefined && (last === undefined || match.index > last.at)) last = { at: match.index, input };
    }
  }
  return last?.input;
}

const isHere = (path: string, cwd: string): boolean =>
  path !== '' && path !== '.' && statOf(resolve(cwd, path)) !== undefined;

/** The paths here that the failing name may mean. */
function candidates(name: string, kind: Kind, folder: string): readonly string[] {
  const packages = [join(folder, 'node_modules'), 'node_modules'];
  switch (kind) {
    case 'python':
      return pythonPlaces(name, folder);
    case 'package':
      return packages;
    case 'module':
      // A bare name is a package, anything else a path that may lack its ending.
      return /^(@[\w.-]+\/)?\w[\w.-]*$/.test(name)
        ? packages
        : belowWork(name, folder).flatMap((path) => [path, `${path}.js`, `${path}.json`]);
    case 'path':
      return belowWork(name, folder);
  }
}

function pythonPlaces(name: string, folder: string): readonly string[] {
  const path = name.replaceAll('.', '/');
  const top = name.split('.', 1)[0] ?? name;
  return [`${path}.py`, path, top, `${top}.py`].map((each) => join(folder, each));
}

/** A path as the script saw it: relative as it is; absolute, what follows the work folder, else itself. */
function belowWork(path: string, folder: string): readonly string[] {
  if (!path.startsWith('/')) return [normalize(path), join(folder, path)];
  const parts = path.split('/');
  const relatives = parts.flatMap((part, at) => (part === 'work' ? [parts.slice(at + 1).join('/')] : []));
  const outside = /\/_skein\/root(\/.+)$/.exec(path)?.[1];
  return [...(outside === undefined ? [] : [outside]), ...relatives, path].filter((each) => basename(each) !== '');
}
