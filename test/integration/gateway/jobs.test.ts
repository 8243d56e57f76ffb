// Jobs over HTTP: submission, lists, acts, and what each refusal says.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SkeinError } from '../../../protocol/errors.ts';
import { type Answer, Door } from '../../support/door.ts';

const test = suite<{ door: Door }>('jobs');
test.before.each(async (context) => {
  context.door = await Door.open();
});
test.after.each(async ({ door }) => {
  await door.close();
  assert.equal(door.faults, []);
});

const COMMAND = { schema: 'skein.jobspec/1', command: ['true'] };

function isProblem(answer: Answer, status: number, name: string): void {
  assert.is(answer.status, status, answer.bytes.toString());
  assert.match(answer.headers['content-type'] ?? '', /^application\/problem\+json/);
  assert.is(answer.json.type, `/problems/${name}`);
  assert.is(answer.json.status, status);
  for (const field of ['title', 'sentence', 'requestId']) assert.type(answer.json[field], 'string', field);
  assert.is(answer.headers['skein-version'], '1.2.3');
}

test('a submission answers 201 with where the job is, and the job is there', async ({ door }) => {
  const answer = await door.ask('/v1/jobs', { body: { ...COMMAND, name: 'first', labels: { team: 'a' } } });
  assert.is(answer.status, 201);
  assert.match(answer.json.jobId, /^j-[a-z2-7]{16}$/);
  assert.is(answer.headers.location, `/v1/jobs/${answer.json.jobId}`);
  assert.is(answer.headers['skein-version'], '1.2.3');
  assert.is(answer.json.waiting, null);
  const job = await door.ask(answer.headers.location ?? '');
  assert.equal([job.json.schema, job.json.name, job.json.state], ['skein.job/1', 'first', 'queued']);
  assert.is(job.json.submittedAt, '2026-11-24T12:00:00.000Z');
});

test('needs that nobody could meet are said at submission, and the job is taken all the same', async ({ door }) => {
  door.mesh.unmetNow = 'no peer has 64 cpus';
  const answer = await door.ask('/v1/jobs', { body: { ...COMMAND, needs: { cpu: 64 } } });
  assert.is(answer.status, 201);
  assert.equal([answer.json.waiting.verdict, answer.json.waiting.sentence], ['no-peer-fits', 'no peer has 64 cpus']);
});

test('a field of the wrong form is named, with what was expected', async ({ door }) => {
  for (const [body, field, expected] of [
    [{ ...COMMAND, command: 'true' }, 'command', /array/],
    [{ ...COMMAND, retries: '3' }, 'retries', /integer/],
    [{ ...COMMAND, comand: [] }, 'comand', /not known/],
    [{ ...COMMAND, schema: 'skein.jobspec/9' }, 'schema', /skein\.jobspec\/1/],
    [{ ...COMMAND, needs: { memBytes: -1 } }, 'needs.memBytes', />= 0/],
    [{ ...COMMAND, env: { '1A': 'x' } }, 'env.1A', /not known/],
    [{ ...COMMAND, items: { list: [] } }, 'items.list', /fewer than 1/],
    [{ ...COMMAND, inputs: [{ path: '../x', sha256: 'a'.repeat(64) }] }, 'inputs.0', /upwards/],
    [{ ...COMMAND, inputs: [{ path: 'x', sha256: 'short' }] }, 'inputs.0.sha256', /sha-256/],
    [{ schema: 'skein.jobspec/1' }, 'script', /command is needed/],
    [{}, 'script', /command is needed/],
    [{ ...COMMAND, args: ['a\0b'] }, 'args.0', /NUL/],
  ] as const) {
    const answer = await door.ask('/v1/jobs', { body });
    isProblem(answer, 400, 'invalid-request');
    assert.is(answer.json.field, field);
    assert.match(answer.json.expected, expected);
    assert.ok(answer.json.sentence.includes(field), answer.json.sentence);
  }
  assert.is(door.mesh.index, 4, 'nothing of it was proposed');
});

