// Nodes as processes that are killed, stopped and started again.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { realClock, realRandom } from '../../../node/clock.ts';
import { makePeerKey } from '../../../node/identity/identity.ts';
import { makeVerifier } from '../../../node/identity/signing.ts';
import { type Log, silentLog } from '../../../node/log.ts';
import { Libp2pTransport } from '../../../node/transport/libp2p.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import type { PeerId } from '../../../protocol/ids.ts';
import { everyone, meshId } from './child.ts';

const clock = realClock();
const soon = { timeoutMs: 3000 };
const nothing = new Uint8Array();

interface Child {
  readonly process: ChildProcess;
  readonly peerId: PeerId;
  readonly address: string;
}

async function startChild(folder: string, listen: string): Promise<Child> {
  const script = join(import.meta.dirname, 'child.ts');
  const child = spawn(process.execPath, [script, folder, listen], { stdio: ['pipe', 'pipe', 'inherit'] });
  for await (const line of createInterface({ input: child.stdout })) {
    return { process: child, ...(JSON.parse(line) as { peerId: PeerId; address: string }) };
  }
  throw new Error('the child ended before it said where it is');
}

async function until(what: string, condition: () => boolean | Promise<boolean>, deadlineMs = 15_000): Promise<void> {
  const end = clock.monotonic() + deadlineMs;
  while (!(await condition())) {
    if (clock.monotonic() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await clock.sleep(20);
  }
}

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: unknown) => (error instanceof SkeinError ? error.code : String(error)),
  );

/** A node here that keeps a connection to one in a process of its own. */
async function withChild(
  body: (here: Libp2pTransport, child: Child, again: () => Promise<Child>) => Promise<void>,
  log: Log = silentLog,
) {
  const folder = mkdtempSync(join(tmpdir(), 'skein-transport-'));
  const children: Child[] = [];
  const start = async (listen: string) => {
    const child = await startChild(folder, listen);
    children.push(child);
    return child;
  };
  const random = realRandom();
  const identity = await makePeerKey(random);
  const here = new Libp2pTransport(
    { identity, verifier: makeVerifier(), admission: everyone, clock, random, log },
    { listen: ['/ip4/127.0.0.1/tcp/0'], announce: [], meshId, dialOutOnly: true },
  );
  try {
    await here.start();
    const child = await start('/ip4/127.0.0.1/tcp/0');
    here.keep(child.peerId, [child.address]);
    await until('they are connected', () => here.connected().includes(child.peerId));
    await body(here, child, () => start(child.address.replace(/\/p2p\/.*$/, '')));
  } finally {
    await here.stop();
    for (const { process: child } of children) child.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  }
}

test('after kill -9 calls fail at once, and the node is found again on the address it had, gossip included', () =>
  withChild(async (here, child, again) => {
    let heard = 0;
    here.subscribe('heartbeats', (from) => {
      if (from === child.peerId) heard++;
    });
    await until('it is heard', () => heard > 0);
    const waiting = codeOf(here.call(child.peerId, 'work', 'never', nothing, { timeoutMs: 60_000 }));
    assert.is(await codeOf(here.call(child.peerId, 'work', 'echo', nothing, soon)), 'none');
    const killedAt = clock.monotonic();
    child.process.kill('SIGKILL');
    assert.is(await waiting, 'unreachable');
    assert.ok(clock.monotonic() - killedAt < 2000);
    const second = await again();
    assert.equal([second.peerId, second.address], [child.peerId, child.address]);
    await until(
      'it answers',
      async () => (await codeOf(here.call(child.peerId, 'work', 'echo', nothing, soon))) === 'none',
    );
    heard = 0;
    await until('it is heard again', () => heard > 0);
  }));

test('a stopped node costs a call its deadline and no more; it is back when it goes on, also over a new connection', () =>
  withChild(async (here, child) => {
    child.process.kill('SIGSTOP');
    assert.is(await codeOf(here.call(child.peerId, 'work', 'echo', nothing, { timeoutMs: 300 })), 'no-answer');
    child.process.kill('SIGCONT');
    assert.is(await codeOf(here.call(child.peerId, 'work', 'echo', nothing, soon)), 'none');
    child.process.kill('SIGSTOP');
    const waiting = codeOf(here.call(child.peerId, 'work', 'echo', nothing, { timeoutMs: 60_000 }));
    await here.reconnect(child.peerId);
    assert.is(await waiting, 'unreachable');
    await clock.sleep(3000);
    child.process.kill('SIGCONT');
    await until(
      'it answers',
      async () => (await codeOf(here.call(child.peerId, 'work', 'echo', nothing, soon))) === 'none',
    );
  }));

test('a peer that asks for a gigabyte and reads none of it is hung up on, and others are served meanwhile', () => {
  const dropped: string[] = [];
  const log: Log = { ...silentLog, warn: (_, message) => dropped.push(message ?? '') };
  return withChild(async (here, child) => {
    const chunk = new Uint8Array(1_048_576);
    let asked = 0;
    here.handle('blob', 'chunk', async () => {
      if (++asked === 20) child.process.kill('SIGSTOP');
      return chunk;
    });
    child.process.stdin?.write('more\n');
    await until('its stream is dropped', () => dropped.includes('a stream was dropped'));
    here.handle('work', 'echo', async (_, body) => body);
    assert.is(await codeOf(here.call(here.self, 'work', 'echo', nothing, soon)), 'none');
    child.process.kill('SIGCONT');
    await until(
      'it answers',
      async () => (await codeOf(here.call(child.peerId, 'work', 'echo', nothing, soon))) === 'none',
    );
  }, log);
});

test.run();
