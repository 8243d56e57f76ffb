import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { missingInput } from '../../../node/cli/run/missing-input.ts';
import { testFolder } from '../../support/folder.ts';

test('what failed in the script and is here is named as it would be added', () => {
  using folder = testFolder();
  folder.write({
    'data/x.csv': '',
    'plugins/a.py': '',
    'tools/helper.py': '',
    'node_modules/left-pad/index.js': '',
    'conf.json': '',
    'lib/b.js': '',
    'other/deep/mod.py': '',
    'a b': '',
  });
  const cases: readonly (readonly [string, string | undefined, string | undefined])[] = [
    ["FileNotFoundError: [Errno 2] No such file or directory: 'data/x.csv'", 'main.py', 'data/x.csv'],
    [
      "FileNotFoundError: [Errno 2] No such file or directory: '/var/lib/skein/attempts/1/work/data/x.csv'",
      'main.py',
      'data/x.csv',
    ],
    ["ModuleNotFoundError: No module named 'plugins'", 'main.py', 'plugins'],
    ["ModuleNotFoundError: No module named 'plugins.a'", 'main.py', 'plugins/a.py'],
    ["ModuleNotFoundError: No module named 'helper'", 'tools/main.py', 'tools/helper.py'],
    ["ModuleNotFoundError: No module named 'numpy'", 'main.py', undefined],
    ["Error: ENOENT: no such file or directory, open 'conf.json'", 'main.js', 'conf.json'],
    [
      "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'left-pad' imported from /x/work/main.js",
      'main.js',
      'node_modules',
    ],
    [
      "Error [ERR_MODULE_NOT_FOUND]: Cannot find module '/x/work/lib/b.js' imported from /x/work/main.js",
      'main.js',
      'lib/b.js',
    ],
    ["Error: Cannot find module './lib/b'\nRequire stack:", 'main.js', 'lib/b.js'],
    ["Error: Cannot find module 'left-pad'", 'main.js', 'node_modules'],
    ['cat: data/x.csv: No such file or directory', 'run.sh', 'data/x.csv'],
    ["cp: cannot stat 'conf.json': No such file or directory", 'run.sh', 'conf.json'],
    [
      "/usr/bin/python3: can't open file '/x/work/conf.json': [Errno 2] No such file or directory",
      'main.py',
      'conf.json',
    ],
    ['awk: cannot open conf.json (No such file or directory)', 'run.sh', 'conf.json'],
    ["awk: fatal: cannot open file `conf.json' for reading: No such file or directory", 'run.sh', 'conf.json'],
    ['sort: cannot read: conf.json: No such file or directory', 'run.sh', 'conf.json'],
    ["head: cannot open 'conf.json' for reading: No such file or directory", 'run.sh', 'conf.json'],
    ["cat: 'a b': No such file or directory", 'run.sh', 'a b'],
    ['grep: a b: No such file or directory', 'run.sh', 'a b'],
    ['bash: line 1: a b: No such file or directory', 'run.sh', 'a b'],
    ['run.sh: 1: cannot open conf.json: No such file', 'run.sh', 'conf.json'],
    ['tar: conf.json: Cannot open: No such file or directory', 'run.sh', 'conf.json'],
    ["s.rb:1:in `read': No such file or directory @ rb_sysopen - a b (Errno::ENOENT)", 's.rb', 'a b'],
    ['open conf.json: no such file or directory', 'run.sh', 'conf.json'],
    ['Can\'t open perl script "conf.json": No such file or directory', 'run.sh', 'conf.json'],
    ['sh: 1: nosuch.csv: No such file or directory', 'run.sh', undefined],
    [
      `FileNotFoundError: [Errno 2] No such file or directory: '${folder.at('conf.json')}'`,
      'main.py',
      folder.at('conf.json'),
    ],
    ['ValueError: no', 'main.py', undefined],
    ['', undefined, undefined],
  ];
  for (const [stderr, script, input] of cases) assert.is(missingInput(stderr, folder.path, script), input, stderr);
});

test('of several failures the last one counts', () => {
  using folder = testFolder();
  folder.write({ a: '', b: '' });
  assert.is(
    missingInput('cat: a: No such file or directory\ncat: b: No such file or directory\n', folder.path, undefined),
    'b',
  );
});

test.run();
