// TLS connections to a gateway whose certificate is known by its sha-256: whatever else it says does not count.
import type { Agent } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { SkeinError } from '../../protocol/errors.ts';

/** @param pin 64 hex digits, or null: then the system's authorities judge. */
export async function pinnedAgent(pin: string | null): Promise<Agent> {
  const [{ default: https }, { default: tls }] = await Promise.all([import('node:https'), import('node:tls')]);
  const options = { keepAlive: true, maxSockets: 64 };
  if (pin === null) return new https.Agent(options);

  class PinnedAgent extends https.Agent {
    /** Hands out the socket only once its certificate is the pinned one: nothing, no key, is written before. */
    override createConnection(to: ConnectionOptions, ready?: (error: Error | null, socket: Duplex) => void): undefined {
      // Without a kept session the certificate is shown at every connection.
      const socket = tls.connect({ ...to, session: undefined as never, rejectUnauthorized: false });
      const answer = (error: Error | null): void => {
        socket.removeAllListeners('error');
        if (error !== null) socket.destroy();
        ready?.(error, socket);
      };
      socket.once('secureConnect', () => answer(judge(socket, pin as string)));
      socket.once('error', (error) => answer(error));
      return undefined;
    }
  }
  return new PinnedAgent(options);
}

function judge(socket: TLSSocket, pin: string): SkeinError | null {
  const shown = socket.getPeerCertificate().fingerprint256?.replaceAll(':', '').toLowerCase();
  if (shown === pin.toLowerCase()) return null;
  return new SkeinError(
    'certificate-changed',
    `the gateway shows the certificate ${shown ?? 'none'}, not the pinned one`,
    {
      fix: 'if it was renewed on purpose, log in again: skein login',
    },
  );
}
