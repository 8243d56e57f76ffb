import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Continuation } from '../../../node/cli/output/continuation.ts';
import { LineSplitter } from '../../../node/cli/output/lines.ts';
import { Screen } from '../../../node/cli/output/screen.ts';
import { ScriptStream } from '../../../node/cli/output/script-stream.ts';
import { ReaderGone, type Sink } from '../../../node/cli/output/sink.ts';
import { formatTable, printable } from '../../../node/cli/output/table.ts';

class FakeSink implements Sink {
  isTerminal: boolean;
  isFile: boolean;
  columns: number | undefined;
  text = '';
  closed = false;

  constructor(kind: 'terminal' | 'file' | 'pipe') {
    this.isTerminal = kind === 'terminal';
    this.isFile = kind === 'file';
    this.columns = kind === 'terminal' ? 40 : undefined;
  }

  async write(bytes: Uint8Array | string): Promise<void> {
    if (this.closed) throw new ReaderGone('EPIPE');
    this.text += typeof bytes === 'string' ? bytes : Buffer.from(bytes).toString('latin1');
  }

  cutBack(): boolean {
    this.text = '';
    return true;
  }
}

interface Stage {
  readonly stdout: FakeSink;
  readonly stderr: FakeSink;
  readonly screen: Screen;
  readonly time: { now: number };
}

function stage(
  out: 'terminal' | 'file' | 'pipe',
  err: 'terminal' | 'pipe',
  more: { quiet?: boolean; json?: boolean; oneTarget?: boolean } = {},
): Stage {
  const [stdout, stderr] = [new FakeSink(out), new FakeSink(err)];
  const time = { now: 0 };
  const screen = new Screen({
    stdout,
    stderr,
    oneTarget: out === 'terminal' && err === 'terminal',
    quiet: false,
    json: false,
    live: true,
    monotonic: () => time.now,
    ...more,
  });
  return { stdout, stderr, screen, time };
}

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');

test('a script’s bytes are passed on unchanged, whatever they are', async () => {
  const { stdout, screen } = stage('pipe', 'pipe');
  const all = Buffer.from(Array.from({ length: 256 }, (_, n) => n));
  await screen.script('out', all);
  assert.is(stdout.text, all.toString('latin1'));
});

test('words stand on lines of their own and wait for the end of a half line', async () => {
  const { stderr, screen } = stage('pipe', 'pipe');
  await screen.script('err', bytes('half'));
  await screen.say('one');
  assert.is(stderr.text, 'half');
  await screen.script('err', bytes(' line\n'));
  assert.is(stderr.text, 'half line\nskein: one\n');
  await screen.script('err', bytes('again half'));
  await screen.sayNow('the end');
  assert.is(stderr.text, 'half line\nskein: one\nagain half\nskein: the end\n');
});

test('a half line on stdout holds words back only where both streams share a terminal', async () => {
  const shared = stage('terminal', 'terminal');
  await shared.screen.script('out', bytes('50%'));
  await shared.screen.say('word');
  assert.is(shared.stderr.text, '');
  const apart = stage('pipe', 'terminal');
  await apart.screen.script('out', bytes('50%'));
  await apart.screen.say('word');
  assert.is(apart.stderr.text, 'skein: word\n');
});

test('words that wait are told at the end, and their number is bounded', async () => {
  const { stderr, screen } = stage('pipe', 'pipe');
  await screen.script('err', bytes('half'));
  for (let n = 0; n < 100; n += 1) await screen.say(`word ${n}`);
  await screen.close();
  const lines = stderr.text.split('\n');
  assert.is(lines[0], 'half');
  assert.is(lines.at(-2), 'skein: word 99');
  assert.ok(lines.length < 70);
});

test('-q drops words and keeps errors', async () => {
  const { stderr, screen } = stage('pipe', 'pipe', { quiet: true });
  await screen.say('word');
  await screen.sayNow('word');
  await screen.fail('it failed');
  assert.is(stderr.text, 'skein: it failed\n');
});

