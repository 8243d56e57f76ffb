// Reads the import statements of Python source. A small tokenizer skips strings and comments and joins what stands in
// brackets, so that an `import` in a docstring is none and one over several lines is one.

export interface PythonImport {
  /** Leading dots of a relative import, 0 for an absolute one. */
  readonly level: number;
  /** Dotted, empty in `from . import x`. */
  readonly module: string;
  /** What follows `import` in a `from` statement: submodules perhaps. `*` is left out. */
  readonly names: readonly string[];
}

/** Every import that is written, at whatever depth, and `import_module('…')` with a plain text. */
export function pythonImports(source: string): readonly PythonImport[] {
  const found: PythonImport[] = [];
  for (const statement of statements(source)) {
    const plain = /^import\s+(.+)$/s.exec(statement);
    if (plain !== null) found.push(...plainImports(plain[1] ?? ''));
    const from = /^from\s*(\.*)\s*([\p{XIDC}.]*)\s+import\b\s*\(?([^)]*)\)?/su.exec(statement);
    if (from !== null) found.push(fromImport(from[1] ?? '', from[2] ?? '', from[3] ?? ''));
  }
  for (const [, , module] of source.matchAll(/\b(?:import_module|__import__)\(\s*(['"])([\p{XIDC}.]+)\1/gu)) {
    if (module !== undefined && !module.startsWith('.')) found.push({ level: 0, module, names: [] });
  }
  return found;
}

function plainImports(list: string): PythonImport[] {
  return list
    .split(',')
    .map((part) => /^\s*([\p{XIDC}.]+)/u.exec(part)?.[1] ?? '')
    .filter((module) => module !== '')
    .map((module) => ({ level: 0, module, names: [] }));
}

function fromImport(dots: string, module: string, list: string): PythonImport {
  const names = list.split(',').map((part) => /^\s*(\p{XIDC}+)/u.exec(part)?.[1] ?? '');
  return { level: dots.length, module, names: names.filter((name) => name !== '') };
}

/** Statements that begin with `import` or `from`, strings and comments taken out, brackets joined. */
function* statements(source: string): Iterable<string> {
  let statement = '';
  let depth = 0;
  for (let at = 0; at < source.length; ) {
    const char = source[at] ?? '';
    if (char === '#') {
      at = lineEnd(source, at);
    } else if (char === '"' || char === "'") {
      at = stringEnd(source, at);
      statement += "''";
    } else if (char === '\\' && /^\\\r?\n/.test(source.slice(at, at + 3))) {
      at = lineEnd(source, at) + 1;
      statement += ' ';
    } else if (depth === 0 && (char === '\n' || char === ';' || char === ':')) {
      yield statement.trim();
      statement = '';
      at += 1;
    } else {
      if ('([{'.includes(char)) depth += 1;
      else if (')]}'.includes(char)) depth = Math.max(0, depth - 1);
      statement += char === '\n' ? ' ' : char;
      at += 1;
    }
  }
  yield statement.trim();
}

function lineEnd(source: string, from: number): number {
  const at = source.indexOf('\n', from);
  return at < 0 ? source.length : at;
}

/** Just past the string literal that begins at `from`; a plain string ends with its line at the latest. */
function stringEnd(source: string, from: number): number {
  const quote = source[from] ?? '';
  const triple = source.startsWith(quote.repeat(3), from);
  const close = triple ? quote.repeat(3) : quote;
  for (let at = from + close.length; at < source.length; at += 1) {
    if (source[at] === '\\') at += 1;
    else if (source.startsWith(close, at)) return at + close.length;
    else if (!triple && source[at] === '\n') return at;
  }
  return source.length;
}
