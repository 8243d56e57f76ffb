// What a row keeps alive, what is kept no longer, and the sweep that follows from both.
import { Readable } from 'node:stream';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Marks } from '../../../node/blob/marks.ts';
import { MemoryBlobStore } from '../../../node/blob/memory.ts';
import type { BlobStore } from '../../../node/blob/port.ts';
import { type SweepReport, sweepBlobs } from '../../../node/blob/sweep.ts';
import { seededRandom } from '../../../node/clock.ts';
import { jobReferences, taskReferences } from '../../../node/policy/references.ts';
import { type HeldKey, jobsPastKeep, keysPastUse, ticketPastUse } from '../../../node/policy/retention.ts';
import type { JobSpec } from '../../../protocol/api/jobspec.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import type { JobId, PeerId, Sha256 } from '../../../protocol/ids.ts';
import type { Outputs } from '../../../protocol/state/result.ts';
import type { AttemptRow, RowKey } from '../../../protocol/state/rows.ts';
import { encodeManifest } from '../../../protocol/wire/manifest.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const DAY = 86_400_000;
const hash = (digit: string): Sha256 => digit.repeat(64) as Sha256;
const spec = (fields: Partial<JobSpec>): JobSpec => ({ schema: 'skein.jobspec/1', ...fields });

function attempt(fields: Partial<AttemptRow>): AttemptRow {
  return {
    n: 1,
    peerId: 'p' as PeerId,
    peerName: 'p',
    fence: `${'0'.repeat(32)}.7` as AttemptRow['fence'],
    state: 'finished',
    grantedAt: 0,
    startedAt: 0,
    endedAt: 0,
    exit: null,
    reason: null,
    detail: null,
    blamed: false,
    stdout: null,
    stderr: null,
    outputs: null,
    ...fields,
  };
}

const policy = suite('references and retention');

policy('a job keeps its script, inputs, input stream and items, and says which of them are lists', () => {
  const { blobs, manifests } = jobReferences({
    spec: spec({
      script: { path: 'a', sha256: hash('1') },
      inputs: [
        { path: 'b', sha256: hash('2') },
        { path: 'c', link: 'b' },
      ],
      inputsManifest: { sha256: hash('3'), count: 1 },
      items: { manifest: { sha256: hash('4'), count: 1 } },
      stdin: { sha256: hash('5') },
    }),
  });
  assert.equal([...blobs].sort(), ['1', '2', '3', '4', '5'].map(hash));
  assert.equal([...manifests].sort(), ['3', '4'].map(hash));
});

policy('an item in the spec keeps its inputs', () => {
  const list = [{ item: 'x', inputs: [{ path: 'x', sha256: hash('a') }] }];
  assert.equal([...jobReferences({ spec: spec({ items: { list } }) }).blobs], [hash('a')]);
});

policy('a task keeps what every attempt left, not the last one alone', () => {
  const outputs: Outputs = { kind: 'manifest', blob: hash('3'), files: 20, sizeBytes: 1 };
  const file = {
    kind: 'file',
    path: 'a',
    mode: 0o644,
    sha256: hash('4'),
    span: { blob: hash('5'), offset: 0, sizeBytes: 1 },
  } as const;
  const { blobs, manifests } = taskReferences({
    attempts: [
      attempt({ stdout: { blob: hash('1'), offset: 0, sizeBytes: 1 }, outputs }),
      attempt({ stderr: { blob: hash('2'), offset: 0, sizeBytes: 1 }, outputs: { kind: 'inline', files: [file] } }),
    ],
  });
  assert.equal([...blobs].sort(), ['1', '2', '3', '4', '5'].map(hash));
  assert.equal([...manifests], [hash('3')]);
});

policy('a job is kept for its own time, else for that of the mesh, from its end on', () => {
  const job = (jobId: string, keepMs: number | undefined, finishedAt: number | null) => ({
    job: { jobId: jobId as JobId, spec: spec(keepMs === undefined ? {} : { keepMs }) },
    progress: { finishedAt },
  });
  const jobs = [
    job('running', 1, null),
    job('fresh', undefined, 99 * DAY),
    job('edge', undefined, 70 * DAY),
    job('old', undefined, 70 * DAY - 1),
    job('kept longer', 60 * DAY, 50 * DAY),
    job('kept shorter', DAY, 98 * DAY),
  ];
  const past = (max: number) => jobsPastKeep(jobs, { keepMs: 30 * DAY }, { now: 100 * DAY, max });
  assert.equal(past(10), ['old', 'kept shorter']);
  assert.equal(past(1), ['old']);
});

