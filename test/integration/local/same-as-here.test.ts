// The same script twice, run directly and through skein: streams, exit code and files must not differ.
import { test } from 'uvu';
import { type Entry, hasCommand, Local, type ShellOptions } from '../../support/local.ts';

const local = await Local.open();
test.after(() => local[Symbol.asyncDispose]());

interface Case {
  readonly files: Readonly<Record<string, Entry>>;
  readonly direct: string;
  /** After `skein run -q `, or a whole line where it holds `skein`. */
  readonly through: string;
  readonly more?: ShellOptions;
}

const same = (files: Case['files'], direct: string, through: string, more?: ShellOptions): Case => ({
  files,
  direct,
  through,
  ...(more === undefined ? {} : { more }),
});

function cases(all: Readonly<Record<string, Case>>, command?: string): void {
  for (const [title, { files, direct, through, more }] of Object.entries(all)) {
    const line = through.includes('skein ') ? through : `skein run -q ${through}`;
    if (command === undefined || hasCommand(command))
      test(title, async () => void (await local.same(files, direct, line, more)));
    else console.log(`SKIP ${title}: there is no ${command} here`);
  }
}

const ODD = `a 'b c' $'x\\ny' '' 'ünï ✓' -- --flag -x "q'\\"" '*' '$HOME' '{}' '\\'`;
const TELLS_ARGS = `import json, sys\nprint(json.dumps(sys.argv))\nprint("wörd ✓")\nsys.stderr.write("errör\\n")\nsys.exit(7)\n`;
const BYTES = Buffer.from(Array.from({ length: 1024 }, (_, n) => n % 256));
const executable = (bytes: string): Entry => ({ bytes, mode: 0o755 });

