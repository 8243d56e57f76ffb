// What callers of the log are told when it cannot do what they ask.
import { SkeinError } from '../../protocol/errors.ts';

const ELECTION_MS = 1_000;

export function noQuorum(): SkeinError {
  return new SkeinError(
    'no-quorum',
    'This gateway knows of no leader: too few voters are up, or they are just electing one.',
    {
      fix: 'Try again in a moment; skein peers shows which voters are away.',
      retryAfterMs: ELECTION_MS,
    },
  );
}

export function notLeading(): SkeinError {
  return new SkeinError('no-leader', 'This gateway does not lead.', { fix: 'Ask the one that does.' });
}

export function foreignEpoch(): SkeinError {
  return new SkeinError('no-leader', 'This gateway holds the log of another epoch.', { fix: 'Ask another gateway.' });
}

export function refusedByDisk(failure: SkeinError): SkeinError {
  const { message, fix = 'Try again later.', retryAfterMs = 5_000 } = failure;
  if (failure.code === 'disk-full') return new SkeinError('disk-full', message, { cause: failure, fix, retryAfterMs });
  return new SkeinError('no-leader', `This node's log refuses writes: ${message}`, {
    cause: failure,
    fix,
    retryAfterMs,
  });
}

export function lostEntries(lastIndex: number, appliedIndex: number): SkeinError {
  return new SkeinError('folder-damaged', `The log ends at ${lastIndex}, but ${appliedIndex} entries were applied.`, {
    fix: 'Restore a backup.',
  });
}

export function asSkeinError(error: unknown): SkeinError {
  return error instanceof SkeinError ? error : new SkeinError('folder-unusable', String(error), { cause: error });
}
