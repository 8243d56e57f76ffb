// Tells a long answer that its client went away.
import type { Reply } from './context.ts';

/** Nobody is there to be answered: no failure of the gateway. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone';
}

/** Fires when the connection closes before the answer is whole. */
export function gone(reply: Reply): AbortSignal {
  const control = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) control.abort(new ClientGone('the client went away'));
  });
  return control.signal;
}