cases({
  'arguments of every kind reach a shell script': same(
    { 's.sh': 'echo "$0 $#"; printf "<%s>" "$@"; exit 3\n' },
    `bash s.sh ${ODD}`,
    `s.sh ${ODD}`,
  ),
  'flags after the script are the script’s': same(
    { 's.sh': 'printf "<%s>" "$@"' },
    'bash s.sh -q --json --batch x --timeout 1s -d',
    's.sh -q --json --batch x --timeout 1s -d',
  ),
  'a -- behind the script’s first argument is its own': same(
    { 's.sh': 'printf "<%s>" "$@"' },
    'bash s.sh a -- b',
    's.sh a -- b',
  ),
  'thirty thousand arguments': same({ 's.sh': 'echo $#' }, 'bash s.sh $(seq 30000)', 's.sh $(seq 30000)'),
  'one argument of 100 kB': same(
    { 's.sh': `echo \${#1}` },
    "bash s.sh $(head -c 100000 /dev/zero | tr '\\0' x)",
    "s.sh $(head -c 100000 /dev/zero | tr '\\0' x)",
  ),
  'death by SIGKILL': same({ 's.sh': 'echo 1; kill -9 $$' }, '{ bash s.sh; } 2>/dev/null', 's.sh'),
  'death by SIGSEGV': same({ 's.sh': 'kill -SEGV $$' }, '{ bash s.sh; } 2>/dev/null', 's.sh'),
  'death by SIGTERM': same({ 's.sh': 'kill $$' }, '{ bash s.sh; } 2>/dev/null', 's.sh'),
  'exit codes that skein has, too': same(
    { 's.sh': 'exit $1' },
    'for n in 0 1 120 121 124 125 126 127 130 141 255; do bash s.sh $n; echo $?; done',
    'for n in 0 1 120 121 124 125 126 127 130 141 255; do skein run -q s.sh $n; echo $?; done',
  ),
  'both streams without a last line end': same({ 's.sh': 'printf a; printf b >&2; exit 4' }, 'bash s.sh', 's.sh'),
  '2>&1 keeps the order of writing': same(
    { 's.sh': 'for n in $(seq 200); do echo out $n; echo err $n >&2; done' },
    'bash s.sh > both 2>&1; bash s.sh 2>&1 | cat',
    'skein run -q s.sh > both 2>&1; skein run -q s.sh 2>&1 | cat',
  ),
  'an executable with a shebang, as it was named': same(
    { x: executable('#!/bin/sh\necho "$0" "$@"\n'), 'd/y': executable('#!/bin/bash -e\necho "$0"; false; echo no\n') },
    './x a; d/y',
    'skein run -q ./x a; skein run -q d/y',
  ),
  'an executable without a shebang, and a binary': same(
    { x: executable('echo "$0"\n') },
    './x; cp /bin/echo e; ./e a b',
    'skein run -q ./x; cp /bin/echo e; skein run -q ./e a b',
  ),
  'commands on the PATH, from the caller’s own folders first': same(
    { 'bin/mycmd': executable('#!/bin/sh\necho mine "$@"'), f: 'b\na\n' },
    'PATH=$PWD/bin:$PATH; mycmd x; sort -o sorted f; sed -i s/a/c/ f; tar cf - bin | tar t; /bin/echo abs',
    'PATH=$PWD/bin:$PATH; skein run -q mycmd x; skein run -q sort -o sorted f; skein run -q sed -i s/a/c/ f; skein run -q tar cf - bin | tar t; skein run -q /bin/echo abs',
  ),
  'a script in a folder finds itself and its folder': same(
    { 'd/x.sh': `echo $0; dirname "$0"; ls "$(dirname "$0")"; pwd; cat "\${BASH_SOURCE[0]}"` },
    'bash d/x.sh',
    'd/x.sh',
  ),
  'empty and binary files both ways': same(
    { 's.sh': 'cat "$1" "$2"; cp "$2" copy; : > made', empty: '', bytes: BYTES },
    'bash s.sh empty bytes',
    's.sh empty bytes',
  ),
  'modes, links, folders': same(
    {
      's.sh':
        'umask; echo a > a; chmod 755 a; echo b > b; chmod 600 b; mkdir -p d/e/f none/at/all; echo c > d/e/c; chmod 444 d/e/c; chmod 700 d/e; ln -s d/e/c l; ln -s nowhere dangling; ln -s e d/le',
    },
    'bash s.sh',
    's.sh',
  ),
  'a umask of one’s own': same(
    { 's.sh': 'umask; echo a > a; mkdir d; echo b > d/b; mkdir e', in: 'x' },
    'umask 077; bash s.sh in; mkdir 2; cd 2; umask 002; bash ../s.sh',
    'umask 077; skein run -q s.sh in; mkdir 2; cd 2; umask 002; skein run -q ../s.sh',
  ),
  'an output argument in a folder that exists here alone': same(
    { 's.sh': `cp "$1" "$2"; cp "$1" "\${3#--o=}"`, 'in.json': '{}', out: null, 'deep/er': null },
    'bash s.sh in.json out/x.json --o=deep/er/y',
    's.sh in.json out/x.json --o=deep/er/y',
  ),
  'absolute paths and those with ..': same(
    {
      'w/s.sh': 'cat "$1" "$2"; echo more >> "$2"; echo new > "$3"; echo new > "$4"',
      'w/in': '1',
      beside: '2',
      o: null,
    },
    'bash s.sh $PWD/in ../beside ../o/x $PWD/../o/y',
    's.sh $PWD/in ../beside ../o/x $PWD/../o/y',
    { cwd: 'w' },
  ),
  'paths after --x= and -x=, and a file that is called like a flag': same(
    { 's.sh': `cat "\${1#--in=}" "\${2#-i=}" -- "$3"`, 'd/f': '1', '-x': '2' },
    'bash s.sh --in=d/f -i=$PWD/d/f -x',
    's.sh --in=d/f -i=$PWD/d/f -x',
  ),
  'a folder goes along with what is in it': same(
    {
      's.sh':
        'find "$1" | sort; ls -l "$1"/run "$1"/f | cut -c1-10; readlink "$1"/l "$1"/gone; echo new > "$1"/sub/new',
      'd/sub/f': 'a\n',
      'd/run': executable(''),
      'd/f': { bytes: 'x', mode: 0o600 },
      'd/l': { link: 'sub/f' },
      'd/gone': { link: 'nowhere' },
      'd/empty': null,
      'd/.hidden': '',
    },
    'bash s.sh d; bash s.sh d/; bash s.sh .',
    'skein run -q s.sh d; skein run -q s.sh d/; skein run -q s.sh .',
  ),
  'inputs that are changed, replaced, made executable, only read': same(
    {
      's.sh': 'echo more >> a; echo new > n; mv n b; chmod +x c; cat d; echo "# x" >> s.sh',
      a: '1\n',
      b: '2\n',
      c: '3\n',
      d: '4\n',
    },
    'bash s.sh a b c d',
    's.sh a b c d',
  ),
  'a link as an argument is read and written through': same(
    { 's.sh': 'cat "$1"; echo more >> "$1"', f: 'x\n', l: { link: 'f' } },
    'bash s.sh l',
    's.sh l',
  ),
  'names with spaces, line ends and letters of all kinds': same(
    { 's.sh': 'cat "$1"; cp "$1" "out ü ✓\nx"; mkdir -p "ä b/c"; cp "$1" "ä b/c/d"', 'in ü é.txt': 'a\n' },
    "bash s.sh 'in ü é.txt'",
    "s.sh 'in ü é.txt'",
  ),
  'standard input from a file, from its middle, from a pipe, from none': same(
    { 's.sh': 'cat; echo; echo "[$(cat)]"', in: Buffer.concat([Buffer.from('a\nb\n'), BYTES]) },
    'bash s.sh < in; { read -r l; bash s.sh; } < in; cat in | bash s.sh; bash s.sh < /dev/null',
    'skein run -q s.sh < in; { read -r l; skein run -q s.sh; } < in; cat in | skein run -q --stdin s.sh; cat in | skein run -q s.sh',
  ),
  'stdout as a file, appended to, amid others': same(
    { 's.sh': 'echo script' },
    'echo old > o; bash s.sh >> o; bash s.sh > p; { echo a; bash s.sh; echo b; } > q; bash s.sh | wc -c',
    'echo old > o; skein run -q s.sh >> o; skein run -q s.sh > p; { echo a; skein run -q s.sh; echo b; } > q; skein run -q s.sh | wc -c',
  ),
  'operators of the shell go by the exit code': same(
    { 's.sh': 'exit $1' },
    'bash s.sh 0 && echo y; bash s.sh 1 || echo n; set -e; bash s.sh 3; echo not reached',
    'skein run -q s.sh 0 && echo y; skein run -q s.sh 1 || echo n; set -e; skein run -q s.sh 3; echo not reached',
  ),
  'language and time zone are the caller’s': same(
    { 's.sh': 'locale; date +%Z; printf "b\\nA\\na\\n" | sort' },
    'bash s.sh; LC_ALL=C bash s.sh; TZ=Europe/Berlin bash s.sh; unset LANG; bash s.sh',
    'skein run -q s.sh; LC_ALL=C skein run -q s.sh; TZ=Europe/Berlin skein run -q s.sh; unset LANG; skein run -q s.sh',
  ),
  'limits, priority and signals are as they are here': same(
    { 's.sh': `ulimit -a; nice; grep -E "^Sig(Ign|Blk)" /proc/self/status; yes | head -1; echo \${PIPESTATUS[@]}` },
    'bash s.sh',
    's.sh',
  ),
  'what is not there, or not to be run, has the shell’s exit code': same(
    { plain: 'text', 'd/x': '' },
    'for s in nosuchcommand ./nosuch ./plain ./d; do $s; echo $?; done 2>/dev/null',
    'for s in nosuchcommand ./nosuch ./plain ./d; do skein run -q $s; echo $?; done 2>/dev/null',
  ),
  'links, addresses, lists and such pass untouched': same(
    { 's.sh': 'printf "<%s>" "$@"', a: '', b: '' },
    'bash s.sh http://x/y s3://b/c a:b a,b ./a nosuch/z ../nosuch/z --o=nosuch',
    's.sh http://x/y s3://b/c a:b a,b ./a nosuch/z ../nosuch/z --o=nosuch',
  ),
});

