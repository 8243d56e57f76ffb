// Disks that are really full: the gateway's, a worker's, the user's own. What was acknowledged stays, what does not fit is refused
// with a word, and with room again everything goes on by itself.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test as run } from 'uvu';
import * as assert from 'uvu/assert';
import { Cli, judgeFailure } from '../../support/cli.ts';
import { Mesh, until } from '../../support/mesh.ts';
import { SmallDisk } from '../../support/small-disk.ts';

function test(name: string, body: () => Promise<void>): void {
  run(name, async () => {
    if (SmallDisk.mayMount) await body();
    else process.stdout.write(`SKIP ${name}: a tmpfs is mounted by root on Linux only\n`);
  });
}

async function submits(mesh: Mesh): Promise<{ status: number; jobId?: string; type?: string; fix?: string }> {
  const body = JSON.stringify({ schema: 'skein.jobspec/1', command: ['/bin/echo', 'x'.repeat(2_000)] });
  const answer = await mesh.request('POST', '/v1/jobs', body, { 'content-type': 'application/json' });
  return { status: answer.status, ...((await answer.json()) as object) };
}

test('the gateway’s disk is full: submissions get 507, reads go on, nothing acknowledged is lost, it goes on by itself', async () => {
  await using mesh = new Mesh();
  using disk = new SmallDisk(join(mesh.folder, 'gw'), 32);
  const gateway = await mesh.up({ roles: 'gateway,voter' });
  await mesh.join('worker');
  const { pid } = gateway;
  const done = await mesh.shell('echo before > out.txt');
  await mesh.untilEnded(done.jobId);
  const mark = join(mesh.folder, 'ended');
  const running = await mesh.shell(`sleep 3; echo through > out.txt; echo ended > ${mark}`);
  await mesh.untilTask(running.jobId, 1, 'runs', ({ state }) => state === 'running');

  disk.fill();
  const acknowledged: string[] = [];
  const refusal = await until('a submission is refused', async () => {
    const answer = await submits(mesh);
    if (answer.status === 201) acknowledged.push(answer.jobId ?? '');
    return answer.status === 201 ? undefined : answer;
  });
  assert.equal([refusal.status, refusal.type], [507, '/problems/disk-full']);
  assert.match(refusal.fix ?? '', /make room/i);
  const upload = await mesh.request('PUT', `/v1/blobs/${'0'.repeat(64)}`, new Uint8Array(1_000_000));
  assert.is(upload.status, 507, await upload.text());
  const cli = new Cli(mesh.folder);
  writeFileSync(join(mesh.folder, 'new.sh'), 'echo a new script\n');
  judgeFailure('skein run', await cli.run(['run', '-q', 'new.sh']), 125, /disk.*make room|no room for .*; make room/i);

  // Its result waits with the worker, which keeps its lease.
  await until('the running task has ended', () => existsSync(mark));
  for (let n = 0; n < 5; n++) assert.is((await submits(mesh)).status, 507);
  assert.is((await mesh.job(done.jobId)).state, 'completed');
  assert.is((await mesh.outputOf(done.jobId, 'out.txt')).toString(), 'before\n');
  assert.is((await mesh.task(running.jobId)).state, 'running');
  assert.equal((await mesh.members()).map(({ name, state }) => `${name} ${state}`).sort(), [
    'gw alive',
    'worker alive',
  ]);
  assert.is((await mesh.request('GET', '/healthz')).status, 200);

  disk.free();
  const after = await until('a submission is taken again', async () => {
    const answer = await submits(mesh);
    return answer.status === 201 ? answer.jobId : undefined;
  });
  for (const jobId of [...acknowledged, after, running.jobId]) {
    assert.is((await mesh.untilEnded(jobId)).state, 'completed', jobId);
  }
  assert.is((await mesh.outputOf(running.jobId, 'out.txt')).toString(), 'through\n');
  assert.is((await mesh.task(running.jobId)).attempts.length, 1);
  assert.is(gateway.pid, pid, 'it was never started anew');

  // A power cut on a full disk: it says so and ends, or starts; with room it is as it was.
  disk.fill();
  await gateway.kill();
  const args = ['up', '--data', gateway.folder];
  gateway.launch({}, args);
  if (await gateway.readyOrEnded()) await gateway.kill();
  else
    judgeFailure(
      'a start',
      { code: (await gateway.ended()).code, out: '', err: `${gateway.words()}\n` },
      7,
      /make room/i,
    );
  disk.free();
  await gateway.start({}, args);
  for (const jobId of [done.jobId, ...acknowledged, after]) assert.is((await mesh.job(jobId)).state, 'completed');
  assert.is((await mesh.outputOf(running.jobId, 'out.txt')).toString(), 'through\n');
});

