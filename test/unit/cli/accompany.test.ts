// From a submitted job to an exit code, over a mesh that says what the test wants.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Call } from '../../../node/cli/call.ts';
import type { Jobs } from '../../../node/cli/mesh.ts';
import { Screen } from '../../../node/cli/output/screen.ts';
import { ReaderGone, type Sink } from '../../../node/cli/output/sink.ts';
import { accompany, type Company, handleInterrupts } from '../../../node/cli/run/accompany.ts';
import type { SignalName, World } from '../../../node/cli/world.ts';
import { seededRandom } from '../../../node/clock.ts';
import type { EventView, ExitView, JobView, LogAttempt, OutputEntry, TaskCounts } from '../../../protocol/api/job.ts';
import type { JobSpec } from '../../../protocol/api/jobspec.ts';
import { type ErrorCode, SkeinError } from '../../../protocol/errors.ts';
import { type TestFolder, testFolder } from '../../support/folder.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const JOB = 'j-abcdefghijklmnop';
const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex');

/** What a task says and leaves, attempt after attempt. */
interface Play {
  readonly attempts: readonly { readonly out?: string; readonly err?: string }[];
  readonly files?: Readonly<Record<string, string>>;
  readonly exit: Partial<ExitView>;
}

class MemorySink implements Sink {
  readonly isTerminal = false;
  readonly isFile: boolean;
  readonly columns = undefined;
  text = '';
  closed = false;
  constructor(isFile: boolean) {
    this.isFile = isFile;
  }
  async write(bytes: Uint8Array | string): Promise<void> {
    if (this.closed) throw new ReaderGone('EPIPE');
    this.text += typeof bytes === 'string' ? bytes : Buffer.from(bytes).toString();
  }
  cutBack(): boolean {
    this.text = '';
    return true;
  }
}

const previous = { peer: 'boxtwo', state: 'lost', exit: null } as unknown as LogAttempt['previous'];

async function* bytesOf(text: string): AsyncGenerator<Uint8Array> {
  if (text !== '') yield Buffer.from(text);
}

function exitOf(play: Play): ExitView {
  return { code: 0, signal: null, source: 'script', reason: 'exited', ...play.exit };
}

function stateOf(plays: readonly Play[]): JobView['state'] {
  if (plays.some((play) => exitOf(play).code !== 0 && exitOf(play).code !== 121)) return 'failed';
  return plays.some((play) => exitOf(play).code === 121) ? 'cancelled' : 'completed';
}

