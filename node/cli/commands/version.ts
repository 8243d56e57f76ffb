// `skein version`: of this program, and of the gateway where one is configured and answers.
import { loadConfig } from '../../config/config.ts';
import { findConnection } from '../../config/connection.ts';
import type { Call, Command } from '../call.ts';
import { show } from '../show.ts';
import { ownVersion } from '../version.ts';

const LIMIT_MS = 3000;

export const command: Command = async (call: Call) => {
  const cli = ownVersion();
  const gateway = await gatewayVersion(call);
  await show(call, {
    document: { schema: 'skein.version/1', cli, gateway, node: process.versions.node },
    text: () =>
      [`skein ${cli}`, ...(gateway === null ? [] : [`gateway ${gateway}`]), `node ${process.versions.node}`].join('\n'),
  });
  return 0;
};

async function gatewayVersion(call: Call): Promise<string | null> {
  try {
    const connection = await findConnection(
      await loadConfig(call.flags, call.world.surroundings),
      call.world.surroundings,
    );
    if (connection.kind === 'local') return null;
    const { SkeinClient } = await import('../../../gateway/client/client.ts');
    const client = new SkeinClient({ gateways: connection.gateways, key: connection.key, clock: call.world.clock });
    await client.whoami(AbortSignal.timeout(LIMIT_MS));
    return client.gatewayVersion;
  } catch {
    // The question is for this program's version; a mesh that does not answer has none to tell.
    return null;
  }
}
