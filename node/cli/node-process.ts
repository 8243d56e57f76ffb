// A node in the foreground: started by node/main.ts, which answers once it is ready, and ended by its own rules.
import type { NodeOptions } from '../config/node-options.ts';
import { formatDuration } from '../config/units.ts';
import type { Call } from './call.ts';

/** Says what it waits for where that takes long; answers the node's exit code. */
export async function runNode(options: NodeOptions, call: Call): Promise<number> {
  const { clock } = call.world;
  const started = clock.monotonic();
  const patience = new AbortController();
  clock.every(
    5000,
    () =>
      void call.screen.say(
        `still starting, ${formatDuration(clock.monotonic() - started)} so far (${options.dataFolder})`,
      ),
    patience.signal,
  );
  // A node that is only starting need not start again: without a listener the signal would end it.
  process.on('SIGHUP', () => undefined);
  try {
    const { startNode } = await import('../main.ts');
    const node = await startNode(options);
    patience.abort();
    return await node.ended;
  } finally {
    patience.abort();
  }
}