function fakeJobs(
  plays: readonly Play[],
  more: { failWith?: ErrorCode; isAway?: boolean } = {},
): Jobs & { readonly cancelled: string[] } {
  const cancelled: string[] = [];
  const play = (task: number): Play => plays[task - 1] ?? { attempts: [], exit: {} };
  const failed = plays.filter((each) => exitOf(each).code !== 0).length;
  const tasks: TaskCounts = {
    total: plays.length,
    queued: 0,
    running: 0,
    completed: plays.length - failed,
    failed,
    cancelled: 0,
  };
  const first = plays[0];
  const exit: ExitView | null =
    plays.length === 1 && first !== undefined
      ? exitOf(first)
      : { code: failed > 0 ? 1 : 0, signal: null, source: 'skein', reason: 'tasks-failed' };
  const view = {
    schema: 'skein.job/1',
    jobId: JOB,
    state: stateOf(plays),
    exit,
    tasks,
    failures: [],
    attempts: [],
    durationMs: 3400,
    finishedAt: '2026-11-24T00:00:00.000Z',
    waiting: null,
  } as unknown as JobView;
  const entries = (task: number): OutputEntry[] =>
    Object.entries(play(task).files ?? {}).map(([path, text]) => ({
      path,
      kind: 'file',
      mode: 0o644,
      bytes: text.length,
      sha256: hashOf(text),
      target: null,
    }));
  return {
    cancelled,
    submit: async () => ({ schema: 'skein.submitted/1', jobId: JOB, tasks: plays.length, url: '/', waiting: null }),
    job: async () => view,
    waitFor: async (_ref, _timeoutMs, signal) => {
      signal?.throwIfAborted();
      return view;
    },
    task: () => Promise.reject(new Error('not asked for')),
    tasks: async () =>
      ({
        schema: 'skein.tasklist/1',
        items: plays.map((_, at) => ({ task: at + 1, state: 'completed', attempts: [{}] })),
        next: null,
      }) as never,
    async *events() {
      for (const [at] of plays.entries()) {
        yield { type: 'task.state', task: at + 1, fields: { state: 'completed' } } as unknown as EventView;
      }
      yield { type: 'job.done', task: null, fields: {} } as unknown as EventView;
    },
    cancel: async (ref, _request, _key, signal) => {
      cancelled.push(ref);
      if (more.isAway === true) await untilAborted(signal);
      return { schema: 'skein.accepted/1', jobId: JOB, tasks: 1 };
    },
    retry: () => Promise.reject(new Error('not asked for')),
    async *followLog(_ref, task, { stream }, signal) {
      if (more.isAway === true) await untilAborted(signal);
      if (more.failWith !== undefined) throw new SkeinError(more.failWith, 'the link is lost');
      for (const [at, attempt] of play(task).attempts.entries()) {
        signal.throwIfAborted();
        yield { kind: 'attempt', attempt: at + 1, peer: 'boxone', previous: at === 0 ? null : previous };
        const bytes = Buffer.from((stream === 'out' ? attempt.out : attempt.err) ?? '');
        if (bytes.length > 0) yield { kind: 'log', attempt: at + 1, stream, offset: 0, bytes };
      }
      yield { kind: 'end', state: 'completed', attempt: 1, offset: 0, exit: exitOf(play(task)) };
    },
    readLog: async (_ref, task, { stream }) => bytesOf(play(task).attempts.at(-1)?.[stream] ?? ''),
    outputs: async (_ref, task) => ({
      schema: 'skein.outputs/1',
      jobId: JOB,
      task,
      attempt: 1,
      stdoutBytes: null,
      stderrBytes: null,
      items: entries(task),
      next: null,
    }),
    readOutput: async (_ref, task, path, offset) => bytesOf((play(task).files?.[path] ?? '').slice(offset)),
    checkBlobs: async () => ({ schema: 'skein.blobcheck/1', missing: [] }),
    upload: async () => undefined,
    readBlob: () => Promise.reject(new SkeinError('not-found', 'no blob')),
  };
}

/** As a request to a gateway that is away. */
const untilAborted = (signal: AbortSignal | undefined): Promise<never> =>
  new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason), { once: true }));

interface Run {
  readonly stdout: MemorySink;
  readonly stderr: MemorySink;
  readonly jobs: ReturnType<typeof fakeJobs>;
  readonly code: number;
}

interface Options {
  readonly flags?: Readonly<Record<string, unknown>>;
  readonly stdoutIsFile?: boolean;
  readonly stdoutClosed?: boolean;
  readonly spec?: Partial<JobSpec>;
  readonly fetch?: boolean;
  readonly follow?: boolean;
  readonly failWith?: ErrorCode;
  /** Sent as soon as the job is being followed. */
  readonly signal?: SignalName;
  /** The gateway does not answer, and a second signal is sent. */
  readonly isAway?: boolean;
}