test('an unknown runtime is a problem of its own', async ({ door }) => {
  isProblem(await door.ask('/v1/jobs', { body: { ...COMMAND, runtime: 'docker' } }), 422, 'runtime-unknown');
});

test('a job that names blobs that are not here gets their list', async ({ door }) => {
  const here = door.mesh.blobs.keep('here');
  const missing = 'b'.repeat(64);
  const inputs = [
    { path: 'a', sha256: here },
    { path: 'b', sha256: missing },
  ];
  const answer = await door.ask('/v1/jobs', { body: { ...COMMAND, inputs } });
  isProblem(answer, 409, 'blobs-missing');
  assert.equal(answer.json.missing, [missing]);
  await door.submit({ inputs: [{ path: 'a', sha256: here }] });
});

test('what a manifest names is looked for, too, and its form is judged', async ({ door }) => {
  const missing = 'b'.repeat(64);
  const manifest = (value: unknown) => door.mesh.blobs.keep(JSON.stringify(value));
  const withInputs = (sha256: string, count: number) => ({ ...COMMAND, inputsManifest: { sha256, count } });
  const lacking = manifest([{ path: 'a', sha256: missing }]);
  const answer = await door.ask('/v1/jobs', { body: withInputs(lacking, 1) });
  isProblem(answer, 409, 'blobs-missing');
  assert.equal(answer.json.missing, [missing]);
  for (const value of [{}, [1], [{ path: '../a', folder: true }], [{ path: 'a', sha256: 'x' }]]) {
    isProblem(await door.ask('/v1/jobs', { body: withInputs(manifest(value), 1) }), 400, 'invalid-request');
  }
  isProblem(await door.ask('/v1/jobs', { body: withInputs(lacking, 2) }), 400, 'invalid-request');
});

test('a dry run keeps nothing and says what is missing', async ({ door }) => {
  const before = door.mesh.index;
  const inputs = [{ path: 'a', sha256: 'b'.repeat(64) }];
  const answer = await door.ask('/v1/jobs?dryRun=1', { body: { ...COMMAND, inputs, env: { A: 'secret' } } });
  assert.is(answer.status, 200);
  assert.equal([answer.json.tasks, answer.json.fits, answer.json.missingBlobs], [1, true, ['b'.repeat(64)]]);
  assert.equal(answer.json.spec.env, { A: null });
  assert.is(door.mesh.index, before);
});

test('a list of ten thousand items is taken, rides outside the record, and its tasks keep their names', async ({
  door,
}) => {
  const list = Array.from({ length: 10_000 }, (_, at) => `photos/${at}.jpg`);
  const jobId = await door.submit({ items: { list } });
  const job = await door.ask(`/v1/jobs/${jobId}`);
  assert.is(job.json.tasks.total, 10_000);
  assert.is(job.json.spec.items.manifest.count, 10_000);
  const task = await door.ask(`/v1/jobs/${jobId}/tasks/9999`);
  assert.is(task.json.item, 'photos/9998.jpg');
});

test('long inputs, arguments and environment ride outside the record as well', async ({ door }) => {
  const sha256 = door.mesh.blobs.keep('x');
  const inputs = Array.from({ length: 2000 }, (_, at) => ({ path: `in/${at}`, sha256, sizeBytes: 1 }));
  const args = Array.from({ length: 5000 }, (_, at) => `argument-number-${at}`);
  const jobId = await door.submit({ inputs, args, env: { LONG: 'x'.repeat(5000) } });
  const { spec } = (await door.ask(`/v1/jobs/${jobId}`)).json;
  assert.equal([spec.inputsManifest.count, spec.inputs, spec.args, spec.env], [2000, undefined, undefined, undefined]);
  const rest = await door.ask(`/v1/blobs/${spec.rest.sha256}`);
  assert.equal(JSON.parse(rest.bytes.toString()), { args, env: { LONG: 'x'.repeat(5000) } });
});

