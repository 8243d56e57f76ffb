// `skein outputs ls JOB[/TASK]`: the files that it left.
import { matchesGlob } from 'node:path';
import type { OutputEntry } from '../../../protocol/api/job.ts';
import { formatSize } from '../../config/units.ts';
import { type Call, type Command, flag } from '../call.ts';
import { openMesh } from '../mesh.ts';
import { formatTable } from '../output/table.ts';
import { tasksOf } from '../run/tasks-of.ts';
import { select } from '../selector.ts';
import { show } from '../show.ts';

export const command: Command = async (call: Call) => {
  const from = call.world.surroundings;
  const selected = await select(call.args[0] ?? '@last', from);
  const { client } = await openMesh(call);
  const job = await client.job(selected.job);
  const only = flag(call, 'only');
  const items: (OutputEntry & { readonly task: number })[] = [];
  for (const task of tasksOf(selected, job)) {
    const manifest = await client.outputs(job.jobId, task);
    const wanted = manifest.items.filter(({ path }) => only === undefined || matchesGlob(path, only));
    items.push(...wanted.map((entry) => ({ task, ...entry })));
  }
  await show(call, {
    document: { schema: 'skein.outputs/1', jobId: job.jobId, items, next: null },
    text: () => {
      const rows = items.map(({ task, path, kind, bytes, target }) => [
        String(task),
        target === null ? path : `${path} -> ${target}`,
        bytes === null ? kind : call.world.stdout.isTerminal ? formatSize(bytes) : String(bytes),
      ]);
      return formatTable({ header: ['TASK', 'PATH', 'SIZE'], rows }, call.world.stdout.columns);
    },
  });
  return 0;
};
