// What a node meets at its start: a folder in use, a taken port, tickets that will not do, a name that is taken, and its own
// addresses after it was killed. Each failure is one line with the contract's exit code, and harms nobody.
import { createServer } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Cli } from '../../support/cli.ts';
import { freePort, Mesh, type MeshNode, until } from '../../support/mesh.ts';

/** @returns what it said last. */
async function fails(node: MeshNode, code: number): Promise<string> {
  node.launch();
  assert.equal(await node.ended(), { code, signal: null }, node.words());
  const [said = '', ...more] = node.words().split('\n');
  assert.ok(said.startsWith('skein: '), said);
  assert.ok(more.length <= 1, `one line, and what to do: ${node.words()}`);
  return node.words();
}

async function works(mesh: Mesh): Promise<void> {
  const { jobId } = await mesh.shell('echo works');
  assert.is((await mesh.untilEnded(jobId)).state, 'completed');
}

test('a data folder that a node uses is refused to another one, within the time its lock is waited for', async () => {
  await using mesh = new Mesh();
  const gateway = await mesh.up();
  const free = ['--http', `127.0.0.1:${await freePort()}`, '--listen', `127.0.0.1:${await freePort()}`];
  const second = mesh.node('second', ['up', ...free], gateway.folder);
  const startedAt = performance.now();
  const said = await fails(second, 5);
  assert.ok(performance.now() - startedAt < 15_000);
  assert.match(said, gateway.folder);
  await works(mesh);
  // The lock is the process's: it goes with it, however that ends.
  await gateway.kill();
  await gateway.start();
  await works(mesh);
});

test('a taken port that was asked for is an error that names it, and leaves the folder usable', async () => {
  await using mesh = new Mesh();
  const server = createServer().listen(0, '127.0.0.1');
  try {
    await until('the port is taken', () => server.listening);
    const taken = (server.address() as { port: number }).port;
    const other = await freePort();
    for (const [http, listen] of [
      [taken, other],
      [other, taken],
    ]) {
      const args = ['up', '--http', `127.0.0.1:${http}`, '--listen', `127.0.0.1:${listen}`];
      const said = await fails(mesh.node('gw', args), 5);
      assert.match(said, new RegExp(`${taken}.*give another one: --(http|listen) HOST:PORT`));
    }
    // What was asked for in vain is not kept: the next start without it takes the default.
    const free = mesh.node('gw', ['up', '--listen', `127.0.0.1:${await freePort()}`]);
    assert.is.not(new URL((await free.start()).url ?? '').port, String(taken));
    free.signal('SIGTERM');
    await free.ended();
    assert.match(free.words(), /skein: stopping\nskein: stopped$/);
    const node = mesh.node('gw', ['up', '--http', `127.0.0.1:${other}`, '--listen', `127.0.0.1:${await freePort()}`]);
    assert.is((await node.start()).url, `http://127.0.0.1:${other}`);
  } finally {
    server.close();
  }
});

test('tickets that are cut, used, expired or too narrow are refused each with its reason', async () => {
  await using mesh = new Mesh();
  await mesh.up({ roles: 'gateway,voter' });
  const expiring = await mesh.ticket({ ttlMs: 1_000 });
  const madeAt = performance.now();
  const used = await mesh.ticket();
  await mesh.node('first', ['join', used]).start();
  assert.match(await fails(mesh.node('late', ['join', used]), 4), 'has been used');
  const whole = await mesh.ticket();
  assert.match(await fails(mesh.node('late', ['join', whole.slice(0, -7)]), 2), 'not a whole ticket');
  assert.match(
    await fails(mesh.node('late', ['join', whole, '--roles', 'worker,gateway']), 2),
    'does not give that role',
  );
  await until('the ticket has expired', () => performance.now() - madeAt > 1_500);
  assert.match(await fails(mesh.node('late', ['join', expiring]), 4), 'has expired');
  // None of this has spent the good one or spoilt the folder.
  await mesh.node('late', ['join', whole]).start();
  const states = (await mesh.members()).map(({ name, state }) => `${name} ${state}`).sort();
  assert.equal(states, ['first alive', 'gw alive', 'late alive']);
});

test('a name that is taken gets a suffix, and a joined folder starts again by itself, whatever ticket is given', async () => {
  await using mesh = new Mesh();
  await mesh.up({ roles: 'gateway,voter' });
  await mesh.join('twin');
  const second = mesh.node('other', ['join', await mesh.ticket(), '--name', 'twin']);
  const { name, peerId } = await second.start();
  assert.match(name, /^twin-/);
  await second.kill();
  const again = await second.start({}, ['up', '--data', second.folder]);
  assert.equal([again.name, again.peerId], [name, peerId]);
  assert.is((await mesh.members()).length, 3);
});

test('after kill -9 a gateway is back on its addresses, also on ports that it was left to choose', async () => {
  await using mesh = new Mesh();
  for (const asked of [
    ['--http', '127.0.0.1:0', '--listen', '127.0.0.1:0'],
    ['--http', `127.0.0.1:${await freePort()}`, '--listen', `127.0.0.1:${await freePort()}`],
  ]) {
    const node = mesh.node(`gw${mesh.nodes.length}`, ['up', ...asked]);
    const first = await node.start();
    for (const args of [node.args, ['up', '--data', node.folder]]) {
      await node.kill();
      const again = await node.start({}, args);
      assert.equal([again.url, again.addresses, again.peerId], [first.url, first.addresses, first.peerId]);
    }
  }
});

test('a node that announces another address comes back on its own port, and is heard there by its own machine', async () => {
  await using mesh = new Mesh();
  const announce = ['--announce', '127.0.0.9:9'];
  const addresses = ['--http', `127.0.0.1:${await freePort()}`, '--listen', '127.0.0.1:0'];
  const node = mesh.node('gw', ['up', ...addresses, ...announce]);
  const { addresses: said } = await node.start();
  assert.match(said.join(), /^\/ip4\/127\.0\.0\.9\/tcp\/9\/p2p\/\w+$/);
  const cli = new Cli(mesh.folder);
  const peers = async (): Promise<string> => {
    const { code, out, err } = await cli.run(['peers', '--json']);
    assert.is(code, 0, err);
    return (JSON.parse(out) as { source: string }).source;
  };
  assert.is(await peers(), 'gossip');
  await node.kill();
  await node.start({}, ['up', '--data', node.folder]);
  assert.is(await peers(), 'gossip');
});

test.run();