test('with --json the script’s stdout goes to stderr and the document alone to stdout', async () => {
  const { stdout, stderr, screen } = stage('pipe', 'pipe', { json: true });
  await screen.script('out', bytes('said\n'));
  await screen.answer('{}');
  assert.is(stderr.text, 'said\n');
  assert.is(stdout.text, '{}\n');
});

test('the live area is drawn below all, at most ten times a second and eight lines high, and erased at the end', async () => {
  const { stderr, screen, time } = stage('pipe', 'terminal');
  const lines = Array.from({ length: 20 }, (_, n) => `line ${n}`);
  await screen.area(lines);
  assert.is(stderr.text.split('\n').length - 1, 8);
  const drawn = stderr.text.length;
  time.now = 50;
  await screen.area(['other']);
  assert.is(stderr.text.length, drawn);
  time.now = 150;
  await screen.area(['other']);
  assert.ok(stderr.text.endsWith('\x1b[8A\r\x1b[Jother\n'));
  await screen.say('word');
  assert.ok(stderr.text.endsWith('\x1b[1A\r\x1b[Jskein: word\nother\n'));
  await screen.close();
  assert.ok(stderr.text.endsWith('\x1b[1A\r\x1b[J'));
});

test('a pipe gets no live area and no cursor codes', async () => {
  const { stderr, screen } = stage('pipe', 'pipe');
  await screen.area(['x']);
  await screen.script('err', bytes('y\n'));
  await screen.close();
  assert.is(stderr.text, 'y\n');
});

test('a closed stdout is told, a closed stderr is not', async () => {
  const { stdout, stderr, screen } = stage('pipe', 'pipe');
  stderr.closed = true;
  await screen.say('word');
  await screen.script('err', bytes('x\n'));
  stdout.closed = true;
  const error = await screen.script('out', bytes('x\n')).catch((caught: unknown) => caught);
  assert.instance(error, ReaderGone);
});

const streamOf = ({ stdout, stderr, screen }: Stage, stream: 'out' | 'err'): ScriptStream =>
  new ScriptStream(stream, stream === 'out' ? stdout : stderr, screen, (attempt) =>
    screen.sayNow(`--- attempt ${attempt}, output starts over ---`),
  );

test('a pipe gets a new attempt’s bytes where they continue the old ones', async () => {
  const on = stage('pipe', 'pipe');
  const out = streamOf(on, 'out');
  await out.write(bytes('one\ntwo\n'));
  await out.startOver(2);
  for (const part of ['on', 'e\ntw', 'o\nthr', 'ee\n']) await out.write(bytes(part));
  assert.is(on.stdout.text, 'one\ntwo\nthree\n');
  assert.ok(out.isWhole());
});

test('at the first difference a pipe gets nothing more', async () => {
  const on = stage('pipe', 'pipe');
  const out = streamOf(on, 'out');
  await out.write(bytes('one\ntwo\n'));
  await out.startOver(2);
  await out.write(bytes('one\nTWO\nthree\n'));
  await out.write(bytes('more\n'));
  assert.is(on.stdout.text, 'one\ntwo\n');
  assert.not.ok(out.isWhole());
});

test('a new attempt that says less than was passed on is a difference', async () => {
  const on = stage('pipe', 'pipe');
  const out = streamOf(on, 'out');
  await out.write(bytes('one\ntwo\n'));
  await out.startOver(2);
  await out.write(bytes('one\n'));
  assert.not.ok(out.isWhole());
});

test('a third attempt is held against all that was passed on', async () => {
  const on = stage('pipe', 'pipe');
  const out = streamOf(on, 'out');
  await out.write(bytes('abc'));
  await out.startOver(2);
  await out.write(bytes('ab'));
  await out.startOver(3);
  await out.write(bytes('abcd'));
  assert.is(on.stdout.text, 'abcd');
  assert.ok(out.isWhole());
});

