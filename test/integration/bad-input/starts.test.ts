// Nodes that must not start, or start otherwise than asked, beyond what start.test.ts has: node.yaml, default ports, a folder of a
// newer version, two at once, tickets of another mesh and of a gateway that is down, signals below a launcher, down.
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { basename, join } from 'node:path';
import { Level } from 'level';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { encodeRecord } from '../../../node/storage/record.ts';
import { Cli, judgeFailure, type Said } from '../../support/cli.ts';
import { freePort, Mesh, type MeshNode, until } from '../../support/mesh.ts';

const CLI_ENTRY = join(import.meta.dirname, '../../../node/cli/cli.ts');

async function failing(node: MeshNode, args: readonly string[] = node.args): Promise<Said> {
  node.launch({}, args);
  const { code } = await node.ended();
  return { code, out: '', err: lastWords(node) };
}

/** What takes long says so, before it fails. */
const lastWords = (node: MeshNode): string => `${node.words().replaceAll(/^skein: still starting.*\n/gm, '')}\n`;

async function fails(node: MeshNode, code: number, says: RegExp, args?: readonly string[]): Promise<void> {
  judgeFailure(`${node.name} ${(args ?? node.args).join(' ')}`, await failing(node, args), code, says);
}

const listening = (port: number): Promise<Server | undefined> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => resolve(server));
  });

test('a node’s file and flags: file, line, key and what was expected', async () => {
  await using mesh = new Mesh();
  const files: readonly (readonly [text: string, says: RegExp])[] = [
    ['slots: 0\n', /node\.yaml:1:1 slots: 0 is not a whole number from 1 to 512/],
    ['# here\nfrob: 1\n', /node\.yaml:2:1 frob: expected one of http, listen, /],
    ['http: [1]\n', /node\.yaml:1:1 http: \[1\] is not HOST:PORT/],
    ['http: 127.0.0.1:99999\n', /node\.yaml:1:1 http: "127\.0\.0\.1:99999" is not HOST:PORT/],
    ['roles: king\n', /node\.yaml:1:1 roles: "king" is not some of worker, gateway, voter/],
    ['insecure-http: maybe\n', /node\.yaml:1:1 insecure-http: "maybe" is not true or false/],
    ['a: [\n', /node\.yaml:2:1: /],
  ];
  const free = ['--http', '127.0.0.1:0', '--listen', '127.0.0.1:0'];
  const flags: readonly (readonly [args: readonly string[], code: number, says: RegExp])[] = [
    [['--slots', 'x'], 2, /--slots: "x" is not a whole number/],
    [['--drain-deadline', 'soon'], 2, /--drain-deadline: "soon" is not a duration such as 30s/],
    [['--announce', 'junk'], 2, /--announce junk: neither HOST:PORT nor a multiaddr/],
    [['--config', '/nope.yaml'], 3, /no such file: \/nope\.yaml/],
    [['--tls-cert', 'x'], 2, /a certificate needs its key; give both/],
    [[...free, '--tls-cert', '/nope', '--tls-key', '/nope'], 3, /there is no file \/nope/],
    [['--listen', '127.0.0.1:0', '--http', '192.0.2.1:7070'], 2, /cannot listen on 192\.0\.2\.1:7070/],
  ];
  const work = [
    ...files.map(([text, says], at) => async (): Promise<void> => {
      const own = mesh.node(`file-${at}`, ['up', ...free]);
      writeFileSync(join(own.folder, 'node.yaml'), text);
      await fails(own, 2, says, ['up', '--data', own.folder]);
    }),
    ...flags.map(
      ([args, code, says], at) =>
        (): Promise<void> =>
          fails(mesh.node(`flag-${at}`, ['up', ...args]), code, says),
    ),
    ...['/dev/null', '/proc/nope'].map((folder) => async (): Promise<void> => {
      const own = mesh.node(`place-${basename(folder)}`, []);
      judgeFailure(folder, await failing(own, ['up', ...free, '--data', folder]), 4, new RegExp(folder));
    }),
  ];
  const lane = async (): Promise<void> => {
    for (let next = work.shift(); next !== undefined; next = work.shift()) await next();
  };
  await Promise.all([lane(), lane(), lane()]);
  // A folder is none the worse for a start that failed.
  const node = mesh.nodes[0] as MeshNode;
  writeFileSync(join(node.folder, 'node.yaml'), '');
  await node.start({}, ['up', ...free, '--data', node.folder]);
});

test('default ports that are taken: the next free ones, kept for the next start', async () => {
  await using mesh = new Mesh();
  // Whoever has them, they are taken.
  const taken = [await listening(7070), await listening(7071)];
  try {
    const node = mesh.node('gw', ['up', '--roles', 'gateway,voter']);
    const first = await node.start();
    const port = Number(new URL(first.url ?? '').port);
    assert.ok(port > 7070 && port < 7200, first.url ?? '');
    assert.not.match(first.addresses.join(), /\/tcp\/7071(\/|$)/);
    await node.kill();
    const again = await node.start();
    assert.equal([again.url, again.addresses], [first.url, first.addresses]);
  } finally {
    for (const server of taken) server?.close();
  }
});