test('all that a job names is on other gateways too before the log names it, what the gateway made of it as well', async ({
  door,
}) => {
  const { blobs } = door.mesh;
  const keep = (content: unknown) => blobs.keep(JSON.stringify(content));
  const [one, two, stdin] = [keep(1), keep(2), keep('typed')];
  const list = keep([{ path: 'two', sha256: two }]);
  const items = keep([{ item: 1, inputs: [{ path: 'one', sha256: one }], inputsManifest: { sha256: list, count: 1 } }]);
  const copy = blobs.copy.bind(blobs);
  const before: number[] = [];
  blobs.copy = async (named) => {
    before.push(door.mesh.index);
    await copy(named);
  };
  const args = Array.from({ length: 5000 }, (_, at) => `argument-number-${at}`);
  const spec = { stdin: { sha256: stdin }, items: { manifest: { sha256: items, count: 1 } }, args };
  const jobId = await door.submit(spec);
  const { rest } = (await door.ask(`/v1/jobs/${jobId}`)).json.spec;
  assert.equal(blobs.copied.toSorted(), [one, two, stdin, list, items, rest.sha256].sort());
  assert.equal(before, [door.mesh.index - 1]);
});

test('a record that cannot be made to fit is too large', async ({ door }) => {
  isProblem(
    await door.ask('/v1/jobs', { body: { ...COMMAND, command: ['true', 'x'.repeat(70_000)] } }),
    413,
    'too-large',
  );
});

test('one idempotency key makes one job, and says that it is told again', async ({ door }) => {
  const headers = { 'idempotency-key': 'k-1' };
  const first = await door.ask('/v1/jobs', { body: { ...COMMAND, name: 'x', args: ['a'] }, headers });
  const again = await door.ask('/v1/jobs', { body: { args: ['a'], name: 'x', ...COMMAND }, headers });
  assert.equal([first.status, again.status], [201, 201]);
  assert.is(first.headers['idempotency-replayed'], undefined);
  assert.is(again.headers['idempotency-replayed'], 'true');
  assert.equal(again.json, first.json);
  const other = await door.ask('/v1/jobs', { body: { ...COMMAND, name: 'y', args: ['a'] }, headers });
  isProblem(other, 422, 'idempotency-mismatch');
  assert.is((await door.ask('/v1/jobs')).json.items.length, 1);
});

test('a body that leaves the defaults out asks for the same as one that spells them out', async ({ door }) => {
  const headers = { 'idempotency-key': 'k' };
  const script = { path: 'a.sh', sha256: door.mesh.blobs.keep('#!/bin/sh') };
  const inputs = [{ path: 'in', sha256: script.sha256 }];
  const first = await door.ask('/v1/jobs', { body: { script, inputs }, headers });
  assert.is(first.status, 201);
  const spelled = {
    schema: 'skein.jobspec/1',
    script: { ...script, mode: 0o755 },
    inputs: [{ ...inputs[0], mode: 0o644 }],
    args: [],
    env: {},
    labels: {},
    needs: { cpu: 1, memBytes: 0 },
    runtime: 'process',
    oneStream: false,
    retries: 0,
    maxLost: 3,
    priority: 0,
  };
  const again = await door.ask('/v1/jobs', { body: spelled, headers });
  assert.equal([again.status, again.json.jobId], [201, first.json.jobId]);
  assert.is((await door.ask('/v1/jobs', { body: { ...spelled, maxLost: 2 }, headers })).status, 422);
  assert.is((await door.ask(`/v1/jobs/${first.json.jobId}`)).json.spec.schema, 'skein.jobspec/1');
});

test('to retry what failed is what a retry is for, said or not', async ({ door }) => {
  const jobId = await door.submit();
  door.mesh.finish(jobId, 1, door.mesh.grant(jobId, 1), { exit: { code: 1, signal: null } });
  const ask = { headers: { 'idempotency-key': 'k' } };
  assert.is((await door.ask(`/v1/jobs/${jobId}/retry`, { ...ask, method: 'POST' })).status, 202);
  const again = await door.ask(`/v1/jobs/${jobId}/retry`, { ...ask, body: { tasks: 'failed' } });
  assert.equal([again.status, again.headers['idempotency-replayed']], [202, 'true']);
});

