// Tells a long answer that its client went away.
import type { Reply } from './context.ts';

/** Fires when the connection closes before the answer is whole. */
export function gone(reply: Reply): AbortSignal {
  const control = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) control.abort(new Error('the client went away'));
  });
  return control.signal;
}
