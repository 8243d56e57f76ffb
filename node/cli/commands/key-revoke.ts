// `skein key revoke ID`: ends a key at once.
import type { Call, Command } from '../call.ts';
import { confirm } from '../confirm.ts';
import { openMesh } from '../mesh.ts';
import { show } from '../show.ts';

export const command: Command = async (call: Call) => {
  const [key = ''] = call.args;
  await confirm(`revoke the key ${key}? Who uses it is out at once.`, call);
  const { client } = await openMesh(call);
  const view = await client.revokeKey(key);
  await show(call, { document: view, text: () => view.id });
  return 0;
};
