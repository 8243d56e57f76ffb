// Real descriptors as a shell hands them over: cut back, closed, appended to, and a standard input that others share.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type TestFolder, testFolder } from '../../support/folder.ts';

const LIMIT_MS = 20_000;
const module = (path: string): string => JSON.stringify(new URL(`../../../node/cli/${path}`, import.meta.url).href);

/** Runs a shell line in which `$JS` is a Node program over the named module. */
function shell(
  folder: TestFolder,
  line: string,
  program: string,
): { readonly out: string; readonly status: number | null } {
  folder.write({ 'program.mjs': program });
  const env = { ...process.env, JS: `${process.execPath} ${folder.at('program.mjs')}` };
  const { stdout, status } = spawnSync('bash', ['-c', line], {
    cwd: folder.path,
    env,
    timeout: LIMIT_MS,
    encoding: 'utf8',
  });
  return { out: stdout, status };
}

const SINK = `
import { descriptorSink } from ${module('output/sink.ts')};
const sink = descriptorSink(1);
await sink.write('attempt one, broken');
if (sink.isFile) sink.cutBack();
await sink.write('two\\n');
`;

test('a file that stdout was opened on is cut back, and the shell goes on writing behind', () => {
  using folder = testFolder();
  shell(folder, '{ echo before; $JS; echo after; } > out', SINK);
  assert.is(readFileSync(folder.at('out'), 'utf8'), 'before\ntwo\nafter\n');
});

test('a file that is appended to keeps what was there', () => {
  using folder = testFolder();
  folder.write({ out: 'old\n' });
  shell(folder, '{ $JS; echo after; } >> out', SINK);
  assert.is(readFileSync(folder.at('out'), 'utf8'), 'old\ntwo\nafter\n');
});

test('a file that others append to as well loses nothing of theirs', () => {
  using folder = testFolder();
  const program = SINK.replace('if (sink', "(await import('node:fs')).appendFileSync('out', 'theirs');\nif (sink");
  shell(folder, '$JS >> out', program);
  assert.is(readFileSync(folder.at('out'), 'utf8'), 'attempt one, brokentheirstwo\n');
});

test('without perl the file is right, too', () => {
  using folder = testFolder();
  folder.write({ bin: null });
  shell(folder, 'PATH=$PWD/bin $JS > out', SINK);
  assert.is(readFileSync(folder.at('out'), 'utf8'), 'two\n');
});

test('a pipe is not cut back', () => {
  using folder = testFolder();
  assert.is(shell(folder, '$JS | cat', SINK).out, 'attempt one, brokentwo\n');
});

test('a reader that is gone is told, also while much is written', () => {
  using folder = testFolder();
  const program = `
import { descriptorSink, ReaderGone } from ${module('output/sink.ts')};
const sink = descriptorSink(1);
try {
  for (;;) await sink.write(Buffer.alloc(65536, 'x\\n'));
} catch (error) {
  process.exit(error instanceof ReaderGone ? 141 : 1);
}`;
  assert.is(shell(folder, 'set -o pipefail; $JS | head -c 10 > /dev/null', program).status, 141);
});

const STDIN = `
import { stdinFile, stdinKind } from ${module('run/stdin.ts')};
import { createReadStream } from 'node:fs';
import { text } from 'node:stream/consumers';
const kind = stdinKind();
const file = await stdinFile(kind, process.argv[2] === '--stdin', { get stdin() { return process.stdin; } });
console.log(kind, file === undefined ? '-' : JSON.stringify(await text(createReadStream(file.local, { start: file.start }))));
file?.dispose();
`;

test('a redirected file is taken from where it stands, and the loop around keeps its place', () => {
  using folder = testFolder();
  folder.write({ lines: 'one\ntwo\nthree\n' });
  const { out } = shell(folder, 'while read -r line; do echo "$line"; $JS; done < lines', STDIN);
  assert.is(out, 'one\nfile "two\\nthree\\n"\ntwo\nfile "three\\n"\nthree\nfile ""\n');
});

test('a pipe is read only when asked for, a device never', () => {
  using folder = testFolder();
  assert.is(shell(folder, 'echo hi | $JS', STDIN).out, 'pipe -\n');
  assert.is(shell(folder, 'echo hi | $JS --stdin', STDIN).out, 'pipe "hi\\n"\n');
  assert.is(shell(folder, '$JS --stdin < /dev/null', STDIN).out, 'none -\n');
  assert.is(shell(folder, '$JS <&-', STDIN).out.split(' ')[0], 'none');
});

test('whether a pipe holds something is seen without taking it', () => {
  using folder = testFolder();
  folder.write({ 'reads.py': 'import sys\nsys.stdin.read()\n', 'deaf.py': 'print(1)\n' });
  const program = `
import { missesStdin, stdinKind } from ${module('run/stdin.ts')};
console.log(missesStdin(stdinKind(), process.argv[2]));
`;
  // `read -t 0` waits for what the other side of the pipe does: bytes, or its end.
  const ready = 'until read -t 0; do :; done';
  assert.is(shell(folder, `echo hi | { ${ready}; $JS reads.py; cat; }`, program).out, 'true\nhi\n');
  assert.is(shell(folder, `echo hi | { ${ready}; $JS deaf.py; }`, program).out, 'false\n');
  assert.is(shell(folder, `true | { ${ready}; $JS reads.py; }`, program).out, 'false\n');
});

test.run();