test('the same key for another act, or for another job, is a mismatch', async ({ door }) => {
  const [a, b] = [await door.submit(), await door.submit()];
  const headers = { 'idempotency-key': 'k-2' };
  assert.is((await door.ask(`/v1/jobs/${a}/cancel`, { body: {}, headers })).status, 202);
  assert.is((await door.ask(`/v1/jobs/${a}/cancel`, { body: {}, headers })).headers['idempotency-replayed'], 'true');
  isProblem(await door.ask(`/v1/jobs/${b}/cancel`, { body: {}, headers }), 422, 'idempotency-mismatch');
  isProblem(await door.ask(`/v1/jobs/${a}/retry`, { body: {}, headers }), 422, 'idempotency-mismatch');
});

test('an outcome that got lost is 503 with Retry-After, and the same key settles it', async ({ door }) => {
  const headers = { 'idempotency-key': 'k-3' };
  door.mesh.losesNextAnswer = true;
  const lost = await door.ask('/v1/jobs', { body: COMMAND, headers });
  isProblem(lost, 503, 'outcome-unknown');
  assert.is(lost.headers['retry-after'], '1');
  const settled = await door.ask('/v1/jobs', { body: COMMAND, headers });
  assert.equal([settled.status, settled.headers['idempotency-replayed']], [201, 'true']);
  assert.is((await door.ask('/v1/jobs')).json.items.length, 1);
});

test('an idempotency key that is too long or not printable is refused', async ({ door }) => {
  for (const key of ['x'.repeat(129), 'a b', 'é']) {
    const headers = { 'idempotency-key': key };
    isProblem(await door.ask('/v1/jobs', { body: COMMAND, headers }), 400, 'invalid-request');
  }
});

test('a mesh without a quorum takes nothing, and still answers stale reads', async ({ door }) => {
  const jobId = await door.submit();
  for (const code of ['no-quorum', 'no-leader', 'disk-full', 'not-durable', 'too-busy'] as const) {
    door.mesh.failing = new SkeinError(code, 'it cannot be', { retryAfterMs: 2500 });
    const refused = await door.ask('/v1/jobs', { body: COMMAND });
    isProblem(refused, code === 'disk-full' ? 507 : 503, code);
    assert.is(refused.headers['retry-after'], '3');
    assert.is(refused.json.retryAfterMs, 2500);
  }
  door.mesh.failing = new SkeinError('no-quorum', 'too few answer');
  isProblem(await door.ask(`/v1/jobs/${jobId}`), 503, 'no-quorum');
  const stale = await door.ask(`/v1/jobs/${jobId}?consistency=stale`);
  assert.equal([stale.status, stale.headers['skein-index']], [200, String(door.mesh.index)]);
  assert.is((await door.ask('/readyz', { key: null })).status, 503);
});

test('a submission waits for no read barrier', async ({ door }) => {
  const before = door.mesh.barriers;
  await door.submit();
  assert.is(door.mesh.barriers, before);
});

test('a list is paged by a cursor that stays put while jobs arrive', async ({ door }) => {
  const made: string[] = [];
  for (let n = 0; n < 7; n++) made.unshift(await door.submit({ name: `job ${n}` }));
  const first = await door.ask('/v1/jobs?limit=3');
  await door.submit({ name: 'newer' });
  const second = await door.ask(`/v1/jobs?limit=3&cursor=${first.json.next}`);
  const third = await door.ask(/<(.*)>; rel="next"/.exec(String(second.headers.link))?.[1] ?? '');
  const seen = [first, second, third].flatMap((page) => page.json.items.map((item: { jobId: string }) => item.jobId));
  assert.equal(seen, made);
  assert.is(third.json.next, null);
  assert.is(third.headers.link, undefined);
});

