// A gateway that is away for longer than a lease: attempts stand still, and go on when it is back.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Mesh, until } from '../../support/mesh.ts';

const LEASE_MS = 15_000;

test('a gateway away for longer than a lease, killed or stopped, costs time and nothing else', async () => {
  await using mesh = new Mesh();
  const gateway = await mesh.up({ roles: 'gateway,voter' });
  const worker = await mesh.join('w', { slots: 1 });
  const ticks = join(mesh.folder, 'ticks');
  const { jobId } = await mesh.shell(
    `while [ ! -e ${mesh.folder}/go ]; do echo x >> ${ticks}; sleep 0.1; done; echo done`,
  );
  const count = (): number => (existsSync(ticks) ? readFileSync(ticks).length : 0);
  await until('the script ticks', () => count() > 5);

  /** It runs on for most of the lease, then stands still for as long as nobody answers. */
  async function freezes(awaySince: number): Promise<number> {
    let seen = count();
    let changedAt = performance.now();
    await until('the script is frozen', () => {
      const now = count();
      if (now !== seen) changedAt = performance.now();
      seen = now;
      return performance.now() - changedAt > 1_500;
    });
    const ranMs = changedAt - awaySince;
    assert.ok(ranMs > 0.4 * LEASE_MS && ranMs < 0.9 * LEASE_MS, `frozen after ${ranMs} ms`);
    await until('the lease is over', () => performance.now() - awaySince > LEASE_MS + 3_000);
    assert.is(count(), seen, 'frozen is frozen');
    return seen;
  }

  const killedAt = performance.now();
  await gateway.kill();
  const first = await freezes(killedAt);
  await gateway.start();
  await until('it goes on', () => count() > first);

  const stoppedAt = performance.now();
  gateway.signal('SIGSTOP');
  const second = await freezes(stoppedAt);
  gateway.signal('SIGCONT');
  await until('it goes on', () => count() > second);

  writeFileSync(join(mesh.folder, 'go'), '');
  assert.is((await mesh.untilEnded(jobId)).state, 'completed');
  assert.is((await mesh.task(jobId)).attempts.length, 1);
  assert.is((await mesh.logOf(jobId)).toString(), 'done\n');
  assert.is(worker.says('declared dead'), false);
});

test.run();