cases(
  {
    'arguments of every kind reach Python, and its letters come back': same(
      { 's.py': TELLS_ARGS },
      `python3 s.py ${ODD}`,
      `s.py ${ODD}`,
    ),
    'a traceback and a syntax error read as here': same(
      {
        's.py': 'def f():\n  raise ValueError("x")\nf()\n',
        'bad.py': 'def x(:\n',
        'bye.py': 'import sys; sys.exit("bye")',
      },
      'python3 s.py; python3 bad.py; python3 bye.py',
      'skein run -q s.py; skein run -q bad.py; skein run -q bye.py',
    ),
    'Python knows its script, folder and encoding': same(
      {
        'd/s.py':
          'import os, sys, locale\nprint(__file__, sys.argv[0], sys.path[0], os.getcwd())\nprint(sys.stdout.encoding, locale.getpreferredencoding(), sys.getfilesystemencoding())',
      },
      'python3 d/s.py; LC_ALL=POSIX PYTHONCOERCECLOCALE=0 python3 d/s.py',
      'skein run -q d/s.py; LC_ALL=POSIX skein run -q -e PYTHONCOERCECLOCALE=0 d/s.py',
    ),
    'Python modules beside the script come along, also indirectly': same(
      {
        's.py':
          'import a, pkg.b\nfrom pkg import (\n  c, # why\n  d as q,\n)\nfrom ns.sub.mod import f\nif True: import late\nprint(a.x, pkg.b.y, c.z, q.v, late.v)\nf()',
        'a.py': 'import deep\nx = deep.q',
        'deep.py': 'q = 5',
        'pkg/__init__.py': '',
        'pkg/b.py': 'from . import e\nfrom .e import *\ny = e.w',
        'pkg/e.py': 'w = 4',
        'pkg/c.py': 'from ..pkg import e\nz = e.w',
        'pkg/d.py': 'v = 2',
        'ns/sub/mod.py': 'from ns.sub import other\nfrom ..top import t\ndef f(): print(other.o, t)',
        'ns/sub/other.py': 'o = 1',
        'ns/top.py': 't = 3',
        'late.py': Buffer.from('\ufeffv = "ü"\r\n'),
      },
      'python3 -B s.py',
      's.py',
    ),
    'a script behind a link has the modules of where it leads': same(
      {
        'bin/t.py': { link: '../lib/t.py' },
        'lib/t.py': 'import helper, sys; print(helper.x, sys.argv)',
        'lib/helper.py': 'x = 1',
      },
      'python3 -B bin/t.py',
      'bin/t.py',
    ),
    'a shebang’s own flags, with env -S, and no extension': same(
      {
        tool: executable(
          '#!/usr/bin/env -S python3 -B\nimport sys, helper\nprint(sys.flags.dont_write_bytecode, helper.x, sys.argv)',
        ),
        'helper.py': 'x = 1',
      },
      './tool a',
      './tool a',
    ),
    'the active virtual environment is the one': same(
      {
        'venv/bin/python3': executable('#!/bin/sh\nexec /usr/bin/python3 -B "$@" "in venv"'),
        's.py': 'import os, sys\nprint(os.environ["VIRTUAL_ENV"], sys.argv)',
      },
      'export VIRTUAL_ENV=/some/venv PATH=$PWD/venv/bin:$PATH; python3 s.py',
      'export VIRTUAL_ENV=/some/venv PATH=$PWD/venv/bin:$PATH; skein run -q s.py',
    ),
  },
  'python3',
);

