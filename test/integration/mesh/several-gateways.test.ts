// A mesh of three gateways that vote, as real processes: it survives the loss of any of them with nothing acknowledged lost.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Mesh, type MeshNode, until } from '../../support/mesh.ts';

const TASKS = 24;

async function ask(mesh: Mesh, node: MeshNode, path: string, init: RequestInit = {}): Promise<Response> {
  const headers = { authorization: `Bearer ${mesh.key}`, 'content-type': 'application/json', ...init.headers };
  return fetch(`${node.ready.url}${path}`, { ...init, headers, signal: AbortSignal.timeout(20_000) });
}

/** As a client does: until it is answered, always under the same key. */
async function submit(mesh: Mesh, node: MeshNode, spec: object): Promise<string> {
  const init = {
    method: 'POST',
    body: JSON.stringify({ schema: 'skein.jobspec/1', ...spec }),
    headers: { 'idempotency-key': crypto.randomUUID() },
  };
  const answer = await until(
    'the job is taken',
    async () => {
      const answer = await ask(mesh, node, '/v1/jobs', init);
      return answer.status < 500 && answer;
    },
    { seen: () => node.words() },
  );
  assert.is(answer.status, 201);
  return ((await answer.json()) as { jobId: string }).jobId;
}

async function ended(mesh: Mesh, node: MeshNode, jobId: string): Promise<string> {
  return until(
    `${jobId} has ended`,
    async () => {
      const answer = await ask(mesh, node, `/v1/jobs/${jobId}`);
      const { state } = (await answer.json()) as { state: string };
      return answer.ok && state !== 'queued' && state !== 'running' && state;
    },
    { withinMs: 90_000 },
  );
}

async function voters(mesh: Mesh, node: MeshNode): Promise<{ total: number; healthy: number; leader: string }> {
  const { voters, leader } = (await (await ask(mesh, node, '/v1/peers')).json()) as {
    voters: { total: number; healthy: number };
    leader: string;
  };
  return { ...voters, leader };
}

async function three(mesh: Mesh): Promise<[MeshNode, MeshNode, MeshNode]> {
  const a = await mesh.up({ slots: 1 });
  const b = await mesh.joinGateway('b');
  const c = await mesh.joinGateway('c');
  await until('three vote', async () => (await voters(mesh, a)).healthy === 3);
  return [a, b, c];
}

const sleeper = { command: ['sh', '-c', 'sleep 0.4; echo task'], items: { range: { from: 1, to: TASKS } } };

test('the leader is killed in the middle of a job that came by another gateway: every result is there', async () => {
  await using mesh = new Mesh();
  const [a, b, c] = await three(mesh);
  assert.is((await voters(mesh, b)).leader, a.ready.peerId);
  const jobId = await submit(mesh, b, sleeper);
  await until('some have ended', async () => {
    const { tasks } = (await (await ask(mesh, b, `/v1/jobs/${jobId}`)).json()) as { tasks: { completed: number } };
    return tasks.completed >= 4;
  });
  await a.killAll();
  const later = await submit(mesh, c, { command: ['sh', '-c', 'echo later'] });
  assert.is(await ended(mesh, b, later), 'completed');
  assert.is(await ended(mesh, b, jobId), 'completed');
  for (const node of [b, c]) {
    for (let task = 1; task <= TASKS; task++) {
      const log = await ask(mesh, node, `/v1/jobs/${jobId}/tasks/${task}/logs`);
      assert.is(log.status, 200, `${node.name}: the output of task ${task}`);
      assert.match(await log.text(), /^task\n$/);
    }
  }
  await a.start();
  await until(
    'it follows again',
    async () => (await voters(mesh, b)).healthy === 3 || (await voters(mesh, c)).healthy === 3,
  );
  assert.is((await ask(mesh, a, `/v1/jobs/${later}`)).status, 200);
});

test('two of three gone: whoever asks the third is told so at once; with one back all goes on', async () => {
  await using mesh = new Mesh();
  const [a, b, c] = await three(mesh);
  await Promise.all([a.killAll(), b.killAll()]);
  await until('it knows of no quorum', async () => (await ask(mesh, c, '/v1/jobs')).status === 503);
  const startedAt = performance.now();
  const refused = await ask(mesh, c, '/v1/jobs', {
    method: 'POST',
    body: JSON.stringify({ schema: 'skein.jobspec/1', command: ['true'] }),
    headers: { 'idempotency-key': 'one' },
  });
  assert.is(refused.status, 503);
  assert.ok(performance.now() - startedAt < 1_000, 'at once');
  assert.ok(Number(refused.headers.get('retry-after')) >= 1);
  assert.match(await refused.text(), 'no-quorum');
  assert.is((await ask(mesh, c, '/v1/jobs?consistency=stale')).status, 200);
  await b.start();
  assert.is(await ended(mesh, b, await submit(mesh, c, { command: ['true'] })), 'completed');
});

test.run();
