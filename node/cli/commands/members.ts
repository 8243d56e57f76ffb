// `skein members`: as the log has them.
import type { Call, Command } from '../call.ts';
import { openMesh } from '../mesh.ts';
import { formatTime } from '../output/instant.ts';
import { formatTable } from '../output/table.ts';
import { show } from '../show.ts';

export const command: Command = async (call: Call) => {
  const { client } = await openMesh(call);
  const members = await client.members();
  await show(call, {
    document: members,
    text: () => {
      const now = call.world.clock.now();
      const rows = members.items.map((each) => [
        each.name,
        each.state,
        each.roles.join(','),
        String(each.incarnation),
        formatTime(each.joinedAt, now),
        each.peerId,
      ]);
      return formatTable(
        { header: ['NAME', 'STATE', 'ROLES', 'LIFE', 'JOINED', 'PEER'], rows },
        call.world.stdout.columns,
      );
    },
  });
  return 0;
};