async function run(folder: TestFolder, plays: readonly Play[], options: Options = {}): Promise<Run> {
  const { flags = {}, spec = {} } = options;
  const stdout = new MemorySink(options.stdoutIsFile ?? false);
  stdout.closed = options.stdoutClosed ?? false;
  const stderr = new MemorySink(false);
  const clock = new ManualClock();
  const screen = new Screen({
    stdout,
    stderr,
    oneTarget: false,
    quiet: flags.quiet === true,
    json: flags.json === true,
    monotonic: clock.monotonic,
    live: false,
  });
  let signalled: ((name: SignalName) => void) | undefined;
  const world: World = {
    surroundings: {
      env: { XDG_STATE_HOME: folder.at('state') },
      cwd: folder.at('work'),
      home: folder.at('home'),
      uid: 1,
    },
    stdout,
    stderr,
    oneTarget: false,
    stdin: process.stdin,
    clock,
    random: seededRandom('accompany'),
    onSignal: (_, f) => {
      signalled = f;
      return () => undefined;
    },
  };
  folder.write({ work: null });
  const call: Call = { verb: 'run', args: [], flags, world, screen };
  const jobs = fakeJobs(plays, {
    ...(options.failWith === undefined ? {} : { failWith: options.failWith }),
    isAway: options.isAway ?? false,
  });
  const interrupts = handleInterrupts(call, { isLocal: false, onExit: undefined });
  const isBatch = plays.length > 1;
  const company: Company = {
    call,
    jobs,
    jobId: JOB,
    spec: { schema: 'skein.jobspec/1', ...(isBatch ? { items: { list: plays.map((_, at) => at) } } : {}), ...spec },
    taskCount: plays.length,
    isLocal: false,
    dataFolder: null,
    outputDir: options.fetch === false ? undefined : folder.at(isBatch ? 'work/outputs' : 'work'),
    overwrite: false,
    folder: folder.at('work'),
    follow: options.follow ?? false,
    onExit: undefined,
    progress: 'none',
    interrupts,
  };
  const ending = accompany(company);
  if (options.signal !== undefined) signalled?.(options.signal);
  if (options.isAway === true) {
    signalled?.('SIGINT');
    await clock.advance(5_000);
  }
  const code = await ending;
  await screen.close();
  interrupts.stop();
  return { stdout, stderr, jobs, code };
}

test('the script’s stdout, stderr and exit code are passed on, and its files placed', async () => {
  using folder = testFolder();
  const { stdout, stderr, code } = await run(folder, [
    { attempts: [{ out: 'said\n', err: 'warned\n' }], files: { 'r.csv': 'a,b\n' }, exit: { code: 3 } },
  ]);
  assert.is(code, 3);
  assert.is(stdout.text, 'said\n');
  assert.is(stderr.text, 'warned\nskein: failed in 3.4 s, exit 3, wrote r.csv 4 B\n');
  assert.is(readFileSync(folder.at('work/r.csv'), 'utf8'), 'a,b\n');
});

test('with -q stderr is the script’s alone', async () => {
  using folder = testFolder();
  const { stderr, code } = await run(folder, [{ attempts: [{ err: 'half' }], exit: {} }], { flags: { quiet: true } });
  assert.equal([code, stderr.text], [0, 'half']);
});

test('an exit that is skein’s own is passed on with its reason', async () => {
  for (const [code, reason] of [
    [124, 'timeout'],
    [123, 'lost-workers'],
    [127, 'not-found'],
    [121, 'cancelled'],
  ] as const) {
    using folder = testFolder();
    const { code: got, stderr } = await run(folder, [{ attempts: [{}], exit: { code, reason, source: 'skein' } }]);
    assert.is(got, code);
    assert.match(stderr.text, new RegExp(`skein: .*exit ${code}`));
  }
});

test('a result that has no place here is named and holds back no other; 125', async () => {
  for (const tasks of [1, 2]) {
    using folder = testFolder();
    const out = tasks === 1 ? 'work' : 'work/outputs/1';
    folder.write({ [`${out}/a`]: 'a file, where a folder should be' });
    const files = Object.fromEntries(['a/1', 'a/2', 'b', 'c', 'd', 'e', 'f'].map((path) => [path, path]));
    const play = { attempts: [{}], files, exit: {} };
    const { code, stderr } = await run(folder, Array(tasks).fill(play), { flags: { quiet: true } });
    assert.is(code, 125, stderr.text);
    for (const path of ['b', 'c', 'd', 'e', 'f']) assert.is(readFileSync(folder.at(`${out}/${path}`), 'utf8'), path);
    for (const path of ['a/1', 'a/2']) assert.match(stderr.text, new RegExp(`skein: cannot write .*${path}: `));
    assert.match(stderr.text, /into another folder: skein outputs get j-abcdef --output-dir DIR\n$/);
  }
});

