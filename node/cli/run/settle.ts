// A submission whose user let go of it while it was on its way: what became of it is found out, and then undone.
import { SkeinError } from '../../../protocol/errors.ts';
import type { Call } from '../call.ts';
import { EXIT } from '../exit-codes.ts';
import { newIdempotencyKey } from '../idempotency-key.ts';
import type { Mesh } from '../mesh.ts';
import { shortId, skeinCommand } from '../selector.ts';

const SETTLE_MS = 5_000;

/** A submission on its way is not let go of at once: its answer, which the same key brings again, says what there is. */
export function settling({ screen, world }: Call, interrupted: AbortSignal): { signal: AbortSignal; stop: () => void } {
  const late = new AbortController();
  const over = new AbortController();
  const wait = async (): Promise<void> => {
    await screen.sayNow('waiting for the answer to the submission');
    await world.clock.sleep(SETTLE_MS, over.signal);
    late.abort(interrupted.reason);
  };
  // Stopped as the answer came.
  const begin = (): void => void wait().catch(() => undefined);
  interrupted.addEventListener('abort', begin, { once: true, signal: over.signal });
  return { signal: late.signal, stop: () => over.abort() };
}

/** The job was taken although its user had let go of it. */
export async function withdraw(
  call: Call,
  { client }: Mesh,
  jobId: string,
  onExit: 'detach' | 'cancel' | undefined,
): Promise<number> {
  const back = `back: ${skeinCommand(call, 'attach', jobId)}   stop: ${skeinCommand(call, 'cancel', jobId)}`;
  if (onExit === 'detach') {
    await call.screen.sayNow(`${shortId(jobId)} was submitted and goes on   ${back}`);
    return EXIT.detached;
  }
  const request = { reason: 'interrupted', graceMs: 0 };
  try {
    await inTime(call, (signal) => client.cancel(jobId, request, newIdempotencyKey(call), signal));
    await call.screen.sayNow(`${shortId(jobId)} was submitted and is cancelled`);
    return EXIT.cancelled;
  } catch {
    // Whatever kept the cancel from its answer, the user has the id to settle it by.
    await call.screen.fail(`${shortId(jobId)} was submitted and could not be cancelled   ${back}`);
    return EXIT.stillGoing;
  }
}

/** What a user who wants to leave waits for: a gateway that is away must not hold them. Fails with `no-answer`. */
export async function inTime<T>({ world }: Call, ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const late = new AbortController();
  const over = new AbortController();
  const error = new SkeinError('no-answer', `the gateway did not answer within ${SETTLE_MS / 1000} s`);
  world.clock.sleep(SETTLE_MS, over.signal).then(
    () => late.abort(error),
    // It was in time.
    () => undefined,
  );
  return ask(late.signal).finally(() => over.abort());
}
