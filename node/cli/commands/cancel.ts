// `skein cancel JOB…`: stops jobs, or JOB/3-9 of their tasks.
import type { CancelRequest } from '../../../protocol/api/job.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import { parseDuration } from '../../config/units.ts';
import { type Call, type Command, flag } from '../call.ts';
import { confirm } from '../confirm.ts';
import { newIdempotencyKey } from '../idempotency-key.ts';
import { openMesh } from '../mesh.ts';
import { select } from '../selector.ts';

export const command: Command = async (call: Call) => {
  const from = call.world.surroundings;
  const selected = await Promise.all((call.args.length === 0 ? [''] : call.args).map((text) => select(text, from)));
  if (selected.length > 1) await confirm(`cancel ${selected.length} jobs?`, call);
  const { client } = await openMesh(call);
  const reason = flag(call, 'reason');
  const grace = flag(call, 'grace');
  const graceMs = grace === undefined ? undefined : /^0+s?$/.test(grace) ? 0 : parseDuration(grace);
  if (grace !== undefined && graceMs === undefined) {
    throw new SkeinError('usage', `--grace ${grace} is no duration`, { fix: 'give one such as 30s, or 0s' });
  }
  const taken = [];
  for (const { job, tasks } of selected) {
    const request: CancelRequest = {
      ...(tasks === undefined ? {} : { tasks }),
      ...(reason === undefined ? {} : { reason }),
      ...(graceMs === undefined ? {} : { graceMs }),
    };
    const accepted = await client.cancel(job, request, newIdempotencyKey(call));
    taken.push(accepted);
    if (call.flags.json !== true) await call.screen.answer(accepted.jobId);
  }
  const [only] = taken;
  const document = taken.length === 1 ? only : { schema: 'skein.acceptedlist/1', items: taken, next: null };
  if (call.flags.json === true) await call.screen.answer(JSON.stringify(document));
  return 0;
};