policy('a ticket goes a week after it has expired', () => {
  const past = (expiresAt: number) => ticketPastUse({ expiresAt }, 100 * DAY);
  assert.equal([past(93 * DAY - 1), past(93 * DAY), past(101 * DAY)], [true, false, false]);
});

policy('an idempotency key goes after seven days, and never before its job', () => {
  const held = (key: string, at: number, answer: Record<string, unknown>, project = 'default'): HeldKey => ({
    project,
    key,
    row: { bodyHash: '', at, answer },
  });
  const rows = [
    held('young', 94 * DAY, { jobId: 'gone' }),
    held('old', 92 * DAY, { jobId: 'gone' }),
    held('edge', 93 * DAY, { jobId: 'gone' }),
    held('kept', 1 * DAY, { jobId: 'kept' }),
    held('ticket', 1 * DAY, { ticketId: 'x' }, 'other'),
  ];
  const past = (max: number) => [...keysPastUse(rows, (jobId) => jobId === 'kept', { now: 100 * DAY, max })];
  assert.equal(past(10), [
    ['default', ['old']],
    ['other', ['ticket']],
  ]);
  assert.equal(past(1), [['default', ['old']]]);
});

policy('marks have all that was marked and nearly nothing else, and another few at each pass', () => {
  const random = seededRandom('marks');
  const chance = seededRandom('hashes');
  const next = (): Sha256 => Buffer.from(chance.bytes(32)).toString('hex') as Sha256;
  const marked = Array.from({ length: 20_000 }, next);
  const marks = new Marks(random);
  for (const sha256 of marked) marks.add(sha256);
  assert.ok(marked.every((sha256) => marks.mayHave(sha256)));
  assert.is(Array.from({ length: 20_000 }, next).filter((sha256) => marks.mayHave(sha256)).length, 0);
});

policy.run();

interface Context {
  clock: ManualClock;
  store: BlobStore;
  rows: Map<string, unknown>;
  keep: (content: string | readonly unknown[]) => Promise<Sha256>;
  run: (signal?: AbortSignal) => Promise<SweepReport>;
  left: () => Promise<string[]>;
}

const sweep = suite<Context>('the sweep');

sweep.before.each((context) => {
  const clock = new ManualClock();
  const store = new MemoryBlobStore({ clock });
  const rows = new Map<string, unknown>();
  async function* scan<Row>(prefix: string): AsyncGenerator<readonly [RowKey<Row>, Row]> {
    for (const [key, row] of rows) if (key.startsWith(prefix)) yield [key, row as Row];
  }
  Object.assign(context, { clock, store, rows });
  context.keep = async (content) => {
    const source = async function* (): AsyncGenerator<Uint8Array> {
      if (typeof content === 'string') yield Buffer.from(content);
      else yield* encodeManifest(content);
    };
    return (await store.put(source(), {})).sha256;
  };
  context.run = (signal = new AbortController().signal) =>
    sweepBlobs({ store, scan, lists: store, clock, random: seededRandom('sweep') }, signal);
  context.left = async () => {
    const names: string[] = [];
    for await (const { sha256 } of store.list()) names.push(sha256);
    return names.sort();
  };
});

sweep('what no row names goes after a day, what one names stays', async ({ clock, rows, keep, run, left }) => {
  const named = await keep('named');
  const forgotten = await keep('forgotten');
  rows.set('job/a', { spec: spec({ stdin: { sha256: named } }) });
  clock.jump(DAY);
  assert.is((await run()).blobs, 0);
  clock.jump(1);
  assert.equal(await run(), { blobs: 1, bytes: 'forgotten'.length, uploads: 0, failures: [] });
  assert.equal(await left(), [named]);
  assert.not.equal(await left(), [forgotten]);
});

sweep('what lists name stays: of inputs, of items, of outputs', async ({ clock, rows, keep, run, left }) => {
  const [a, b, c] = [await keep('a'), await keep('b'), await keep('c')];
  const inputs = await keep([{ path: 'a', sha256: a }]);
  const items = await keep(Array.from({ length: 3000 }, (_, n) => ({ item: n, inputs: [{ path: 'b', sha256: b }] })));
  const span = { blob: c, offset: 0, sizeBytes: 1 };
  const outputs = await keep([{ kind: 'file', path: 'c', mode: 0, sha256: hash('c'), span }]);
  const job = { inputsManifest: { sha256: inputs, count: 1 }, items: { manifest: { sha256: items, count: 3000 } } };
  rows.set('job/a', { spec: spec(job) });
  const left1: Outputs = { kind: 'manifest', blob: outputs, files: 1, sizeBytes: 1 };
  rows.set('task/a/1', { attempts: [attempt({ outputs: left1 })] });
  await keep('forgotten');
  clock.jump(2 * DAY);
  assert.is((await run()).blobs, 1);
  assert.equal(await left(), [a, b, c, inputs, items, outputs].sort());
  rows.delete('task/a/1');
  // The sweep itself has read the list just now: that is a use.
  clock.jump(2 * DAY);
  assert.is((await run()).blobs, 2);
  assert.equal(await left(), [a, b, inputs, items].sort());
});

