// The keys of one node: Ed25519, which names it on the mesh; X25519, which secrets for it are sealed to;
// and the observer's, with which `skein peers` on this machine hears gossip.
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { generateKeyPairFromSeed, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys';
import type { Ed25519PrivateKey } from '@libp2p/interface';
import { peerIdFromPrivateKey } from '@libp2p/peer-id';
import type { PeerId } from '../../protocol/ids.ts';
import type { Random } from '../../protocol/random.ts';
import type { Signer } from '../../protocol/wire/envelope.ts';
import { damaged, readOrMake } from './key-file.ts';
import { makeSigner } from './signing.ts';

/** A key that libp2p proves to whoever connects. */
export interface PeerKey {
  readonly peerId: PeerId;
  readonly privateKey: Ed25519PrivateKey;
  readonly signer: Signer;
}

export interface Identity extends PeerKey {
  /** Base64 of the raw X25519 public key: MemberRow.boxKey. */
  readonly boxKey: string;
  readonly boxPrivateKey: KeyObject;
  readonly observer: PeerId;
}

/** Loads the keys of the data folder, made at its first start. Fails with `folder-unusable`, `folder-damaged`. */
export async function openIdentity(folder: string, random: Random): Promise<Identity> {
  const node = await openPeerKey(join(folder, 'node.key'), random);
  const observer = await openObserverKey(folder, random);
  const box = await openBoxKey(join(folder, 'box.key'), random);
  return { ...node, ...box, observer: observer.peerId };
}

/** The key of `skein peers`: its member record allows it to hear, and nothing else. */
export function openObserverKey(folder: string, random: Random): Promise<PeerKey> {
  return openPeerKey(join(folder, 'observer.key'), random);
}

/** A key that is kept nowhere: for tests and for strangers. */
export async function makePeerKey(random: Random): Promise<PeerKey> {
  return peerKeyOf(await generateKeyPairFromSeed('Ed25519', random.bytes(32)));
}

async function openPeerKey(path: string, random: Random): Promise<PeerKey> {
  const make = async () => privateKeyToProtobuf(await generateKeyPairFromSeed('Ed25519', random.bytes(32)));
  const bytes = await readOrMake(path, make);
  try {
    const key = privateKeyFromProtobuf(bytes);
    if (key.type === 'Ed25519') return peerKeyOf(key);
  } catch (cause) {
    throw damaged(path, 'it holds no libp2p key', cause);
  }
  throw damaged(path, 'it holds a key of another kind than Ed25519');
}

function peerKeyOf(privateKey: Ed25519PrivateKey): PeerKey {
  const peerId = peerIdFromPrivateKey(privateKey).toString() as PeerId;
  return { peerId, privateKey, signer: makeSigner(peerId, privateKey) };
}

// PKCS#8 of an X25519 key (RFC 8410): this head and 32 bytes.
const boxHead = Uint8Array.fromHex('302e020100300506032b656e04220420');

async function openBoxKey(path: string, random: Random): Promise<Pick<Identity, 'boxKey' | 'boxPrivateKey'>> {
  const bytes = await readOrMake(path, () => Buffer.concat([boxHead, random.bytes(32)]));
  try {
    const boxPrivateKey = createPrivateKey({ key: Buffer.from(bytes), format: 'der', type: 'pkcs8' });
    const { x } = createPublicKey(boxPrivateKey).export({ format: 'jwk' });
    return { boxKey: Buffer.from(x ?? '', 'base64url').toString('base64'), boxPrivateKey };
  } catch (cause) {
    throw damaged(path, 'it holds no X25519 key', cause);
  }
}
