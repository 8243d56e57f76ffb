// Follows the two streams of one task to its end, attempt after attempt, and says what happens meanwhile.
import type { LogAttempt, LogEnd } from '../../../protocol/api/job.ts';
import type { Jobs } from '../mesh.ts';
import type { ScriptStream } from '../output/script-stream.ts';

export interface Followed {
  readonly jobs: Jobs;
  readonly jobId: string;
  readonly task: number;
  readonly out: ScriptStream;
  readonly err: ScriptStream;
  /** At the beginning of each attempt, told once for both streams. */
  readonly onAttempt: (attempt: LogAttempt, isFirst: boolean) => Promise<void>;
  readonly signal: AbortSignal;
}

/** Resolves at the task's end. Fails with ReaderGone where stdout is closed, `unreachable` where the link stays lost. */
export async function followTask(followed: Followed): Promise<LogEnd | undefined> {
  const quit = new AbortController();
  const signal = AbortSignal.any([followed.signal, quit.signal]);
  const streams = [followStream('out', followed, signal), followStream('err', followed, signal)];
  try {
    const [end] = await Promise.all(streams);
    return end;
  } finally {
    // One that failed must not leave the other one reading.
    quit.abort();
    await Promise.allSettled(streams);
  }
}

async function followStream(
  stream: 'out' | 'err',
  followed: Followed,
  signal: AbortSignal,
): Promise<LogEnd | undefined> {
  const { jobs, jobId, task, onAttempt } = followed;
  const script = followed[stream];
  let attempts = 0;
  for await (const item of jobs.followLog(jobId, task, { stream, attempt: 'latest' }, signal)) {
    if (item.kind === 'log') await script.write(item.bytes);
    if (item.kind === 'end') return item;
    if (item.kind === 'attempt') {
      if (stream === 'out') await onAttempt(item, attempts === 0);
      if (attempts > 0) await script.startOver(item.attempt);
      attempts += 1;
    }
  }
  return undefined;
}

/** `boxtwo stopped answering; starts again on skein-a1 (attempt 2)`. */
export function replacedSentence({ attempt, peer, previous }: LogAttempt, what: string): string {
  const before = previous === null ? undefined : endOf(previous);
  return `${before === undefined ? '' : `${before}; `}${what} starts again on ${peer} (attempt ${attempt})`;
}

function endOf(previous: NonNullable<LogAttempt['previous']>): string {
  switch (previous.state) {
    case 'lost':
      return `${previous.peer} stopped answering`;
    case 'handed-back':
      return `${previous.peer} handed it back`;
    case 'finished':
      return `it ended with ${previous.exit?.code ?? 'no exit code'} on ${previous.peer}`;
    default:
      return `it was stopped on ${previous.peer}`;
  }
}
