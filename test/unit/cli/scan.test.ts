import { relative } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { nodeModules } from '../../../node/cli/upload/node-modules.ts';
import { pythonImports } from '../../../node/cli/upload/python-imports.ts';
import { pythonModules } from '../../../node/cli/upload/python-modules.ts';
import { type TestFolder, testFolder } from '../../support/folder.ts';

const names = (source: string): readonly string[] =>
  pythonImports(source).map(
    ({ level, module, names: imported }) =>
      `${'.'.repeat(level)}${module}${imported.length > 0 ? `:${imported.join(',')}` : ''}`,
  );

test('python imports are found in all their forms', () => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['import a', ['a']],
    ['import a, b.c as d', ['a', 'b.c']],
    ['from a.b import c, d as e', ['a.b:c,d']],
    ['from . import x', ['.:x']],
    ['from ..p.q import *', ['..p.q']],
    ['from .x import (\n  a,  # why\n  b,\n)', ['.x:a,b']],
    ['import a; import b', ['a', 'b']],
    ['if x: import a', ['a']],
    ['try:\n    import a\nexcept ImportError:\n    import b', ['a', 'b']],
    ['def f():\n\timport a', ['a']],
    ['import a \\\n  , b', ['a', 'b']],
    ['from.x import y', ['.x:y']],
    ['import ünï', ['ünï']],
    ['m = importlib.import_module("a.b")', ['a.b']],
    ["__import__('a')", ['a']],
    ['import a\r\nimport b\r\n', ['a', 'b']],
  ];
  for (const [source, found] of cases) assert.equal(names(source), found, source);
});

test('what only looks like an import is none', () => {
  for (const source of [
    '"""\nimport a\n"""',
    "'''\nfrom a import b'''",
    '# import a',
    'x = "import a"',
    'x = (\nimport_a\n)',
    'importer = 1',
    'imports = [\n  "import a",\n]',
    "r'\\'\nx = 1",
    'f"{x}" # import b',
    'fromage = 1',
    'import_module(name)',
  ]) {
    assert.equal(names(source), [], source);
  }
});

test('a string that is never closed ends with its line', () => {
  assert.equal(names("x = 'oops\nimport a"), ['a']);
  assert.equal(names('x = "\\"" ; import a'), ['a']);
  assert.equal(names('x = """a"b""c"""\nimport d'), ['d']);
});

const python = (folder: TestFolder, script = 'main.py'): readonly string[] =>
  pythonModules(folder.at(script)).map((path) => relative(folder.path, path));

test('modules beside a python script come along, also indirectly, with the packages that hold them', () => {
  using folder = testFolder();
  folder.write({
    'main.py': 'import os, json, helper\nfrom pkg.sub import thing\nfrom pkg import late\n',
    'helper.py': 'import deep.er.est\nimport main\n',
    'deep/er/est.py': 'from . import near\nfrom .. import far\n',
    'deep/er/near.py': '',
    'deep/far.py': '',
    'pkg/__init__.py': 'from .init import x\n',
    'pkg/init.py': '',
    'pkg/sub/__init__.py': '',
    'pkg/sub/thing.py': 'from ..other import y\n',
    'pkg/other.py': '',
    'pkg/late.py': '',
    'pkg/unused.py': '',
    'unused.py': '',
  });
  assert.equal(python(folder), [
    'deep/er/est.py',
    'deep/er/near.py',
    'deep/far.py',
    'helper.py',
    'pkg/__init__.py',
    'pkg/init.py',
    'pkg/late.py',
    'pkg/other.py',
    'pkg/sub/__init__.py',
    'pkg/sub/thing.py',
  ]);
});

test('compiled modules and one that shadows the library come along, a ring of imports ends', () => {
  using folder = testFolder();
  folder.write({
    'main.py': 'import fast, json, a',
    'fast.cpython-312-x86_64-linux-gnu.so': '',
    'json.py': '',
    'a.py': 'import b',
    'b.py': 'import a',
  });
  assert.equal(python(folder), ['a.py', 'b.py', 'fast.cpython-312-x86_64-linux-gnu.so', 'json.py']);
});

test('a script in a folder looks beside itself, not in the current folder', () => {
  using folder = testFolder();
  folder.write({ 'tools/main.py': 'import helper', 'tools/helper.py': '', 'helper.py': '' });
  assert.equal(python(folder, 'tools/main.py'), ['tools/helper.py']);
});

const node = async (folder: TestFolder, script: string): Promise<readonly string[]> =>
  (await nodeModules(folder.at(script), folder.path)).map((path) => relative(folder.path, path));

test('modules of an ES module come along, also indirectly, with the package.json that says what they are', async () => {
  using folder = testFolder();
  folder.write({
    'package.json': '{"type": "module"}',
    'main.js':
      "import fs from 'node:fs';\nimport lodash from 'lodash';\nimport { a } from './lib/a.js';\nexport * from './b.mjs';\nconst c = await import('./c.js');\n// import './no.js'\nconst s = \"import './no.js'\";\nnew Worker(new URL('./worker.js', import.meta.url));",
    'lib/a.js': "import data from '../data.json' with { type: 'json' };\n",
    'lib/package.json': '{"type": "module"}',
    'b.mjs': '',
    'c.js': "import './main.js'",
    'data.json': '{}',
    'worker.js': '',
    'no.js': '',
    'node_modules/lodash/index.js': '',
  });
  assert.equal(await node(folder, 'main.js'), [
    'b.mjs',
    'c.js',
    'data.json',
    'lib/a.js',
    'lib/package.json',
    'package.json',
    'worker.js',
  ]);
});

test('what a CommonJS script requires comes along as Node would find it', async () => {
  using folder = testFolder();
  folder.write({
    'main.cjs':
      "const a = require('./a');\nconst b = require('./b');\nconst c = require('./folder');\nconst d = require(\"./data\");\nrequire('lodash');\n// require('./no')\n/* require('./no') */\nrequire(name);\n",
    'a.js': "module.exports = require('./deep/main')",
    'b/package.json': '{"main": "lib/start"}',
    'b/lib/start.js': '',
    'folder/index.js': '',
    'data.json': '{}',
    'deep/main.js': 'const re = /[/\'"]/; require("..")',
    'index.js': '',
    'no.js': '',
  });
  assert.equal(await node(folder, 'main.cjs'), [
    'a.js',
    'b/lib/start.js',
    'b/package.json',
    'data.json',
    'deep/main.js',
    'folder/index.js',
    'index.js',
  ]);
});

test('TypeScript is scanned as Node runs it', async () => {
  using folder = testFolder();
  folder.write({
    'main.ts':
      "import type { T } from './types.ts';\nimport { x } from './x.ts';\nconst y: number = x satisfies number;\n",
    'x.ts': 'export const x = 1;',
    'types.ts': 'export type T = number;',
  });
  assert.ok((await node(folder, 'main.ts')).includes('x.ts'));
});

test('a script that no lexer understands is still looked through', async () => {
  using folder = testFolder();
  folder.write({ 'main.js': "import a from './a.js'\nthis is ( no javascript `\n", 'a.js': '' });
  assert.equal(await node(folder, 'main.js'), ['a.js']);
});

test.run();
