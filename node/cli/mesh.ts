// The mesh that a command speaks to: found, and on `local` started where it does not run yet.
import type { SkeinClient } from '../../gateway/client/client.ts';
import type { Config } from '../config/config.ts';
import { findConnection, parseGateway, readKey } from '../config/connection.ts';
import { type Call, isSet } from './call.ts';

/** What following and fetching need of the client; tests hand in a mesh of their own. */
export type Jobs = Pick<
  SkeinClient,
  | 'submit'
  | 'job'
  | 'waitFor'
  | 'task'
  | 'tasks'
  | 'events'
  | 'cancel'
  | 'retry'
  | 'followLog'
  | 'readLog'
  | 'outputs'
  | 'readOutput'
  | 'checkBlobs'
  | 'upload'
  | 'readBlob'
>;

export interface Mesh {
  readonly client: SkeinClient;
  readonly isLocal: boolean;
  /** Of a node of this mesh on this machine, or null. */
  readonly dataFolder: string | null;
  /** As the caller named it, for the commands that are told to the user: `--mesh NAME ` or empty. */
  readonly name: string | null;
}

/** Fails with `unreachable`, `forbidden`, `unauthenticated`, `not-found`, `config-invalid`. */
export async function openMesh(call: Call, config: Config): Promise<Mesh> {
  const connection = await findConnection(config, call.world.surroundings);
  const { clock } = call.world;
  if (connection.kind === 'local') {
    if (config.connection.mesh === undefined && !isSet(call, 'json')) await tellLocal(call);
    const { ensureLocalMesh } = await import('../embedded.ts');
    const { url, keyFile } = await ensureLocalMesh(call.world.surroundings, clock);
    const { SkeinClient } = await import('../../gateway/client/client.ts');
    const client = new SkeinClient({ gateways: [parseGateway(url)], key: await readKey(keyFile), clock });
    return { client, isLocal: true, dataFolder: null, name: 'local' };
  }
  const { SkeinClient } = await import('../../gateway/client/client.ts');
  const client = new SkeinClient({ gateways: connection.gateways, key: connection.key, clock });
  return { client, isLocal: false, dataFolder: connection.dataFolder, name: connection.meshName };
}

function tellLocal(call: Call): Promise<void> {
  const runs = call.verb === 'run' || call.verb === 'retry';
  return call.screen.say(
    `no mesh configured; ${runs ? 'running here' : 'this is the mesh local'} (skein up makes this machine a mesh)`,
  );
}