test('a foreign or altered cursor is refused', async ({ door }) => {
  for (let n = 0; n < 2; n++) await door.submit();
  const { next } = (await door.ask('/v1/jobs?limit=1')).json;
  for (const cursor of ['x', `${next.slice(0, -6)}AAAAAA`]) {
    isProblem(await door.ask(`/v1/jobs?cursor=${cursor}`), 400, 'bad-cursor');
  }
  const jobId = await door.submit({ items: { range: { from: 1, to: 9 } } });
  isProblem(await door.ask(`/v1/jobs/${jobId}/tasks?cursor=${next}`), 400, 'bad-cursor');
});

test('a list is filtered by state, label and time', async ({ door }) => {
  const old = await door.submit({ labels: { team: 'a' } });
  await door.ask(`/v1/jobs/${old}/cancel`, { body: {} });
  door.mesh.nowMs += 60_000;
  const fresh = await door.submit({ labels: { team: 'b', x: '' } });
  const ids = async (query: string) =>
    (await door.ask(`/v1/jobs?${query}`)).json.items.map((i: { jobId: string }) => i.jobId);
  assert.equal(await ids('state=cancelled'), [old]);
  assert.equal(await ids('state=queued'), [fresh]);
  assert.equal(await ids('label=team%3Da'), [old]);
  assert.equal(await ids('label=team'), [fresh, old]);
  assert.equal(await ids('label=x'), [fresh]);
  assert.equal(await ids('label=nope'), []);
  assert.equal(await ids('since=2026-11-24T12:00:30Z'), [fresh]);
  isProblem(await door.ask('/v1/jobs?since=yesterday'), 400, 'invalid-request');
  isProblem(await door.ask('/v1/jobs?limit=501'), 400, 'invalid-request');
  isProblem(await door.ask('/v1/jobs?stat=queued'), 400, 'invalid-request');
});

test('a job answers to a prefix that only it has', async ({ door }) => {
  const [a, b] = [await door.submit(), await door.submit()];
  let shared = 0;
  while (a[shared] === b[shared]) shared++;
  const prefix = a.slice(0, Math.max(4, shared + 1));
  assert.is((await door.ask(`/v1/jobs/${prefix}`)).json.jobId, a);
  assert.is((await door.ask(`/v1/jobs/${a.slice(2, 10)}`)).json.jobId, a);
  isProblem(await door.ask('/v1/jobs/j-a'), 404, 'not-found');
  isProblem(await door.ask('/v1/jobs/j-zzzzzz'), 404, 'not-found');
  isProblem(await door.ask('/v1/jobs/..%2f..'), 404, 'not-found');
});

test('a prefix of several jobs names them', async ({ door }) => {
  const made = new Set<string>();
  let twins: string[] = [];
  while (twins.length < 2) {
    made.add(await door.submit());
    for (const id of made) twins = [...made].filter((other) => other.startsWith(id.slice(0, 4)));
  }
  const [one = ''] = twins;
  const answer = await door.ask(`/v1/jobs/${one.slice(0, 4)}`);
  isProblem(answer, 409, 'state-conflict');
  assert.equal(answer.json.candidates.toSorted(), [...made].filter((id) => id.startsWith(one.slice(0, 4))).toSorted());
});

test('cancel and retry act, and refuse what the state forbids', async ({ door }) => {
  const jobId = await door.submit();
  const cancelled = await door.ask(`/v1/jobs/${jobId}/cancel`, { body: { reason: 'enough' } });
  assert.equal([cancelled.status, cancelled.json.jobId], [202, jobId]);
  isProblem(await door.ask(`/v1/jobs/${jobId}/cancel`, { method: 'POST' }), 409, 'state-conflict');
  assert.is((await door.ask(`/v1/jobs/${jobId}`)).json.exit.code, 121);
  const retried = await door.ask(`/v1/jobs/${jobId}/retry`, { body: { tasks: [1] } });
  assert.equal([retried.status, retried.json.tasks], [202, 1]);
  isProblem(await door.ask(`/v1/jobs/${jobId}/retry`, { body: { tasks: [1] } }), 409, 'state-conflict');
  isProblem(await door.ask('/v1/jobs/j-aaaaaaaaaaaaaaaa/cancel', { body: {} }), 404, 'not-found');
  isProblem(
    await door.ask(`/v1/jobs/${jobId}/cancel`, { body: { tasks: { from: 3, to: 2 } } }),
    400,
    'invalid-request',
  );
  isProblem(await door.ask(`/v1/jobs/${jobId}`, { method: 'PATCH', body: {} }), 400, 'not-in-this-version');
});

