// The mesh that a command speaks to: found, and on `local` started where it does not run yet.
import type { SkeinClient } from '../../gateway/client/client.ts';
import { type Config, type Flags, loadConfig } from '../config/config.ts';
import { findConnection, type Gateway, parseGateway, readKey } from '../config/connection.ts';
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
  readonly name: string | null;
  readonly gateways: readonly Gateway[];
  /** Where the key in use lies, or null where SKEIN_KEY said it. */
  readonly keyFile: string | null;
}

/**
 * Fails with `unreachable`, `forbidden`, `unauthenticated`, `not-found`, `config-invalid`.
 * @param read the configuration, where the verb has read it for more than the connection.
 */
export async function openMesh(call: Call, read?: Config): Promise<Mesh> {
  const config = read ?? (await loadConfig(connectionFlags(call), call.world.surroundings));
  const connection = await findConnection(config, call.world.surroundings);
  const { clock } = call.world;
  if (connection.kind === 'local') {
    if (config.connection.mesh === undefined && !isSet(call, 'json')) await tellLocal(call);
    const { ensureLocalMesh } = await import('../embedded.ts');
    const { url, keyFile } = await ensureLocalMesh(call.world.surroundings, clock);
    const { SkeinClient } = await import('../../gateway/client/client.ts');
    const gateways = [parseGateway(url)];
    const client = new SkeinClient({ gateways, key: await readKey(keyFile), clock });
    return { client, isLocal: true, dataFolder: null, name: 'local', gateways, keyFile };
  }
  const { SkeinClient } = await import('../../gateway/client/client.ts');
  const client = new SkeinClient({ gateways: connection.gateways, key: connection.key, clock });
  const { dataFolder, meshName: name, gateways, keyFile } = connection;
  return { client, isLocal: false, dataFolder, name, gateways, keyFile };
}

function tellLocal(call: Call): Promise<void> {
  const runs = call.verb === 'run' || call.verb === 'retry';
  return call.screen.say(
    `no mesh configured; ${runs ? 'running here' : 'this is the mesh local'} (skein up makes this machine a mesh)`,
  );
}

/** A verb's own flags may be named like settings of a job and mean something else. */
const connectionFlags = ({ flags: { gateway, mesh, keyFile } }: Call): Flags => ({ gateway, mesh, keyFile });