test('a data folder of a newer version is left alone', async () => {
  await using mesh = new Mesh();
  const node = await mesh.up({ roles: 'gateway,voter' });
  node.signal('SIGTERM');
  assert.equal(await node.ended(), { code: 0, signal: null });
  const folder = join(node.folder, 'log');
  const key = Buffer.from('m/layout');
  const put = async (value: Buffer): Promise<Buffer> => {
    const db = new Level<Buffer, Buffer>(folder, { keyEncoding: 'buffer', valueEncoding: 'buffer' });
    const before = await db.get(key);
    await db.put(key, value, { sync: true });
    await db.close();
    return before as Buffer;
  };
  const before = await put(encodeRecord(key, JSON.stringify({ version: 99 })));
  await fails(node, 5, /has layout 99; this version knows 1; start it with the version of skein that wrote it/);
  await put(before);
  await node.start();
});

test('two starts on one folder at once: one runs, the other says who has it', async () => {
  await using mesh = new Mesh();
  const first = mesh.node('one', ['up', '--http', '127.0.0.1:0', '--listen', '127.0.0.1:0']);
  const second = mesh.node('two', ['up', '--http', '127.0.0.1:0', '--listen', '127.0.0.1:0'], first.folder);
  first.launch();
  second.launch();
  const ready = await Promise.all([first.readyOrEnded(), second.readyOrEnded()]);
  assert.is(ready.filter((is) => is).length, 1, `${first.words()}\n${second.words()}`);
  const loser = ready[0] ? second : first;
  const said = { code: (await loser.ended()).code, out: '', err: lastWords(loser) };
  judgeFailure('the later one', said, 5, /in use by another node; stop that node with `skein down`, or give/i);
});

test('tickets of another mesh, of a gateway that is down, and with an address that is none', async () => {
  await using mesh = new Mesh();
  await using other = new Mesh();
  const gateway = await mesh.up({ roles: 'gateway,voter' });
  await other.up({ roles: 'gateway,voter' });
  const ticket = await mesh.ticket();
  const member = await mesh.join('member');
  await member.kill();
  const foreign = await other.ticket();
  const at = ['--data', member.folder];
  await fails(member, 5, /another mesh/, ['join', foreign, ...at]);
  await gateway.kill();
  const late = mesh.node('late', ['join', ticket]);
  const startedAt = performance.now();
  await fails(late, 6, /gateway.*(answer|reach)|reach|answer/);
  assert.ok(performance.now() - startedAt < 60_000);
  await gateway.start();
  // Neither has spent the ticket or spoilt a folder.
  await late.start();
  await member.start({}, ['up', ...at]);
  const states = (await mesh.members()).map(({ name, state }) => `${name} ${state}`).sort();
  assert.equal(states, ['gw alive', 'late alive', 'member alive']);
});

test('down stops the node of this user; there is none to stop twice', async () => {
  await using mesh = new Mesh();
  const node = await mesh.up();
  const cli = new Cli(mesh.folder);
  const { code, err } = await cli.run(['down', '--yes', '--data', node.folder]);
  assert.is(code, 0, err);
  assert.equal(await node.ended(), { code: 0, signal: null });
  await cli.fails(['down', '--yes', '--data', node.folder], 3, /no node of this user runs in /);
  await cli.fails(['down', '--yes'], 3, /no node of this user runs/);
});

test('below a launcher that holds a pipe to it, a node ends when it is told to, and when the launcher dies', async () => {
  await using mesh = new Mesh();
  const node = mesh.node('gw', ['up', '--http', '127.0.0.1:0', '--listen', `127.0.0.1:${await freePort()}`]);
  for (const how of ['SIGTERM', 'pipe'] as const) {
    const child = spawn(process.execPath, [CLI_ENTRY, ...node.args, '--ready-fd', '3'], {
      env: {
        PATH: process.env.PATH,
        HOME: mesh.folder,
        XDG_STATE_HOME: mesh.folder,
        SKEIN_LAUNCHER: `${process.pid}:4`,
      },
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
    });
    let [ready, ended] = ['', false];
    child.stdio[3]?.on('data', (chunk: Buffer) => {
      ready += chunk.toString();
    });
    child.once('exit', () => {
      ended = true;
    });
    await until('it is ready', () => ready.includes('\n'));
    if (how === 'SIGTERM') child.kill('SIGTERM');
    else child.stdio[4]?.destroy();
    await until(`it has ended by ${how}`, () => ended, {
      withinMs: 15_000,
      seen: () => readFileSync(join(node.folder, 'node.log'), 'utf8'),
    });
    assert.is(child.exitCode, 0);
  }
});

test.run();
