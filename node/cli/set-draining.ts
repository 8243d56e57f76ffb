// Drains a peer or lets it work again, and says which.
import type { Call } from './call.ts';
import { newIdempotencyKey } from './idempotency-key.ts';
import { openMesh } from './mesh.ts';
import { show } from './show.ts';

export async function setDraining(call: Call, draining: boolean): Promise<number> {
  const [peer = ''] = call.args;
  const { client } = await openMesh(call);
  const answer = await client.drain(peer, draining, newIdempotencyKey(call));
  await show(call, { document: answer, text: () => answer.peerId });
  await call.screen.say(
    draining ? `${peer} takes no new tasks (skein undrain ${peer} lets it again)` : `${peer} works again`,
  );
  return 0;
}
