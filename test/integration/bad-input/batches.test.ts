// Large and odd jobs: items of thousands of files, thousands of items, a megabyte of environment, lists that are no lists, hundreds
// of jobs at once, needs that nobody meets, a command line that is killed while it uploads.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Cli } from '../../support/cli.ts';
import { Mesh, until } from '../../support/mesh.ts';

const test = suite<{ mesh: Mesh; cli: Cli; here: string }>('large and odd jobs');

test.before(async (context) => {
  context.mesh = new Mesh();
  await context.mesh.up();
  context.cli = new Cli(context.mesh.folder);
  context.here = context.cli.place('here');
});
test.after(async ({ mesh }) => {
  await mesh[Symbol.asyncDispose]();
});

const bytesOf = (value: unknown): Uint8Array<ArrayBuffer> => new Uint8Array(Buffer.from(JSON.stringify(value)));
const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function refusal(
  mesh: Mesh,
  spec: Readonly<Record<string, unknown>>,
): Promise<{ status: number; type: string; sentence: string }> {
  const body = JSON.stringify({ schema: 'skein.jobspec/1', command: ['true'], ...spec });
  const answer = await mesh.request('POST', '/v1/jobs', body, { 'content-type': 'application/json' });
  const problem = (await answer.json()) as { type: string; sentence: string };
  return { status: answer.status, type: problem.type, sentence: problem.sentence };
}

test('items that are folders of more than a thousand files', async ({ cli, here }) => {
  for (const [folder, files] of [
    ['large', 1_500],
    ['small', 3],
  ] as const) {
    for (let n = 0; n < files; n++) {
      const part = join(here, 'packages', folder, `part-${n % 30}`);
      mkdirSync(part, { recursive: true });
      // Few bytes to carry, many names to keep.
      writeFileSync(join(part, `file-with-a-name-${n}.txt`), `${n % 50}\n`);
    }
  }
  writeFileSync(join(here, 'count.sh'), 'find "$1" -type f | wc -l > count.txt\n');
  const said = await cli.run(['run', '--batch', 'packages/*', 'count.sh'], { cwd: here });
  assert.is(said.code, 0, said.err);
  const count = (item: string): string => readFileSync(join(here, 'outputs', item, 'count.txt'), 'utf8').trim();
  assert.equal([count('large'), count('small')], ['1500', '3']);
  // Its list is one of the job's files as well: an unchanged input may be replaced by what the script makes of it.
  rmSync(join(here, 'outputs'), { recursive: true });
  const again = await cli.run(['outputs', 'get', '@last'], { cwd: here });
  assert.is(again.code, 0, again.err);
  assert.is(count('large'), '1500');
});

test('a batch of 5,000 files', async ({ cli, here }) => {
  mkdirSync(join(here, 'many'));
  for (let n = 0; n < 5_000; n++) writeFileSync(join(here, 'many', `${n}.txt`), `${n % 100}\n`);
  const args = ['run', '-q', '-d', '--runtime', 'noop', '--batch', 'many/*.txt', 'true'];
  const said = await cli.run(args, { cwd: here });
  assert.is(said.code, 0, said.err);
  const jobId = said.out.trim();
  const waited = await cli.run(['wait', jobId]);
  assert.is(waited.code, 0, waited.err);
  const view = JSON.parse((await cli.run(['status', jobId, '--json'])).out) as { tasks: { completed: number } };
  assert.is(view.tasks.completed, 5_000);
});

test('a megabyte of environment and arguments', async ({ cli, here }) => {
  const value = 'v'.repeat(100_000);
  const lines = Array.from({ length: 10 }, (_, n) => `VALUE_${n}=${value}`);
  writeFileSync(join(here, 'large.env'), lines.join('\n'));
  writeFileSync(join(here, 'size.sh'), `echo "\${#VALUE_9} $# \${#2}"\n`);
  const args = [value, 'x'.repeat(100_000), 'it\'s\n"odd" ünï'];
  const said = await cli.run(['run', '-q', '--env-file', 'large.env', 'size.sh', ...args], { cwd: here });
  assert.equal([said.code, said.out], [0, '100000 3 100000\n'], said.err);
});

