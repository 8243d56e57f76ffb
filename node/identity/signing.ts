// Ed25519 over node:crypto with key objects that are made once: tens of microseconds where a fresh object costs ten times that.
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import type { Ed25519PrivateKey } from '@libp2p/interface';
import { peerIdFromString } from '@libp2p/peer-id';
import type { PeerId } from '../../protocol/ids.ts';
import type { Signer, Verifier } from '../../protocol/wire/envelope.ts';

const keysMax = 4096;
// PKCS#8 of an Ed25519 key (RFC 8410): this head and the 32 bytes of its seed.
const privateHead = Buffer.from('302e020100300506032b657004220420', 'hex');

export function makeSigner(self: PeerId, key: Ed25519PrivateKey): Signer {
  const der = Buffer.concat([privateHead, key.raw.subarray(0, 32)]);
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  return { self, sign: (bytes) => sign(null, bytes, privateKey) };
}

/** Judges by the key inside the peer id; keeps the last few thousand key objects. */
export function makeVerifier(): Verifier {
  const keys = new Map<PeerId, KeyObject>();
  const keyOf = (peer: PeerId): KeyObject => {
    const known = keys.get(peer);
    if (known !== undefined) return known;
    const made = publicKeyOf(peer);
    const oldest = keys.size >= keysMax ? keys.keys().next().value : undefined;
    if (oldest !== undefined) keys.delete(oldest);
    keys.set(peer, made);
    return made;
  };
  return {
    verify(peer, bytes, signature) {
      try {
        return verify(null, bytes, keyOf(peer), signature);
      } catch {
        // A peer id that names no Ed25519 key has signed nothing.
        return false;
      }
    },
  };
}

function publicKeyOf(peer: PeerId): KeyObject {
  const id = peerIdFromString(peer);
  if (id.type !== 'Ed25519') throw new Error(`${peer} names a key of type ${id.type}`);
  const x = Buffer.from(id.publicKey.raw).toString('base64url');
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
}
