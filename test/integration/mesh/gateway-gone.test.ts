// The only gateway is gone: `skein peers` still says who is there, from any machine with a node, and why nothing starts.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PeerList } from '../../../protocol/api/mesh.ts';
import { Cli } from '../../support/cli.ts';
import { freePort, Mesh, until } from '../../support/mesh.ts';

/** name, state, whether it was heard */
const shown = ({ items }: PeerList): readonly string[] =>
  items.map(({ name, state, heartbeatAgeMs }) => `${name} ${state} ${heartbeatAgeMs === null ? 'unheard' : 'heard'}`);

test('after kill -9 of the only gateway, workers that joined without --listen hear each other, and peers says who is gone', async () => {
  await using mesh = new Mesh();
  const gateway = await mesh.up({ roles: 'gateway,voter' });
  for (const name of ['a', 'b', 'c']) await mesh.join(name, { slots: 1 });
  const cli = new Cli(mesh.folder);
  const peers = async (): Promise<PeerList> => {
    const { code, out, err } = await cli.run(['peers', '--json']);
    assert.is(code, 0, err);
    assert.is(err, '');
    return JSON.parse(out) as PeerList;
  };
  let last: PeerList | undefined;
  const sees = (...lines: readonly string[]) =>
    until(
      `peers shows ${lines}`,
      async () => {
        last = await peers();
        return lines.every((line, n) => shown(last as PeerList)[n] === line);
      },
      { seen: () => last },
    );
  await sees('a alive heard', 'b alive heard', 'c alive heard', 'gw alive heard');
  await gateway.kill();
  await sees('a alive heard', 'b alive heard', 'c alive heard', 'gw suspect unheard');
  assert.is(last?.source, 'gossip');
  assert.is(last?.leader, null);
  assert.equal(
    last?.items.map(({ reach }) => reach),
    ['direct', 'direct', 'direct', null],
  );
  const { out } = await cli.run(['peers']);
  assert.match(out, 'gateway gw is not heard');
  // One more is lost, and it was the one that the others were asked by.
  await mesh.nodes.find(({ name }) => name === 'a')?.killAll();
  await sees('a suspect unheard', 'b alive heard', 'c alive heard', 'gw suspect unheard');
  await gateway.start();
  await sees('a suspect unheard', 'b alive heard', 'c alive heard', 'gw alive heard');
  assert.is(last?.leader, gateway.ready.peerId);
});

test('a gateway that comes back on another port is found by its workers, and by one that starts later', async () => {
  await using mesh = new Mesh();
  const gateway = await mesh.up({ roles: 'gateway,voter' });
  const stays = await mesh.join('stays', { slots: 1 });
  const later = await mesh.join('later', { slots: 1 });
  // The gateway has heard both, and noted where.
  const noted = (): string => readFileSync(join(gateway.folder, 'observer.json'), 'utf8');
  await until('both are noted', () => [stays, later].every(({ ready }) => noted().includes(`${ready.addresses[0]}"`)));
  await later.kill();
  await gateway.kill();
  const moved = `127.0.0.1:${await freePort()}`;
  const args = gateway.args.map((arg, n) => (gateway.args[n - 1] === '--listen' ? moved : arg));
  await gateway.start({}, args);
  const first = await mesh.shell('echo found');
  assert.is((await mesh.untilEnded(first.jobId)).state, 'completed');
  await until('the move is noted', () =>
    readFileSync(join(stays.folder, 'observer.json'), 'utf8').includes(moved.slice('127.0.0.1:'.length)),
  );
  // It was away all the time: another worker, or its old port, is where it looks.
  await later.start();
  await stays.kill();
  const second = await mesh.shell('echo found');
  assert.is((await mesh.untilEnded(second.jobId)).state, 'completed');
  assert.is((await mesh.task(second.jobId)).attempts.at(-1)?.peer, 'later');
});

test.run();