test('a list of items or inputs that is none is refused at submission', async ({ mesh }) => {
  const sound = { path: 'a', sha256: await mesh.upload(bytesOf('a')) };
  const missing = { path: 'b', sha256: hashOf(bytesOf('never uploaded')) };
  const cases: readonly (readonly [value: unknown, count: number, code: string, says: RegExp])[] = [
    [{ not: 'a list' }, 1, 'invalid-request', /items\.manifest names: .* is no JSON array/],
    ['text', 1, 'invalid-request', /is no JSON array/],
    [[1, 2], 2, 'invalid-request', /element 1 of a manifest of items is not of the documented form/],
    [[{ item: 1 }], 2, 'invalid-request', /must name a blob with 2 entries; it has 1/],
    [[{ item: 1, frob: 2 }], 1, 'invalid-request', /element 1 .* is not of the documented form/],
    [
      [{ item: 1, inputs: [{ path: '../x', sha256: sound.sha256 }] }],
      1,
      'invalid-request',
      /"\.\.\/x" has a part '\.\.'/,
    ],
    [[{ item: 1, inputs: [sound, sound] }], 1, 'invalid-request', /inputs\.1 must not name a path twice/],
    [[{ item: 1, inputs: [missing] }], 1, 'blobs-missing', /names a blob that is not here/],
    [[{ item: 1, inputsManifest: { sha256: missing.sha256, count: 1 } }], 1, 'blobs-missing', /not here/],
    [[{ item: 'x'.repeat(600_000) }], 1, 'too-large', /an element of a manifest of items has more than/],
  ];
  for (const [value, count, code, says] of cases) {
    const sha256 = await mesh.upload(bytesOf(value));
    const { type, sentence } = await refusal(mesh, { items: { manifest: { sha256, count } } });
    assert.is(type, `/problems/${code}`, sentence);
    assert.match(sentence, says);
  }
  const deep = await mesh.upload(new Uint8Array(Buffer.from(`[{"item":${'['.repeat(50_000)}${']'.repeat(50_000)}}]`)));
  assert.match(
    (await refusal(mesh, { items: { manifest: { sha256: deep, count: 1 } } })).sentence,
    /nests deeper than/,
  );
  const inner = await mesh.upload(bytesOf([{ path: 'a' }]));
  const outer = await mesh.upload(bytesOf([{ item: 1, inputsManifest: { sha256: inner, count: 1 } }]));
  const nested = await refusal(mesh, { items: { manifest: { sha256: outer, count: 1 } } });
  assert.match(nested.sentence, /inputsManifest of an item names: .*must have one of sha256, link and folder/);
  const garbage = await mesh.upload(new Uint8Array(Buffer.from('\u0000\u0001 no list')));
  for (const [field, spec] of [
    ['inputsManifest', { inputsManifest: { sha256: garbage, count: 3 } }],
    ['rest', { rest: { sha256: garbage } }],
    ['rest', { rest: { sha256: await mesh.upload(bytesOf({ args: 'x' })) } }],
  ] as const) {
    const { status, type, sentence } = await refusal(mesh, spec);
    assert.equal([status, type], [400, '/problems/invalid-request'], `${field}: ${sentence}`);
  }
  const large = await refusal(mesh, { items: { list: ['x'.repeat(600_000)] } });
  assert.equal([large.status, large.type], [413, '/problems/too-large']);
  assert.match(large.sentence, /items\.list\.0 is larger than/);
});

