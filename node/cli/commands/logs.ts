// `skein logs JOB[/TASK]`: what a task wrote, its stdout on stdout and its stderr on stderr, byte for byte.
import { SkeinError } from '../../../protocol/errors.ts';
import { type Call, type Command, flag, isSet } from '../call.ts';
import { openMesh } from '../mesh.ts';
import { type LogRequest, showLogs } from '../run/show-logs.ts';
import { select } from '../selector.ts';

export const command: Command = async (call: Call) => {
  const from = call.world.surroundings;
  const selected = await select(call.args[0] ?? '@last', from);
  const request = requestOf(call);
  const { client } = await openMesh(call);
  const job = await client.job(selected.job);
  const { from: first, to: last } = selected.tasks ?? { from: 1, to: job.tasks.total };
  const quit = new AbortController();
  const off = call.world.onSignal(['SIGINT', 'SIGTERM', 'SIGHUP'], () => quit.abort());
  try {
    for (let task = first; task <= last && !quit.signal.aborted; task += 1) {
      await showLogs(
        call,
        client,
        { ...request, jobId: job.jobId, task, prefix: request.prefix || first !== last },
        quit.signal,
      );
    }
  } catch (error) {
    if (!quit.signal.aborted) throw error;
  } finally {
    off();
  }
  return quit.signal.aborted ? 130 : 0;
};

function requestOf(call: Call): Omit<LogRequest, 'jobId' | 'task'> {
  const stream = flag(call, 'stream') ?? 'both';
  if (!['out', 'err', 'both'].includes(stream)) throw usage(`--stream ${stream}`, 'give out, err or both');
  const attempt = flag(call, 'attempt') ?? 'latest';
  if (!/^(latest|all|[1-9]\d{0,8})$/.test(attempt)) throw usage(`--attempt ${attempt}`, 'give a number, latest or all');
  const tail = flag(call, 'tail');
  if (tail !== undefined && !/^\d{1,9}$/.test(tail)) throw usage(`--tail ${tail}`, 'give a number of lines');
  return {
    streams: stream === 'both' ? ['out', 'err'] : [stream as 'out' | 'err'],
    attempt,
    tail: tail === undefined ? undefined : Number(tail),
    follow: isSet(call, 'follow') || attempt === 'all',
    prefix: isSet(call, 'prefix'),
  };
}

const usage = (what: string, fix: string): SkeinError => new SkeinError('usage', `${what} is not understood`, { fix });
