// The mesh that a command speaks to: found, and on `local` started where it does not run yet.
import { dirname } from 'node:path';
import type { SkeinClient } from '../../gateway/client/client.ts';
import { type Config, type Flags, loadConfig } from '../config/config.ts';
import { type Connection, findConnection, type Gateway, parseGateway, readKey } from '../config/connection.ts';
import type { Call } from './call.ts';
import { sayIfSlow } from './say-if-slow.ts';

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
 * Which mesh, and with which key; nothing heavy is loaded and nothing started for it. Says so where none is configured.
 * Fails with `unreachable`, `forbidden`, `unauthenticated`, `not-found`, `config-invalid`.
 */
export async function findMesh(call: Call, config: Config): Promise<Connection> {
  const connection = await findConnection(config, call.world.surroundings);
  const runs = call.verb === 'run' || call.verb === 'retry';
  if (connection.kind === 'local' && runs && config.connection.mesh === undefined) {
    await call.screen.say('no mesh configured; running here (skein up makes this machine a mesh)');
  }
  return connection;
}

/** Starts `local` where that is meant. Fails with `unreachable`. */
export async function connect(call: Call, connection: Connection): Promise<Mesh> {
  const { clock, surroundings } = call.world;
  const { SkeinClient } = await import('../../gateway/client/client.ts');
  if (connection.kind === 'gateway') {
    const { dataFolder, meshName: name, gateways, keyFile, key } = connection;
    return { client: new SkeinClient({ gateways, key, clock }), isLocal: false, dataFolder, name, gateways, keyFile };
  }
  const { ensureLocalMesh } = await import('../embedded.ts');
  const { url, keyFile } = await ensureLocalMesh(surroundings, clock);
  const gateways = [parseGateway(url)];
  const client = new SkeinClient({ gateways, key: await readKey(keyFile), clock });
  return { client, isLocal: true, dataFolder: dirname(keyFile), name: 'local', gateways, keyFile };
}

/** @param read the configuration, where the verb has read it for more than the connection. Fails as both above. */
export async function openMesh(call: Call, read?: Config): Promise<Mesh> {
  const config = read ?? (await loadConfig(connectionFlags(call), call.world.surroundings));
  const connection = await findMesh(call, config);
  const sentence = connection.kind === 'local' ? 'starting the mesh local' : 'reaching the gateway';
  return sayIfSlow(call, sentence, connect(call, connection));
}

/** A verb's own flags may be named like settings of a job and mean something else. */
const connectionFlags = ({ flags: { gateway, mesh, keyFile } }: Call): Flags => ({ gateway, mesh, keyFile });