test('the hint names what is missing so that it can be pasted', async () => {
  using folder = testFolder();
  folder.write({ "work/it's here": '' });
  const err = 'open(): No such file or directory: "it\'s here"\ncat: it\'s here: No such file or directory\n';
  const { stderr } = await run(folder, [{ attempts: [{ err }], exit: { code: 1 } }]);
  assert.match(stderr.text, /it's here is here and did not go along; add --input 'it'\\''s here'\n$/);
});

test('a killed script exits 128+n and says by which signal', async () => {
  using folder = testFolder();
  const { code, stderr } = await run(folder, [{ attempts: [{}], exit: { code: 137, signal: 'SIGKILL' } }]);
  assert.is(code, 137);
  assert.match(stderr.text, /killed by SIGKILL/);
});

test('--json prints one document and sends the script’s stdout to stderr', async () => {
  using folder = testFolder();
  const { stdout, stderr } = await run(folder, [{ attempts: [{ out: 'said\n' }], files: { r: 'x' }, exit: {} }], {
    flags: { json: true },
  });
  const document = JSON.parse(stdout.text) as JobView;
  assert.is(document.schema, 'skein.job/1');
  assert.is(document.outputDir, folder.at('work'));
  assert.equal(document.outputs, [{ task: 1, path: 'r', bytes: 1, sha256: hashOf('x') }]);
  assert.match(stderr.text, /^said\n/);
});

test('a replaced attempt continues in a pipe and is told', async () => {
  using folder = testFolder();
  const { stdout, stderr, code } = await run(folder, [
    { attempts: [{ out: 'one\n' }, { out: 'one\ntwo\n' }], exit: {} },
  ]);
  assert.equal([code, stdout.text], [0, 'one\ntwo\n']);
  assert.match(stderr.text, /skein: boxtwo stopped answering; j-abcdef starts again on boxone \(attempt 2\)/);
});

test('a replaced attempt that says something else stops a pipe with 125 and the last line says so', async () => {
  using folder = testFolder();
  const plays = [{ attempts: [{ out: 'one\n' }, { out: 'two\n' }], exit: {} }];
  const { stdout, stderr, code } = await run(folder, plays, { flags: { json: false } });
  assert.equal([code, stdout.text], [125, 'one\n']);
  assert.match(stderr.text.trimEnd().split('\n').at(-1) ?? '', /skein logs j-abcdef has the whole/);
  const quiet = await run(folder, plays, { flags: { quiet: true } });
  assert.match(quiet.stderr.text, /has the whole/);
});

test('a regular file is cut back instead', async () => {
  using folder = testFolder();
  const { stdout, code } = await run(folder, [{ attempts: [{ out: 'one\n' }, { out: 'two\n' }], exit: {} }], {
    stdoutIsFile: true,
  });
  assert.equal([code, stdout.text], [0, 'two\n']);
});

test('a closed stdout ends the command with 141 and leaves the job alone', async () => {
  using folder = testFolder();
  const { code, jobs, stderr } = await run(folder, [{ attempts: [{ out: 'x\n' }], exit: {} }], { stdoutClosed: true });
  assert.is(code, 141);
  assert.equal(jobs.cancelled, []);
  assert.is(stderr.text, '');
});

test('a link that stays lost is 122, and the job is still to be found', async () => {
  using folder = testFolder();
  const { code, stderr } = await run(folder, [{ attempts: [], exit: {} }], { failWith: 'unreachable' });
  assert.is(code, 122);
  assert.match(stderr.text, /the job goes on {3}back: skein attach j-abcdef/);
});

test('a second Ctrl-C does not wait for a gateway that is away', async () => {
  using folder = testFolder();
  const { code, stderr } = await run(folder, [{ attempts: [], exit: {} }], { signal: 'SIGINT', isAway: true });
  assert.is(code, 121);
  assert.match(stderr.text, /did not answer within 5 s; the job may go on {3}stop: skein cancel j-abcdef\n$/);
});

