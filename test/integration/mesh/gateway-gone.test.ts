// The only gateway is gone: `skein peers` still says who is there, from any machine with a node, and why nothing starts.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PeerList } from '../../../protocol/api/mesh.ts';
import { Cli } from '../../support/cli.ts';
import { Mesh, until } from '../../support/mesh.ts';

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

test.run();
