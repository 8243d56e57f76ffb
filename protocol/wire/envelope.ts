// The signed envelope around everything gossiped. It is ours and not gossipsub's own signature, since that rebuilds
// a key object for every message; and so that a gateway may pass a worker's heartbeat on as that worker's word.
//
//   u8 version | 16 mesh id | 16 epoch id | u8 topic | u8 n, n sender | f64 incarnation | f64 sequence | body | 64 signature
import { SkeinError } from '../errors.ts';
import type { EpochId, MeshId, PeerId } from '../ids.ts';
import { utf8 } from './codec.ts';

/** Signs with this node's key. */
export interface Signer {
  readonly self: PeerId;
  /** @returns 64 bytes */
  sign(bytes: Uint8Array): Uint8Array;
}

/** Judges by the key that the peer id itself names. Never throws. */
export interface Verifier {
  verify(peer: PeerId, bytes: Uint8Array, signature: Uint8Array): boolean;
}

export interface Envelope {
  readonly meshId: MeshId;
  readonly epochId: EpochId;
  readonly topic: 'heartbeats' | 'window';
  readonly sender: PeerId;
  readonly incarnation: number;
  readonly sequence: number;
  /** A view of the bytes that were decoded. */
  readonly body: Uint8Array;
}

export const envelopeMaxBytes = 65_536;
const version = 1;
const signatureBytes = 64;
const fixedBytes = 1 + 16 + 16 + 1 + 1 + 8 + 8;
const topics = ['heartbeats', 'window'] as const;
const purpose = utf8('skein envelope\n');

/** Fails with `too-large`. */
export function sealEnvelope(envelope: Omit<Envelope, 'sender'>, signer: Signer): Uint8Array {
  const sender = utf8(signer.self);
  const size = fixedBytes + sender.length + envelope.body.length + signatureBytes;
  if (size > envelopeMaxBytes) throw new SkeinError('too-large', `a gossip message of ${size} bytes`);
  const out = new Uint8Array(size);
  const view = new DataView(out.buffer);
  out[0] = version;
  out.set(Uint8Array.fromHex(envelope.meshId), 1);
  out.set(Uint8Array.fromHex(envelope.epochId), 17);
  out[33] = topics.indexOf(envelope.topic);
  out[34] = sender.length;
  out.set(sender, 35);
  view.setFloat64(35 + sender.length, envelope.incarnation);
  view.setFloat64(43 + sender.length, envelope.sequence);
  out.set(envelope.body, fixedBytes + sender.length);
  out.set(signer.sign(signed(out)), size - signatureBytes);
  return out;
}

/** Undefined where it is none, or not signed by the sender that it names. */
export function openEnvelope(bytes: Uint8Array, verifier: Verifier): Envelope | undefined {
  const envelope = readEnvelope(bytes);
  if (envelope === undefined) return undefined;
  return verifier.verify(envelope.sender, signed(bytes), signatureOf(bytes)) ? envelope : undefined;
}

/** Reads without judging the signature: for bytes that were verified on arrival. Undefined where it is no envelope. */
export function readEnvelope(bytes: Uint8Array): Envelope | undefined {
  if (bytes.length < fixedBytes + signatureBytes || bytes.length > envelopeMaxBytes || bytes[0] !== version)
    return undefined;
  const topic = topics[bytes[33] ?? topics.length];
  const senderBytes = bytes[34] ?? 0;
  const bodyAt = fixedBytes + senderBytes;
  if (topic === undefined || senderBytes === 0 || bodyAt + signatureBytes > bytes.length) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const incarnation = view.getFloat64(35 + senderBytes);
  const sequence = view.getFloat64(43 + senderBytes);
  if (!Number.isSafeInteger(incarnation) || !Number.isSafeInteger(sequence)) return undefined;
  return {
    meshId: bytes.subarray(1, 17).toHex() as MeshId,
    epochId: bytes.subarray(17, 33).toHex() as EpochId,
    topic,
    sender: String.fromCharCode(...bytes.subarray(35, 35 + senderBytes)) as PeerId,
    incarnation,
    sequence,
    body: bytes.subarray(bodyAt, bytes.length - signatureBytes),
  };
}

/** The 64 bytes that name this message among all others: they cover sender, topic, incarnation and sequence. */
export function signatureOf(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(Math.max(0, bytes.length - signatureBytes));
}

/** What is signed: everything before the signature, under a purpose that no other signature of this key has. */
function signed(bytes: Uint8Array): Uint8Array {
  const content = bytes.subarray(0, bytes.length - signatureBytes);
  const out = new Uint8Array(purpose.length + content.length);
  out.set(purpose);
  out.set(content, purpose.length);
  return out;
}
