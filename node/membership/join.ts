// Redeems a ticket: dials a gateway that it names, proves this node's key, gets the member list.
import { SkeinError } from '../../protocol/errors.ts';
import type { PeerId } from '../../protocol/ids.ts';
import type { Role } from '../../protocol/state/rows.ts';
import { type Joined, joinedCodec, joinMethods, redeemCodec } from '../../protocol/wire/members.ts';
import type { Ticket } from '../../protocol/wire/ticket.ts';
import type { Transport } from '../transport/port.ts';

const DIAL_TIMEOUT_MS = 5_000;
const REDEEM_TIMEOUT_MS = 15_000;

export interface Joiner {
  readonly name: string;
  /** Fewer than the ticket gives, or null for all of them. */
  readonly roles: readonly Role[] | null;
  readonly boxKey: string;
  readonly observer: PeerId;
}

/** Fails with `ticket-refused`, or `join-failed` where no gateway of the ticket can be reached. */
export async function redeem(
  transport: Transport,
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
  let failure: unknown;
  for (const address of ticket.addresses) {
    try {
      const peer = await transport.dial(address, { timeoutMs: DIAL_TIMEOUT_MS, signal });
      if (!ticket.peerIds.includes(peer)) throw new SkeinError('join-failed', `another node answers at ${address}`);
      return joinedCodec.decode(
        await transport.call(peer, 'join', joinMethods.redeem, body, { timeoutMs: REDEEM_TIMEOUT_MS, signal }),
      );
    } catch (error) {
      if (error instanceof SkeinError && error.code === 'ticket-refused') throw error;
      signal.throwIfAborted();
      failure = error;
    }
  }
  const why = failure instanceof Error ? failure.message : 'the ticket names no address';
  throw new SkeinError(
    'join-failed',
    `no gateway of the ticket could be reached (${ticket.addresses.join(', ')}): ${why}`,
    {
      cause: failure,
      fix: 'start the gateway with an address that this machine can reach (--listen, --announce), then make a new ticket',
    },
  );
}
