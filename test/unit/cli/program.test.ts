import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { exitCodeOf, ScriptError } from '../../../node/cli/exit-codes.ts';
import { parse, verbOf } from '../../../node/cli/program.ts';
import { type ErrorCode, failures, SkeinError } from '../../../protocol/errors.ts';

interface Called {
  readonly verb: string;
  readonly args: readonly string[];
  readonly flags: Readonly<Record<string, unknown>>;
}

function called(...argv: string[]): Called {
  const parsed = parse(argv);
  assert.is(parsed.kind, 'verb', argv.join(' '));
  if (parsed.kind !== 'verb') throw new Error('no verb');
  return { verb: parsed.spec.name, args: parsed.args, flags: parsed.flags };
}

function refusal(...argv: string[]): SkeinError {
  try {
    parse(argv);
  } catch (error) {
    assert.instance(error, SkeinError);
    return error as SkeinError;
  }
  throw new Error(`${argv.join(' ')} was taken`);
}

test('flags of run stand before the script and all after it is the script’s', () => {
  const cases: readonly (readonly [readonly string[], readonly string[], Record<string, unknown>])[] = [
    [['run', 's.py', '--top', '20', '-q', '--json', '-d'], ['s.py', '--top', '20', '-q', '--json', '-d'], {}],
    [
      ['run', '-d', '--timeout', '10m', 's.py', '--timeout', '1'],
      ['s.py', '--timeout', '1'],
      { detach: true, timeout: '10m' },
    ],
    [['run', 's.py', '--', 'x', '--', 'y'], ['s.py', '--', 'x', '--', 'y'], {}],
    [['run', '--', '-odd.py', '-v'], ['-odd.py', '-v'], {}],
    [['run', '-e', 'A=1', '-e', 'B', 's.py'], ['s.py'], { env: ['A=1', 'B'] }],
    [['run', '--env', 'A=1', 's.py', '-e', 'C=2'], ['s.py', '-e', 'C=2'], { env: ['A=1'] }],
    [['run', '--no-fetch', '--no-scan', 's.py'], ['s.py'], { fetch: false, scan: false }],
    [['run', 's.py', '--help'], ['s.py', '--help'], {}],
    [['run', 's.py', '-h'], ['s.py', '-h'], {}],
    [['run', 's.py', '--version'], ['s.py', '--version'], {}],
    [['run', '-l', 'a=b', '--input', 'x', '--input', 'y', 's.py'], ['s.py'], { label: ['a=b'], input: ['x', 'y'] }],
    [['run', '-0', '--lines', '-', '--stdin', 's.py'], ['s.py'], { null: true, lines: '-', stdin: true }],
    [['run', '--priority', '-5', 's.py'], ['s.py'], { priority: '-5' }],
    [['run'], [], {}],
    [['run', 's.py', ''], ['s.py', ''], {}],
  ];
  for (const [argv, args, flags] of cases) {
    const { verb, ...rest } = called(...argv);
    assert.is(verb, 'run');
    assert.equal(rest, { args, flags }, argv.join(' '));
  }
});

test('global flags stand before or after the verb', () => {
  for (const argv of [
    ['--json', 'list'],
    ['list', '--json'],
  ])
    assert.equal(called(...argv).flags, { json: true });
  assert.equal(called('--mesh', 'a', '-q', 'run', '--mesh', 'b', 's.py').flags, { mesh: 'b', quiet: true });
  assert.equal(called('outputs', 'get', '--gateway', 'http://x', 'j-aaaa').flags, { gateway: 'http://x' });
  assert.equal(called('--yes', 'outputs', 'get', 'j-aaaa').flags, { yes: true });
});

test('verbs of two words and the hidden alias are found', () => {
  assert.is(called('outputs', 'ls', 'j-aaaa').verb, 'outputs ls');
  assert.is(called('key', 'create', 'ci', '--scope', 'submit').verb, 'key create');
  assert.equal(called('download', 'j-aaaa', 'x', '--output-dir', 'd'), {
    verb: 'download',
    args: ['j-aaaa', 'x'],
    flags: { outputDir: 'd' },
  });
});