test('TERM without a terminal cancels with 121, HUP detaches with 130', async () => {
  using folder = testFolder();
  const plays = [{ attempts: [{ out: 'x\n' }], exit: { code: 121, source: 'skein' as const, reason: 'cancelled' } }];
  const term = await run(folder, plays, { signal: 'SIGTERM' });
  assert.equal([term.code, term.jobs.cancelled], [121, [JOB]]);
  const hup = await run(folder, plays, { signal: 'SIGHUP' });
  assert.equal([hup.code, hup.jobs.cancelled], [130, []]);
});

test('the last line names what is here and did not go along', async () => {
  using folder = testFolder();
  folder.write({ 'work/data/x.csv': '' });
  const err = "FileNotFoundError: [Errno 2] No such file or directory: 'data/x.csv'\n";
  const { stderr } = await run(folder, [{ attempts: [{ err }], exit: { code: 1 } }], {
    spec: { script: { path: 'main.py', sha256: hashOf('') } },
  });
  assert.is(
    stderr.text.trimEnd().split('\n').at(-1),
    'skein: data/x.csv is here and did not go along; add --input data/x.csv',
  );
});

test('a file that is not skein’s to replace is kept beside it, and said', async () => {
  using folder = testFolder();
  folder.write({ 'work/r.csv': 'mine' });
  const { stderr } = await run(folder, [{ attempts: [{}], files: { 'r.csv': 'theirs' }, exit: {} }]);
  assert.is(readFileSync(folder.at('work/r.csv'), 'utf8'), 'mine');
  assert.is(readFileSync(folder.at(`work/r.csv.${JOB}`), 'utf8'), 'theirs');
  assert.match(stderr.text, /r\.csv is not skein's to replace/);
});

test('python’s caches are no result', async () => {
  using folder = testFolder();
  await run(folder, [{ attempts: [{}], files: { '__pycache__/m.pyc': 'x', r: 'y' }, exit: {} }]);
  assert.not.ok(existsSync(folder.at('work/__pycache__')));
  assert.ok(existsSync(folder.at('work/r')));
});

test('a batch puts each task’s files and streams into a folder of its own and nothing on stdout', async () => {
  using folder = testFolder();
  const plays = [
    { attempts: [{ out: 'a\n', err: 'b\n' }], files: { 'r.txt': '1' }, exit: {} },
    { attempts: [{ out: 'c\n' }], files: { stdout: 'own' }, exit: { code: 2 } },
  ];
  const { code, stdout, stderr } = await run(folder, plays);
  assert.equal([code, stdout.text], [1, '']);
  const read = (name: string): string => readFileSync(folder.at('work/outputs', name), 'utf8');
  assert.equal([read('1/stdout'), read('1/stderr'), read('1/r.txt')], ['a\n', 'b\n', '1']);
  assert.equal([read('2/stdout'), read('2/stdout.skein'), read('2/stderr')], ['own', 'c\n', '']);
  assert.match(stderr.text, /skein: 1 completed, 1 failed in 3\.4 s {2}outputs in outputs\/ {3}skein retry j-abcdef/);
});

test('a batch of one item is a batch', async () => {
  using folder = testFolder();
  const play = { attempts: [{ out: 'a\n' }], exit: { code: 4 } };
  const { code, stdout } = await run(folder, [play], { spec: { items: { list: ['x'] } } });
  assert.equal([code, stdout.text], [4, '']);
  assert.is(readFileSync(folder.at('work/1/stdout'), 'utf8'), 'a\n');
});

test('with --follow a batch’s lines come with their item', async () => {
  using folder = testFolder();
  const plays = ['one', 'two'].map((text) => ({ attempts: [{ out: `${text}\nhalf` }], exit: {} }));
  const { stdout } = await run(folder, plays, { follow: true });
  assert.equal(stdout.text.trimEnd().split('\n').sort(), ['1 | half', '1 | one', '2 | half', '2 | two']);
});

test('with --no-fetch nothing is written here', async () => {
  using folder = testFolder();
  await run(folder, [{ attempts: [{}], files: { r: 'x' }, exit: {} }], { fetch: false });
  assert.not.ok(existsSync(folder.at('work/r')));
});

test.run();