cases(
  {
    'arguments of every kind reach Node': same(
      { 's.js': 'console.log(JSON.stringify(process.argv.slice(2))); console.error("é"); process.exitCode = 9' },
      `node s.js ${ODD}`,
      `s.js ${ODD}`,
    ),
    'what Node requires comes along, also indirectly': same(
      {
        's.js':
          'console.log(require("./lib/a"), require("./data.json"), require("./p"), require("me/x"), require("."+"/k"))',
        'lib/a.js': 'module.exports = require("../b")',
        'b.js': 'module.exports = 1',
        'data.json': '{"q":2}',
        'p/package.json': '{"main":"m.js"}',
        'p/m.js': 'module.exports = 7',
        'package.json': '{"name":"me","exports":{"./x":"./lib/x.cjs"}}',
        'lib/x.cjs': 'module.exports = 8',
        'k.js': 'module.exports = 9',
      },
      'node s.js',
      '--input k.js s.js',
    ),
    'what Node imports comes along, by the type that package.json says': same(
      {
        's.js':
          'import { a } from "./lib/a.js"; import "./sub/x.js"; import h from "#h/h.js"\nconst m = await import("./c.js"); console.log(a, m.default, h)',
        'lib/a.js': 'export * from "../b.js"',
        'b.js': 'export const a = 1',
        'c.js': 'export default 3',
        'sub/x.js': 'console.log(require("./y.cjs"))',
        'sub/y.cjs': 'module.exports = 5',
        'sub/package.json': '{"type":"commonjs"}',
        'hidden/h.js': 'export default 6',
        'package.json': '{"type":"module","imports":{"#h/*":"./hidden/*"}}',
      },
      'node s.js',
      's.js',
    ),
    'a Node script behind a link requires where it leads': same(
      {
        'bin/t': { link: '../lib/t' },
        'lib/t': executable('#!/usr/bin/env node\nconsole.log(require("./h"))'),
        'lib/h.js': 'module.exports = 1',
      },
      'bin/t',
      'bin/t',
    ),
  },
  'node',
);

test.run();
