// kill -9 of a gateway at every point that it names. Whatever was acknowledged ends once.
import { test } from 'uvu';
import { killAtEach } from '../../support/kill-points.ts';
import { Mesh } from '../../support/mesh.ts';

test('a gateway that is its own worker may be killed at each of its points', async () => {
  await using mesh = new Mesh();
  await mesh.up({ slots: 2 });
  await killAtEach(mesh, mesh.gateway, [
    'log.append.before-sync',
    'log.append.after-sync',
    'log.vote.before-sync',
    'log.rows.before-sync',
    'storage.witness.before',
    'log.commit.before',
    'log.apply.after',
    'log.answer.before',
    'blob.fsync.before',
    'blob.rename.before',
    'blob.rename.after',
    'blob.folder.after',
  ]);
});

test.run();
