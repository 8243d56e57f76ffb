// Which gateways hold a blob: rendezvous hashing (Thaler and Ravishankar, 1998). All gateways come to the same order without
// a word, blobs spread evenly, and one gateway more or less moves only the blobs that it gets or had.
import type { PeerId, Sha256 } from '../../protocol/ids.ts';
import { mix } from './mix.ts';

/** A blob is on so many gateways before the log names it, or on all where there are fewer. */
export const COPIES = 2;

/** The gateways in the order in which they are to hold the blob. */
export function ranked(sha256: Sha256, gateways: readonly PeerId[]): readonly PeerId[] {
  if (gateways.length < 2) return gateways;
  const seed = Number.parseInt(sha256.slice(0, 8), 16);
  return gateways
    .map((peer) => ({ peer, weight: weightOf(seed, peer) }))
    .sort((a, b) => b.weight - a.weight || (a.peer < b.peer ? -1 : 1))
    .map(({ peer }) => peer);
}

/** FNV-1a over the peer's id, begun at the blob; its own end leaves neighbours too much alike. */
function weightOf(seed: number, peer: PeerId): number {
  let hash = seed ^ 0x811c9dc5;
  for (let at = 0; at < peer.length; at++) hash = Math.imul(hash ^ peer.charCodeAt(at), 0x01000193);
  return mix(hash);
}
