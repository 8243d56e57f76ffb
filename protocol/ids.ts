// Branded identifiers. A brand costs nothing at run time and keeps a job's id out of a peer's place.

declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

/** `j-` and 16 lower-case base-32 characters: 80 random bits. */
export type JobId = Branded<'JobId'>;
/** A libp2p peer id in its text form; it names one node's key. */
export type PeerId = Branded<'PeerId'>;
/** 32 hex digits, fixed when a mesh is created. */
export type MeshId = Branded<'MeshId'>;
/** 32 hex digits, new whenever the log is rewound. Epochs are compared by id, never by number. */
export type EpochId = Branded<'EpochId'>;
/** A sha-256 in 64 lower-case hex digits; the name of a blob. */
export type Sha256 = Branded<'Sha256'>;
/** `EPOCHID.INDEX` of the entry that granted an attempt. */
export type Fence = Branded<'Fence'>;

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

/** @param random 10 bytes of chance. */
export function makeJobId(random: Uint8Array): JobId {
  return `j-${base32(random.subarray(0, 10))}` as JobId;
}

function base32(bytes: Uint8Array): string {
  let out = '';
  let buffer = 0;
  let bits = 0;
  for (const byte of bytes) {
    buffer = (buffer << 8) | byte;
    for (bits += 8; bits >= 5; bits -= 5) out += BASE32[(buffer >>> (bits - 5)) & 31];
    buffer &= (1 << bits) - 1;
  }
  return bits > 0 ? out + BASE32[(buffer << (5 - bits)) & 31] : out;
}

export function makeFence(epochId: EpochId, index: number): Fence {
  return `${epochId}.${index}` as Fence;
}

/** The parts of a fence, or undefined where the text is none. */
export function parseFence(text: string): { epochId: EpochId; index: number } | undefined {
  const match = /^([0-9a-f]{32})\.([1-9][0-9]{0,15})$/.exec(text);
  if (match === null) return undefined;
  return { epochId: match[1] as EpochId, index: Number(match[2]) };
}

export const isJobId = (text: string): text is JobId => /^j-[a-z2-7]{16}$/.test(text);
export const isSha256 = (text: string): text is Sha256 => /^[0-9a-f]{64}$/.test(text);
