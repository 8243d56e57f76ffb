// A mesh that works while rubbish comes in on its mesh port and while the wall clocks of its machines jump.
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Mesh, until } from '../../support/mesh.ts';

const HOUR_MS = 3_600_000;
const CLOCK = join(import.meta.dirname, '../../support/jumping-clock.ts');

const NOISE = '\x13/multistream/1.0.0\n\x07/noise\n';
const RUBBISH: readonly Uint8Array[] = [
  randomBytes(200_000),
  Buffer.from('GET / HTTP/1.1\r\nhost: x\r\n\r\n'),
  new Uint8Array(1_000_000),
  Buffer.from(NOISE.slice(0, 11)),
  Buffer.from(NOISE),
  // A handshake's message that says it is as long as it can be, and then is not.
  Buffer.concat([Buffer.from(NOISE), Buffer.from([0xff, 0xff]), randomBytes(30_000)]),
  Buffer.concat([Buffer.from(NOISE), Buffer.from([0, 32]), randomBytes(32)]),
  Buffer.alloc(1_000, 0xff),
];

test('garbage, half handshakes and 300 connections on the mesh port: tasks run, reports come, workers get in', async () => {
  await using mesh = new Mesh();
  const gateway = await mesh.up({ roles: 'gateway,voter' });
  await mesh.join('worker');
  const port = Number(/\/tcp\/(\d+)/.exec(gateway.ready.addresses[0] ?? '')?.[1]);
  const sockets: Socket[] = [];
  const send = (bytes: Uint8Array): void => {
    const socket = connect(port, '127.0.0.1');
    // Being cut off is what such a connection is owed.
    socket.on('error', () => undefined);
    socket.resume();
    if (bytes.length > 0) socket.write(bytes);
    sockets.push(socket);
  };
  try {
    for (let n = 0; n < 300; n++) send(n < 80 ? (RUBBISH[n % RUBBISH.length] as Uint8Array) : new Uint8Array());
    const jobs = await Promise.all(
      Array.from({ length: 10 }, (_, n) => mesh.shell(`head -c 100000 /dev/urandom > out.bin; echo ${n}`)),
    );
    await mesh.join('late');
    for (const { jobId } of jobs) {
      assert.is((await mesh.untilEnded(jobId)).state, 'completed');
      assert.is((await mesh.task(jobId)).attempts.length, 1);
      assert.is((await mesh.outputOf(jobId, 'out.bin')).length, 100_000);
    }
    await until('all of them are cut off', () => sockets.every((socket) => socket.closed), {
      seen: () => sockets.filter((socket) => !socket.closed).length,
    });
  } finally {
    for (const socket of sockets) socket.destroy();
  }
  const states = (await mesh.members()).map(({ name, state }) => `${name} ${state}`).sort();
  assert.equal(states, ['gw alive', 'late alive', 'worker alive']);
});

test('wall clocks that jump by an hour, there and back, cost no task an attempt', async () => {
  await using mesh = new Mesh();
  const offsetFile = (name: string): string => join(mesh.folder, `${name}.offset`);
  const withClock = (name: string) => ({ NODE_OPTIONS: `--import ${CLOCK}`, CLOCK_OFFSET_FILE: offsetFile(name) });
  const jump = (name: string, hours: number): void => writeFileSync(offsetFile(name), String(hours * HOUR_MS));
  jump('gw', 0);
  jump('worker', 0);
  await mesh.up({ roles: 'gateway,voter', env: withClock('gw') });
  await mesh.join('worker', { env: withClock('worker') });
  const slow = await mesh.shell('sleep 8; echo through');
  await mesh.untilTask(slow.jobId, 1, 'runs', ({ state }) => state === 'running');
  for (const [name, hours] of [
    ['worker', 1],
    ['gw', -1],
    ['worker', -1],
    ['gw', 1],
  ] as const) {
    jump(name, hours);
    const { jobId } = await mesh.shell(`echo ${name} ${hours}`);
    assert.is((await mesh.untilEnded(jobId)).state, 'completed');
    assert.is((await mesh.task(jobId)).attempts.length, 1);
  }
  // The jump is really theirs: an hour ahead of this process.
  const answer = await mesh.request('GET', '/v1/jobs?limit=1');
  const [latest] = ((await answer.json()) as { items: { submittedAt: string }[] }).items;
  const { jobId } = await mesh.shell('true');
  assert.ok(Date.parse((await mesh.job(jobId)).submittedAt) - Date.now() > HOUR_MS / 2, latest?.submittedAt);
  // A ticket is judged by the gateway's clock alone, and someone who joins may be hours off.
  jump('late', -1);
  await mesh.join('late', { env: withClock('late') });
  const view = await mesh.untilEnded(slow.jobId);
  assert.equal([view.state, (await mesh.task(slow.jobId)).attempts.length], ['completed', 1]);
  assert.is((await mesh.logOf(slow.jobId)).toString(), 'through\n');
  const states = (await mesh.members()).map(({ name, state }) => `${name} ${state}`).sort();
  assert.equal(states, ['gw alive', 'late alive', 'worker alive']);
});

test.run();
