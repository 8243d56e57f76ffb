// What every node of a simulated mesh knows or is handed: names, seals, machines' figures, and a log that listens for bugs.
import { hash } from 'node:crypto';
import type { MachineSample } from '../../node/gossip/machine.ts';
import type { Log } from '../../node/log.ts';
import { SkeinError } from '../../protocol/errors.ts';
import type { EpochId, MeshId, PeerId } from '../../protocol/ids.ts';
import type { Signer, Verifier } from '../../protocol/wire/envelope.ts';
import type { Ticket } from '../../protocol/wire/ticket.ts';
import type { World } from './world.ts';

export const MESH = 'a'.repeat(32) as MeshId;
export const EPOCH = { number: 1, id: 'e'.repeat(32) as EpochId };

/** A keyed hash for a signature. */
const seal = (peer: PeerId, bytes: Uint8Array): Uint8Array =>
  hash('sha512', Buffer.concat([Buffer.from(`${peer}\0`), bytes]), 'buffer');

export const signerOf = (self: PeerId): Signer => ({ self, sign: (bytes) => seal(self, bytes) });
export const verifier: Verifier = {
  verify: (peer, bytes, signature) => Buffer.compare(seal(peer, bytes), signature) === 0,
};

const sample: MachineSample = { load1: 0, memFreeBytes: 2 ** 33, memTotalBytes: 2 ** 34, cpus: 4, loopDelayMs: 0 };
export const figures = { sample: () => sample, close: () => undefined };

export function ticketFor(peerId: PeerId, gateways: readonly PeerId[], roles: Ticket['roles'], nth: number): Ticket {
  return {
    meshId: MESH,
    meshName: 'sim',
    addresses: gateways.map((gateway) => `/sim/${gateway}`),
    peerIds: [...gateways],
    secret: new Uint8Array(hash('sha256', `${peerId} ${nth}`, 'buffer')),
    expiresAt: Number.MAX_SAFE_INTEGER,
    roles,
  };
}

export const secretHash = (ticket: Ticket): string => hash('sha256', Buffer.from(ticket.secret));

/** Notes what a node says; an error that is none of skein's own is a bug. */
export function listeningLog(world: World, name: string): Log {
  const hear = (fields: object, sentence: string): void => {
    const { err } = fields as { err?: unknown };
    world.note(name, () => `"${sentence}" ${err instanceof Error ? err.message : ''}`);
    const isBug = err instanceof Error && !(err instanceof SkeinError) && err.name !== 'AbortError';
    if (isBug || (err instanceof SkeinError && err.code === 'internal-error'))
      world.violate(`${name}: ${sentence}`, err);
  };
  return { debug: hear, info: hear, warn: hear, error: hear };
}
