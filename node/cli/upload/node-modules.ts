// The modules of its own that a JavaScript or TypeScript script imports or requires, also indirectly, and the
// package.json that says what they are. What comes from node_modules stays here.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, extname, isAbsolute, join, resolve, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type * as lexer from 'es-module-lexer';
import { within } from './paths.ts';

const SCANNED = ['.js', '.mjs', '.cjs', '.ts', '.mts', '.cts'];
const REQUIRED = ['.js', '.json', '.node', '.cjs', '.ts'];
const SOURCE_MAX_BYTES = 8 * 1024 * 1024;

/** Absolute paths, the script itself left out. @param top package.json files are looked for up to this folder. */
export async function nodeModules(script: string, top: string): Promise<readonly string[]> {
  // The build without WebAssembly: a few kB, and nothing to compile.
  const { parse } = await import('es-module-lexer/js');
  const found = new Set<string>();
  const waiting = [script];
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    const packageFile = nearestPackage(dirname(file), top);
    if (packageFile !== undefined) found.add(packageFile);
    if (!SCANNED.includes(extname(file)) && file !== script) continue;
    const source = sourceOf(file);
    for (const specifier of [...imports(source, parse), ...requires(source)]) {
      const module = resolveModule(specifier, file);
      if (module === undefined || found.has(module) || module === script) continue;
      found.add(module);
      waiting.push(module);
    }
  }
  return [...found].sort();
}

function sourceOf(file: string): string {
  try {
    const bytes = readFileSync(file);
    return bytes.length > SOURCE_MAX_BYTES ? '' : bytes.toString('utf8');
  } catch {
    // Whoever uploads it will say that it cannot be read.
    return '';
  }
}

function imports(source: string, parse: typeof lexer.parse): readonly string[] {
  try {
    const [found] = parse(source);
    return found.flatMap((each) => ('specifier' in each && typeof each.specifier === 'string' ? [each.specifier] : []));
  } catch {
    // No module that a lexer understands (CommonJS with a stray regular expression, say): `requires` still looks.
    return [...source.matchAll(/\bfrom\s*(['"])(\.{1,2}\/[^'"\n]+)\1/g)].map(([, , specifier]) => specifier ?? '');
  }
}

/** `require('x')`, `require.resolve('x')` and `new URL('./x', import.meta.url)`. */
function requires(source: string): readonly string[] {
  const calls = /\brequire(?:\.resolve)?\(\s*(['"`])([^'"`\n$]+)\1\s*\)/g;
  const urls = /\bnew\s+URL\(\s*(['"`])(\.{1,2}\/[^'"`\n$]*)\1\s*,\s*import\.meta\.url/g;
  const code = withoutComments(source);
  return [...code.matchAll(calls), ...code.matchAll(urls)].map(([, , specifier]) => specifier ?? '');
}

/** Whole-line comments and block comments at a line's start; one inside a string would have to begin a line. */
function withoutComments(source: string): string {
  return source.replace(/^[ \t]*\/\/.*$/gm, '').replace(/^[ \t]*\/\*[\s\S]*?\*\//gm, '');
}

function resolveModule(specifier: string, from: string): string | undefined {
  if (!/^(\.{1,2}(\/|$)|\/|file:)/.test(specifier)) return ownModule(specifier, from);
  const path = pathOf(specifier, from);
  if (path === undefined) return undefined;
  return [path, ...REQUIRED.map((extension) => path + extension)].find(isFile) ?? folderMain(path);
}

/** `#lib/x` and `me/x`, as the `imports` and `exports` of the package.json around say; what is installed stays here. */
function ownModule(specifier: string, from: string): string | undefined {
  if (specifier.startsWith('node:')) return undefined;
  try {
    const file = createRequire(from).resolve(specifier);
    return isAbsolute(file) && !file.split(sep).includes('node_modules') ? file : undefined;
  } catch {
    // Not installed here either, or only for other conditions: the script will say so.
    return undefined;
  }
}

function pathOf(specifier: string, from: string): string | undefined {
  if (specifier.startsWith('.') && !/[?#%]/.test(specifier)) return resolve(dirname(from), specifier);
  const url = URL.parse(specifier, pathToFileURL(from));
  return url?.protocol === 'file:' ? fileURLToPath(url) : undefined;
}

function folderMain(folder: string): string | undefined {
  const names = [mainOf(join(folder, 'package.json')), 'index'].filter((name) => name !== undefined);
  const paths = names.flatMap((name) => ['', ...REQUIRED].map((extension) => join(folder, name + extension)));
  return paths.find(isFile);
}

function mainOf(packageFile: string): string | undefined {
  try {
    const { main } = JSON.parse(readFileSync(packageFile, 'utf8')) as { main?: unknown };
    return typeof main === 'string' ? main : undefined;
  } catch {
    // None there, or none that Node could read either.
    return undefined;
  }
}

const isFile = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() === true;

function nearestPackage(folder: string, top: string): string | undefined {
  const file = join(folder, 'package.json');
  if (existsSync(file)) return file;
  const parent = dirname(folder);
  return parent === folder || within(top, parent) === undefined ? undefined : nearestPackage(parent, top);
}