test('tasks are listed with those that have not begun, attempts page by page', async ({ door }) => {
  const jobId = await door.submit({ items: { range: { from: 1, to: 5 } } });
  for (const n of [1, 2, 3]) door.mesh.finish(jobId, n, door.mesh.grant(jobId, n));
  const first = await door.ask(`/v1/jobs/${jobId}/tasks?limit=2`);
  const rest = await door.ask(`/v1/jobs/${jobId}/tasks?cursor=${first.json.next}`);
  const states = [...first.json.items, ...rest.json.items].map((task) => `${task.task} ${task.state}`);
  assert.equal(states, ['1 completed', '2 completed', '3 completed', '4 queued', '5 queued']);
  const attempts = await door.ask(`/v1/jobs/${jobId}/attempts?limit=2`);
  const more = await door.ask(`/v1/jobs/${jobId}/attempts?cursor=${attempts.json.next}`);
  assert.equal([attempts.json.items.length, more.json.items.length, more.json.next], [2, 1, null]);
  isProblem(await door.ask(`/v1/jobs/${jobId}/tasks/6`), 404, 'not-found');
  isProblem(await door.ask(`/v1/jobs/${jobId}/tasks/0`), 400, 'invalid-request');
});

test('a wait answers when the job ends, and as it is when the time is over', async ({ door }) => {
  const jobId = await door.submit();
  const over = await door.ask(`/v1/jobs/${jobId}/wait?timeoutMs=1`);
  assert.is(over.json.state, 'queued');
  const waiting = door.ask(`/v1/jobs/${jobId}/wait`);
  await door.ask('/healthz');
  door.mesh.finish(jobId, 1, door.mesh.grant(jobId, 1), { exit: { code: 3, signal: null } });
  const ended = (await waiting).json;
  assert.equal([ended.state, ended.exit.code], ['failed', 3]);
  assert.is((await door.ask(`/v1/jobs/${jobId}/wait`)).json.state, 'failed');
});

test('a waiting job says why, in status, list and explain', async ({ door }) => {
  const jobId = await door.submit();
  door.mesh.waitingNow = { verdict: 'no-room', sentence: 'all 4 slots are busy', since: door.mesh.nowMs };
  assert.is((await door.ask(`/v1/jobs/${jobId}`)).json.waiting.sentence, 'all 4 slots are busy');
  assert.is((await door.ask('/v1/jobs')).json.items[0].waiting.verdict, 'no-room');
  const explained = (await door.ask(`/v1/jobs/${jobId}/explain?task=1`)).json;
  assert.equal([explained.verdict, explained.task, explained.queue], ['no-room', 1, null]);
  await door.ask(`/v1/jobs/${jobId}/cancel`, { body: {} });
  assert.is((await door.ask(`/v1/jobs/${jobId}/explain`)).json.verdict, 'finished');
});

test('a failed task is told with the end of its stderr', async ({ door }) => {
  const jobId = await door.submit({ items: { list: ['photo.jpg'] } });
  const fence = door.mesh.grant(jobId, 1);
  door.mesh.write(jobId, 1, 1, 'err', `${'x'.repeat(5000)}Traceback: boom`);
  door.mesh.finish(jobId, 1, fence, { exit: { code: 1, signal: null } });
  const [failure] = (await door.ask(`/v1/jobs/${jobId}`)).json.failures;
  assert.equal([failure.task, failure.item, failure.peer, failure.exit.code], [1, 'photo.jpg', 'one', 1]);
  assert.is(failure.stderrTail.offset, 5015 - 2048);
  assert.match(Buffer.from(failure.stderrTail.base64, 'base64').toString(), /x+Traceback: boom$/);
});

test.run();