test('a worker’s disk is filled by a task: that task fails by itself, the others and the worker go on', async () => {
  await using mesh = new Mesh();
  await mesh.up({ roles: 'gateway,voter' });
  using disk = new SmallDisk(join(mesh.folder, 'worker'), 48);
  const worker = await mesh.join('worker', { slots: 1 });
  const { pid } = worker;
  // What it could write it may publish; what it could not is its own failure, as on any full disk.
  const greedy = await mesh.shell('dd if=/dev/zero of=large.bin bs=1M count=200; echo "dd $?"; exit 3');
  const ended = await mesh.untilEnded(greedy.jobId, 60_000);
  assert.is(ended.state, 'failed');
  const [attempt] = (await mesh.task(greedy.jobId)).attempts;
  assert.ok(
    attempt?.exit?.code === 3 || /room|disk/.test(`${attempt?.exit?.reason} ${ended.failures?.[0]?.reason}`),
    JSON.stringify(attempt),
  );
  // Its log says what happened, where that could be kept.
  const next = await mesh.shell('echo fine > out.txt');
  assert.is(
    (await mesh.untilEnded(next.jobId, 60_000)).state,
    'completed',
    JSON.stringify([await mesh.task(next.jobId), await mesh.task(greedy.jobId)]),
  );
  assert.is((await mesh.outputOf(next.jobId, 'out.txt')).toString(), 'fine\n');
  // Full from outside: tasks wait for room and go on with it, and the worker keeps its lease.
  disk.fill();
  const waiting = await mesh.shell('head -c 100000 /dev/zero > out.bin');
  await mesh.untilTask(waiting.jobId, 1, 'is with the worker', ({ state }) => state !== 'queued');
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  assert.equal((await mesh.members()).map(({ name, state }) => `${name} ${state}`).sort(), [
    'gw alive',
    'worker alive',
  ]);
  disk.free();
  const view = await mesh.untilEnded(waiting.jobId, 60_000);
  assert.ok(['completed', 'failed'].includes(view.state), view.state);
  const last = await mesh.shell('head -c 100000 /dev/zero > out.bin');
  assert.is((await mesh.untilEnded(last.jobId, 60_000)).state, 'completed');
  assert.is(worker.pid, pid);
});

test('the user’s disk is full while results come: the job is told, the results stay on the mesh, and come with room', async () => {
  await using mesh = new Mesh();
  await mesh.up();
  const cli = new Cli(mesh.folder);
  using disk = new SmallDisk(join(mesh.folder, 'here'), 8);
  writeFileSync(join(disk.path, 'make.sh'), 'head -c 3000000 /dev/urandom > result.bin; cksum < result.bin\n');
  disk.fill();
  const said = await cli.run(['run', 'make.sh'], { cwd: disk.path });
  assert.is(said.code, 125, said.err);
  assert.match(said.err, /skein: [^\n]*(disk is full|no space|no room)[^\n]*\n/i);
  assert.not.match(said.err, /\n\s+at |met a bug/);
  disk.free();
  const fetched = await cli.run(['outputs', 'get', '@last'], { cwd: disk.path });
  assert.is(fetched.code, 0, fetched.err);
  assert.is(readFileSync(join(disk.path, 'result.bin')).length, 3_000_000);
});

run.run();
