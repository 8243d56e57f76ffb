// `skein key list`: the keys of the mesh, revoked ones too.
import type { Call, Command } from '../call.ts';
import { openMesh } from '../mesh.ts';
import { formatTime } from '../output/instant.ts';
import { formatTable } from '../output/table.ts';
import { show } from '../show.ts';

export const command: Command = async (call: Call) => {
  const { client } = await openMesh(call);
  const keys = await client.keys();
  await show(call, {
    document: keys,
    text: () => {
      const now = call.world.clock.now();
      const rows = keys.items.map((key) => [
        key.id,
        key.name,
        key.scope,
        formatTime(key.createdAt, now),
        formatTime(key.revokedAt, now),
      ]);
      return formatTable({ header: ['ID', 'NAME', 'SCOPE', 'CREATED', 'REVOKED'], rows }, call.world.stdout.columns);
    },
  });
  return 0;
};