sweep('what is used while the sweep reads is spared', async ({ clock, store, keep, run, left }) => {
  const sha256 = await keep('checked by a submission');
  clock.jump(2 * DAY);
  const list = store.list.bind(store);
  store.list = async function* () {
    for await (const blob of list()) {
      await store.stat(blob.sha256);
      yield blob;
    }
  };
  assert.is((await run()).blobs, 0);
  assert.equal(await left(), [sha256]);
});

sweep('a lost list, a broken one and a blob that will not go stop nothing', async (context) => {
  const { clock, store, rows, keep, run, left } = context;
  const [stuck, loose] = [await keep('stuck'), await keep('loose')];
  const broken = await keep('[{"path": ');
  rows.set('job/a', { spec: spec({ inputsManifest: { sha256: broken, count: 1 } }) });
  rows.set('job/b', { spec: spec({ inputsManifest: { sha256: hash('e'), count: 1 } }) });
  clock.jump(2 * DAY);
  const remove = store.remove.bind(store);
  store.remove = async (sha256, options) => {
    if (sha256 === stuck) throw new SkeinError('folder-unusable', 'it will not go');
    return remove(sha256, options);
  };
  const report = await run();
  assert.is(report.blobs, 1);
  assert.is(report.failures.length, 3);
  assert.not.ok((await left()).includes(loose));
});

sweep('a list that the disk does not give today ends the pass before anything goes', async (context) => {
  const { clock, store, rows, keep, run, left } = context;
  const inputs = await keep([{ path: 'a', sha256: await keep('a') }]);
  rows.set('job/a', { spec: spec({ inputsManifest: { sha256: inputs, count: 1 } }) });
  clock.jump(2 * DAY);
  store.read = async () => {
    throw new SkeinError('folder-unusable', 'input/output error');
  };
  try {
    await run();
    assert.unreachable();
  } catch (error) {
    assert.is((error as SkeinError).code, 'folder-unusable');
  }
  assert.is((await left()).length, 2);
});

sweep(
  'what a list names stays, though another gateway has the list; while that one is away nothing goes',
  async (context) => {
    const { clock, store, rows, keep, left } = context;
    const named = await keep('named');
    const list = [...encodeManifest([{ path: 'a', sha256: named }])];
    rows.set('job/a', { spec: spec({ inputsManifest: { sha256: hash('e'), count: 1 } }) });
    await keep('forgotten');
    clock.jump(2 * DAY);
    async function* scan<Row>(prefix: string): AsyncGenerator<readonly [RowKey<Row>, Row]> {
      for (const [key, row] of rows) if (key.startsWith(prefix)) yield [key, row as Row];
    }
    const signal = new AbortController().signal;
    const run = (read: BlobStore['read']) =>
      sweepBlobs({ store, scan, lists: { read }, clock, random: seededRandom('sweep') }, signal);
    const away = new SkeinError('unreachable', 'the gateway that has it is away');
    assert.is(await run(() => Promise.reject(away)).catch((error: unknown) => error), away);
    assert.is((await left()).length, 2);
    assert.is((await run(async () => Readable.from(list))).blobs, 1);
    assert.equal(await left(), [named]);
  },
);

sweep('uploads that nobody went on with go too', async ({ clock, store, run }) => {
  const part = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from('part');
  };
  await store.uploadAppend(hash('a'), 0, 10, part());
  clock.jump(DAY + 1);
  await store.uploadAppend(hash('b'), 0, 10, part());
  assert.is((await run()).uploads, 1);
  assert.is(await store.uploadOffset(hash('b')), 4);
});

sweep('it ends when told to', async ({ clock, keep, run, left }) => {
  await keep('forgotten');
  clock.jump(2 * DAY);
  const stopped = AbortSignal.abort(new SkeinError('unreachable', 'the node stops'));
  try {
    await run(stopped);
    assert.unreachable();
  } catch (error) {
    assert.is((error as SkeinError).code, 'unreachable');
  }
  assert.is((await left()).length, 1);
});

sweep.run();