test('what a later release has says so, what none has says where to look', () => {
  for (const argv of [
    ['servers'],
    ['set', 'j-aaaa'],
    ['cost', '--from', 'x'],
    ['run', '--image', 'x', 's.py'],
    ['run', '--after', 'j', 's.py'],
    ['retry', '--fresh', 'j-aaaa'],
    ['up', '--service'],
  ]) {
    assert.is(refusal(...argv).code, 'not-in-this-version', argv.join(' '));
  }
  for (const argv of [
    ['nosuch'],
    ['list', '--nosuch'],
    ['run', '--nosuch', 's.py'],
    ['key', 'nosuch'],
    ['drain'],
    ['run', '--timeout'],
  ]) {
    const error = refusal(...argv);
    assert.is(error.code, 'usage', argv.join(' '));
    assert.match(error.fix ?? '', /--help/);
  }
  assert.is(refusal('outputs').message, 'skein outputs needs one of ls, get, cat');
  assert.match(refusal('staus').fix ?? '', /did you mean status/);
});

test('the defaults that join names are those of who joins', () => {
  const help = (verb: string): string => {
    const parsed = parse([verb, '--help']);
    return parsed.kind === 'help' ? parsed.text : '';
  };
  assert.match(help('up'), /127\.0\.0\.1:7071/);
  assert.not.match(help('join'), /127\.0\.0\.1/);
});

test('help and version are answers, not errors', () => {
  assert.is(parse(['--version']).kind, 'version');
  for (const argv of [[], ['-h'], ['--help'], ['run', '-h'], ['help', 'run'], ['outputs', '--help']]) {
    const parsed = parse(argv);
    assert.is(parsed.kind, 'help', argv.join(' '));
    assert.match(parsed.kind === 'help' ? parsed.text : '', /skein/);
  }
});

test('-h shows the flags most used, --help all', () => {
  const text = (flag: string): string => {
    const parsed = parse(['run', flag]);
    return parsed.kind === 'help' ? parsed.text : '';
  };
  assert.match(text('-h'), /--timeout/);
  assert.not.match(text('-h'), /--retry-on/);
  assert.match(text('--help'), /--retry-on/);
});

test('the verb of a line is known even where the line cannot be parsed', () => {
  assert.is(verbOf(['--json', 'run', '--nosuch']), 'run');
  assert.is(verbOf(['--mesh', 'retry', 'wait']), 'wait');
  assert.is(verbOf(['--json']), undefined);
});

test('failures exit with 125 in the verbs that pass on a script’s code, with the table’s elsewhere', () => {
  const usage = new SkeinError('usage', 'x');
  for (const verb of ['run', 'attach', 'wait', 'retry']) assert.is(exitCodeOf(usage, verb), 125);
  assert.is(exitCodeOf(new ScriptError('file-missing', 'x', 127), 'run'), 127);
  assert.is(exitCodeOf(new Error('bug'), 'run'), 125);
  const codes: readonly (readonly [ErrorCode, number])[] = [
    ['usage', 2],
    ['not-in-this-version', 2],
    ['config-invalid', 2],
    ['not-found', 3],
    ['no-match', 3],
    ['forbidden', 4],
    ['unauthenticated', 4],
    ['state-conflict', 5],
    ['folder-locked', 5],
    ['port-in-use', 5],
    ['unreachable', 6],
    ['no-leader', 6],
    ['disk-full', 7],
    ['no-answer', 8],
    ['outcome-unknown', 8],
  ];
  for (const [code, exit] of codes) assert.is(exitCodeOf(new SkeinError(code, 'x'), 'list'), exit, code);
  for (const code of Object.keys(failures) as ErrorCode[]) {
    const exit = exitCodeOf(new SkeinError(code, 'x'), 'status');
    assert.ok(exit >= 2 && exit <= 8, code);
  }
});

test.run();
