// kill -9 of a worker, and of a mesh at its first start, at every point that it names. Whatever was acknowledged ends once.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { killAtEach, reached, traceOf } from '../../support/kill-points.ts';
import { Mesh } from '../../support/mesh.ts';
import { Submissions } from '../../support/submissions.ts';

test('a worker may be killed at each of its points', async () => {
  await using mesh = new Mesh();
  await mesh.up({ roles: 'gateway,voter' });
  const worker = await mesh.join('w', { slots: 2 });
  await killAtEach(mesh, worker, [
    'worker.raised',
    'worker.adopted',
    'worker.begin',
    'blob.rename.before',
    'blob.rename.after',
    'result.publish.before',
    'result.publish.after',
    'result.settled',
    'result.discarded',
  ]);
});

test('the first start of a mesh may be killed at each of its points', async () => {
  await using mesh = new Mesh();
  const gateway = await mesh.upLater();
  const first = new Mesh();
  const points = await (async () => {
    await using traced = first;
    await traced.up({ env: { SKEIN_FAULT_TRACE: traceOf(traced) } });
    return [...reached(traced).keys()];
  })();
  for (const name of points) {
    const exit = gateway.launch({ SKEIN_FAULT: name });
    // A point of the first start alone may lie behind it by now.
    if (await gateway.readyOrEnded()) await gateway.kill();
    else assert.equal(await exit, { code: null, signal: 'SIGKILL' }, `${name}: ${gateway.words()}`);
  }
  await gateway.start();
  const submissions = new Submissions(mesh);
  await submissions.submit();
  await submissions.checkAll();
});

test.run();
