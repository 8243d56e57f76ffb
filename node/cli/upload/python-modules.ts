// The modules of its own that a Python script imports, also indirectly: files beside the script, packages with all the
// __init__ files on the way to them.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type PythonImport, pythonImports } from './python-imports.ts';

const SOURCE_MAX_BYTES = 8 * 1024 * 1024;

/** Absolute paths, the script itself left out. @param script absolute. */
export function pythonModules(script: string): readonly string[] {
  const root = dirname(script);
  const found = new Set<string>();
  const waiting = [script];
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    for (const imported of pythonImports(sourceOf(file))) {
      for (const module of resolveImport(imported, root, dirname(file))) {
        if (found.has(module) || module === script) continue;
        found.add(module);
        if (module.endsWith('.py')) waiting.push(module);
      }
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

function resolveImport(imported: PythonImport, root: string, here: string): readonly string[] {
  const base = imported.level === 0 ? root : up(here, imported.level - 1);
  const parts = imported.module === '' ? [] : imported.module.split('.');
  const files = follow(base, parts);
  if (files === undefined) return [];
  const folder = join(base, ...parts);
  const submodules = imported.names.flatMap((name) => follow(folder, [name]) ?? []);
  return [...files, ...submodules];
}

const up = (folder: string, levels: number): string => (levels <= 0 ? folder : up(dirname(folder), levels - 1));

/** The files that importing a.b.c below `base` reads, or undefined where the first part is no module there. */
function follow(base: string, parts: readonly string[]): readonly string[] | undefined {
  const own = join(base, '__init__.py');
  if (parts.length === 0) return existsSync(own) ? [own] : [];
  const files: string[] = [];
  let folder = base;
  for (const part of parts) {
    const init = join(folder, part, '__init__.py');
    const file = moduleFile(folder, part);
    if (existsSync(init)) files.push(init);
    else if (file !== undefined) files.push(file);
    else if (!existsSync(join(folder, part))) return files.length > 0 ? files : undefined;
    folder = join(folder, part);
  }
  return files;
}

/** `name.py`, or the compiled `name.cpython-….so`. */
function moduleFile(folder: string, name: string): string | undefined {
  const source = join(folder, `${name}.py`);
  if (existsSync(source)) return source;
  const compiled = namesIn(folder).find((each) => each.startsWith(`${name}.`) && /\.(so|pyd)$/.test(each));
  return compiled === undefined ? undefined : join(folder, compiled);
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    // No such folder: then no module in it.
    return [];
  }
}