test('the list of a job’s items is lost: its tasks end with that reason, and the worker goes on', async () => {
  await using mesh = new Mesh();
  const gateway = await mesh.up({ roles: 'gateway,voter' });
  const sha256 = await mesh.upload(bytesOf([{ item: 1 }, { item: 2 }, { item: 3 }]));
  const lost = await mesh.shell('echo $1', { args: ['{}'], items: { manifest: { sha256, count: 3 } } });
  const sound = await mesh.shell('sleep 1; echo sound');
  rmSync(join(gateway.folder, 'blobs', sha256.slice(0, 2), sha256));
  await mesh.join('worker');
  const view = await mesh.untilEnded(lost.jobId);
  assert.equal([view.state, view.tasks.failed], ['failed', 3]);
  const [attempt] = (await mesh.task(lost.jobId, 2)).attempts;
  assert.is(attempt?.reason, 'input-lost');
  assert.is((await mesh.untilEnded(sound.jobId)).state, 'completed');
  assert.equal((await mesh.members()).map(({ name, state }) => `${name} ${state}`).sort(), [
    'gw alive',
    'worker alive',
  ]);
});

test('needs that no member meets are said at submission; the job is kept, waits, and says so', async ({
  mesh,
  cli,
  here,
}) => {
  const said = await cli
    .run(['run', '-d', '--needs', 'cpu=4000,mem=900g', 'ok.sh'], { cwd: here })
    .then(async (first) => {
      assert.is(first.code, 127, first.err);
      writeFileSync(join(here, 'ok.sh'), 'echo ok\n');
      return cli.run(['run', '-d', '--needs', 'cpu=4000', 'ok.sh'], { cwd: here });
    });
  assert.is(said.code, 0, said.err);
  assert.match(said.err, /cpu/);
  const [latest] = (await mesh.get<{ items: { jobId: string }[] }>('/v1/jobs?limit=1')).items;
  const { state, waiting } = await mesh.job(latest?.jobId ?? '');
  assert.equal([state, waiting?.verdict], ['queued', 'no-peer-fits']);
  const cancelled = await cli.run(['cancel', '--yes', latest?.jobId ?? '']);
  assert.is(cancelled.code, 0, cancelled.err);
});

test('hundreds of jobs submitted at once are all taken and all end', async ({ mesh }) => {
  const spec = { command: ['true'], runtime: 'noop' };
  const jobs = await Promise.all(Array.from({ length: 300 }, () => mesh.submit(spec)));
  assert.is(new Set(jobs.map(({ jobId }) => jobId)).size, 300);
  for (const { jobId } of jobs) assert.is((await mesh.untilEnded(jobId)).state, 'completed');
  // Of 300 random ids two begin with the same two characters, which name no one job.
  const byStart = Map.groupBy(jobs, ({ jobId }) => jobId.slice(0, 4));
  const [start] = [...byStart].find(([, same]) => same.length > 1) ?? [];
  const answer = await mesh.request('GET', `/v1/jobs/${start}`);
  const problem = (await answer.json()) as { type: string; sentence: string; candidates: string[] };
  assert.equal([answer.status, problem.type], [409, '/problems/state-conflict']);
  assert.match(problem.sentence, /could be j-/);
});

test('a command line killed in the middle of its upload submits nothing, and the next one sends the rest', async ({
  mesh,
  cli,
  here,
}) => {
  const size = 200 * 1024 * 1024;
  writeFileSync(join(here, 'large.bin'), Buffer.alloc(size, 'x'));
  writeFileSync(join(here, 'wc.sh'), 'wc -c < "$1"\n');
  const before = (await mesh.get<{ items: unknown[] }>('/v1/jobs?limit=500')).items.length;
  const sha256 = hashOf(readFileSync(join(here, 'large.bin')));
  const child = cli.start(['run', 'wc.sh', 'large.bin'], { cwd: here });
  await until('some of the upload is there', async () => {
    const { status, headers } = await mesh.request('HEAD', `/v1/blobs/${sha256}/upload`);
    return status === 204 || status === 200 ? Number(headers.get('upload-offset')) > 0 : undefined;
  });
  child.kill('SIGKILL');
  await new Promise((resolve) => child.once('close', resolve));
  assert.is((await mesh.get<{ items: unknown[] }>('/v1/jobs?limit=500')).items.length, before);
  const said = await cli.run(['run', '-q', 'wc.sh', 'large.bin'], { cwd: here });
  assert.equal([said.code, said.out.trim()], [0, String(size)], said.err);
  rmSync(join(here, 'large.bin'));
});

test.run();
