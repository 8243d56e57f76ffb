// When a peer that is not heard counts as suspect, and when a connection to it is given up. Pure: ages come in.
// Dead is no judgement of this file: it is a committed record (leases.ts).

const missedForSuspect = 3;
/** A peer that has never been heard over this connection may still be starting: it is given longer. */
const missedBeforeFirst = 10;
const reconnectMaxMs = 60_000;

export type Liveness = 'alive' | 'suspect';

/** @param silentMs since the last heartbeat was heard, or since listening began */
export function livenessOf(silentMs: number, intervalMs: number): Liveness {
  return silentMs > missedForSuspect * intervalMs ? 'suspect' : 'alive';
}

export interface Silence {
  /** Since the last heartbeat, or since the connection was made where that is later. */
  readonly silentMs: number;
  readonly everHeard: boolean;
  /** Reconnections that this silence has cost already. */
  readonly tries: number;
  readonly sinceLastTryMs: number;
}

/** Gossip can go one way for ever while the connection lives (LIBP2P.md, trap 5): a new one heals it. Backs off, as the peer may be down. */
export function shouldReconnect(silence: Silence, intervalMs: number): boolean {
  const patienceMs = (silence.everHeard ? missedForSuspect : missedBeforeFirst) * intervalMs;
  if (silence.silentMs <= patienceMs) return false;
  return silence.tries === 0 || silence.sinceLastTryMs >= Math.min(reconnectMaxMs, patienceMs * 2 ** silence.tries);
}