test('a regular file is cut back to where the attempt began', async () => {
  const on = stage('file', 'pipe');
  const out = streamOf(on, 'out');
  await out.write(bytes('one\nbroken'));
  await out.startOver(2);
  await out.write(bytes('ONE\n'));
  assert.is(on.stdout.text, 'ONE\n');
  assert.ok(out.isWhole());
});

test('a terminal shows a line and starts over', async () => {
  const on = stage('terminal', 'terminal');
  const out = streamOf(on, 'out');
  await out.write(bytes('one\nhalf'));
  await out.startOver(2);
  await out.write(bytes('one\n'));
  assert.is(on.stdout.text, 'one\nhalfone\n');
  assert.is(on.stderr.text, '\nskein: --- attempt 2, output starts over ---\n');
  assert.ok(out.isWhole());
});

test('stderr shows all of a new attempt, also in a pipe: nobody must miss why it failed', async () => {
  const on = stage('pipe', 'pipe');
  const err = streamOf(on, 'err');
  await err.write(bytes('old\n'));
  await err.startOver(2);
  await err.write(bytes('new\n'));
  assert.is(on.stderr.text, 'old\nskein: --- attempt 2, output starts over ---\nnew\n');
  assert.ok(err.isWhole());
});

test('an attempt that is replaced before it said anything needs no word', async () => {
  const on = stage('terminal', 'terminal');
  await streamOf(on, 'out').startOver(2);
  assert.is(on.stderr.text, '');
});

test('the end of what a script said is at hand, of the last attempt alone', async () => {
  const on = stage('pipe', 'pipe');
  const err = streamOf(on, 'err');
  await err.write(bytes('x'.repeat(100_000)));
  assert.is(err.tail.length, 65_536);
  await err.startOver(2);
  await err.write(bytes('y'));
  assert.is(Buffer.from(err.tail).toString(), 'y');
});

test('a continuation holds a hash and no bytes', () => {
  const continuation = new Continuation();
  for (let n = 0; n < 100; n += 1) continuation.take(Buffer.alloc(10_000, n));
  assert.is(continuation.passedBytes, 1_000_000);
  continuation.startOver();
  for (let n = 0; n < 100; n += 1) {
    const passed = continuation.take(Buffer.alloc(10_000, n));
    assert.is(passed.kind === 'pass' && passed.bytes.length, 0);
  }
  assert.ok(continuation.isWhole());
});

test('bytes become lines, also across chunks and within letters', () => {
  const splitter = new LineSplitter();
  const text = Buffer.from('zürich\nparis');
  assert.equal([...splitter.push(text.subarray(0, 2)), ...splitter.push(text.subarray(2))], ['zürich']);
  assert.equal(splitter.end(), ['paris']);
  assert.equal(splitter.end(), []);
  assert.is(splitter.push(Buffer.alloc(200_000, 'x')).length, 3);
});

test('tables fit a terminal and are whole in a pipe', () => {
  const table = {
    header: ['NAME', 'WHAT'],
    rows: [
      ['漢字', 'a long sentence that does not fit'],
      ['x', ''],
    ],
  };
  assert.is(formatTable(table, undefined), 'NAME  WHAT\n漢字  a long sentence that does not fit\nx\n');
  for (const line of formatTable(table, 20).split('\n')) assert.ok(line.length <= 20, line);
});

test('what a peer or a script says cannot steer the terminal', () => {
  assert.is(printable('a\x1b[2Jb\nc\u202Ed'), 'a\uFFFD[2Jb c\uFFFDd');
});

test('where both lead to one pipe, a word ends the half line that stdout left', async () => {
  const { stderr, screen } = stage('pipe', 'pipe', { oneTarget: true });
  await screen.script('out', bytes('half'));
  await screen.sayNow('done');
  assert.is(stderr.text, '\nskein: done\n');
});

test.run();
