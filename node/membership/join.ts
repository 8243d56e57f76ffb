// Redeems a ticket: dials a gateway that it names, proves this node's key, gets the member list.
import { SkeinError } from '../../protocol/errors.ts';
import type { PeerId } from '../../protocol/ids.ts';
import type { Role } from '../../protocol/state/rows.ts';
import type { Clock } from '../../protocol/time.ts';
import { type Joined, joinedCodec, joinMethods, redeemCodec } from '../../protocol/wire/members.ts';
import type { Ticket } from '../../protocol/wire/ticket.ts';
import type { Transport } from '../transport/port.ts';

const DIAL_TIMEOUT_MS = 5_000;
const REDEEM_TIMEOUT_MS = 15_000;
/** A gateway that starts anew, or has more callers than it takes at once, is there a little later. */
const PATIENCE_MS = 8_000;
const PAUSE_MS = 500;

export interface Joiner {
  readonly name: string;
  /** Fewer than the ticket gives, or null for all of them. */
  readonly roles: readonly Role[] | null;
  readonly boxKey: string;
  readonly observer: PeerId;
}

/** Fails with `ticket-refused`, or `join-failed` where no gateway of the ticket can be reached for some seconds. */
export async function redeem(
  { transport, clock }: { readonly transport: Transport; readonly clock: Clock },
  ticket: Ticket,
  joiner: Joiner,
  signal: AbortSignal,
): Promise<Joined> {
  const body = redeemCodec.encode({
    meshId: ticket.meshId,
    secret: ticket.secret.toBase64({ alphabet: 'base64url', omitPadding: true }),
    peerId: transport.self,
    name: joiner.name,
    roles: joiner.roles === null ? null : [...joiner.roles],
    boxKey: joiner.boxKey,
    observer: joiner.observer,
  });
  const ask = async (address: string): Promise<Joined> => {
    const peer = await transport.dial(address, { timeoutMs: DIAL_TIMEOUT_MS, signal });
    if (!ticket.peerIds.includes(peer)) throw new SkeinError('join-failed', `another node answers at ${address}`);
    return joinedCodec.decode(
      await transport.call(peer, 'join', joinMethods.redeem, body, { timeoutMs: REDEEM_TIMEOUT_MS, signal }),
    );
  };
  const until = clock.monotonic() + PATIENCE_MS;
  let failure: unknown;
  do {
    for (const address of ticket.addresses) {
      try {
        return await ask(address);
      } catch (error) {
        // What a gateway has refused for good the next one refuses as well.
        if (error instanceof SkeinError && !error.retriable) throw error;
        if (!signal.aborted) failure = error;
      }
    }
    await clock.sleep(PAUSE_MS, signal).catch(() => undefined);
  } while (clock.monotonic() < until && !signal.aborted && ticket.addresses.length > 0);
  const why = failure instanceof Error ? failure.message : 'the ticket names no address';
  throw new SkeinError('join-failed', `no gateway of the ticket could be reached: ${why}`, {
    cause: failure,
    fix: 'start the gateway with an address that this machine can reach (--listen, --announce), then make a new ticket',
  });
}
