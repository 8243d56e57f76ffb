// `skein run -n`: what would be sent, with the argument that named each, and the job's spec; nothing is sent.
import type { Config } from '../../config/config.ts';
import { formatSize } from '../../config/units.ts';
import type { Call } from '../call.ts';
import { formatTable } from '../output/table.ts';
import type { FileRequest } from './job-file.ts';
import { prepare } from './prepare.ts';

export async function dryRun(call: Call, config: Config, request: FileRequest): Promise<number> {
  const isLocal = config.connection.mesh === 'local';
  const { plan, stdin } = await prepare(call, config, request, { isLocal, signal: new AbortController().signal });
  stdin?.dispose();
  if (call.flags.json === true) {
    const uploads = plan.taken.map((each) => ({ path: each.path, kind: each.kind, because: each.because }));
    await call.screen.answer(
      JSON.stringify({ schema: 'skein.dryrun/1', tasks: plan.taskCount, uploads, estimate: null, spec: plan.spec }),
    );
    return 0;
  }
  const rows = plan.taken.map((each) => [
    each.path,
    each.kind === 'file' ? formatSize(each.sizeBytes) : each.kind,
    each.because,
  ]);
  await call.screen.say(
    `${plan.taskCount === 1 ? 'one task' : `${plan.taskCount} tasks`}, ${plan.starter}; nothing was sent`,
  );
  await call.screen.answer(
    formatTable({ header: ['TAKES ALONG', 'SIZE', 'BECAUSE OF'], rows }, call.world.stdout.columns),
  );
  return 0;
}
