// Hangs up on connected members that are not heard, so that a connection which carries nothing is replaced.
import type { PeerId } from '../../protocol/ids.ts';
import type { Clock } from '../../protocol/time.ts';
import { shouldReconnect } from '../policy/liveness.ts';
import type { Transport } from '../transport/port.ts';
import type { PeerTable } from './peer-table.ts';

const memoryMs = 120_000;

interface Watched {
  /** Silence is counted from here at the earliest. */
  sinceMs: number;
  tries: number;
  triedAtMs: number;
}

export class Watchdog {
  readonly #transport: Pick<Transport, 'connected' | 'reconnect'>;
  readonly #table: PeerTable;
  readonly #clock: Clock;
  readonly #watched = new Map<PeerId, Watched>();

  #lookedAtMs: number;

  constructor(parts: { transport: Pick<Transport, 'connected' | 'reconnect'>; table: PeerTable; clock: Clock }) {
    this.#transport = parts.transport;
    this.#table = parts.table;
    this.#clock = parts.clock;
    this.#lookedAtMs = parts.clock.uptime();
  }

  /** One look at all connections. @returns the peers whose connection is being replaced */
  look(intervalMs: number): readonly PeerId[] {
    const now = this.#clock.uptime();
    // Having been stopped ourselves, we heard nobody: that is no silence of theirs.
    if (now - this.#lookedAtMs > intervalMs + 1000) this.#forgive(now);
    this.#lookedAtMs = now;
    const connected = this.#transport.connected();
    this.#forget(connected, now);
    return connected.filter((peer) => this.#isGivenUp(peer, now, intervalMs));
  }

  onConnection(peer: PeerId): void {
    const now = this.#clock.uptime();
    const known = this.#watched.get(peer);
    if (known === undefined) this.#watched.set(peer, { sinceMs: now, tries: 0, triedAtMs: now });
    else known.sinceMs = now;
  }

  #forgive(now: number): void {
    for (const watched of this.#watched.values()) watched.sinceMs = now;
  }

  // Tries outlive the connection that they ended, else the back-off would begin anew each time.
  #forget(connected: readonly PeerId[], now: number): void {
    for (const [peer, { triedAtMs }] of this.#watched) {
      if (!connected.includes(peer) && now - triedAtMs > memoryMs) this.#watched.delete(peer);
    }
  }

  #isGivenUp(peer: PeerId, now: number, intervalMs: number): boolean {
    const watched = this.#watched.get(peer);
    if (watched === undefined) {
      this.onConnection(peer);
      return false;
    }
    const heard = this.#table.get(peer);
    if (heard !== undefined && now - heard.atMs < intervalMs) watched.tries = 0;
    const silence = {
      silentMs: now - Math.max(watched.sinceMs, heard?.atMs ?? 0),
      everHeard: heard !== undefined,
      tries: watched.tries,
      sinceLastTryMs: now - watched.triedAtMs,
    };
    if (!shouldReconnect(silence, intervalMs)) return false;
    watched.tries++;
    watched.triedAtMs = now;
    void this.#transport.reconnect(peer);
    return true;
  }
}
