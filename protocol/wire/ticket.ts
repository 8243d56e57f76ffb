// A ticket as people copy it: one word that says where the mesh is, whom to trust there, and a secret to join with.
// The checksum tells a ticket that was cut in copying from one that is whole but no longer valid.
import { type Static, Type } from 'typebox';
import { SkeinError } from '../errors.ts';
import { crc32 } from './checksum.ts';
import { codec } from './codec.ts';
import { Addresses, Count, closed, MeshIdShape, PeerIdShape, RolesShape, Text } from './shapes.ts';

const textMaxChars = 16_384;
const secretBytes = 32;
const prefix = 'skein1-';
const base64url = { alphabet: 'base64url' } as const;

const Body = Type.Object(
  {
    meshId: MeshIdShape,
    meshName: Type.Union([Text(255), Type.Null()]),
    addresses: Addresses,
    peerIds: Type.Array(PeerIdShape, { minItems: 1, maxItems: 16 }),
    secret: Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' }),
    expiresAt: Count,
    roles: RolesShape,
  },
  closed,
);
const bodyCodec = codec('the ticket', Body, textMaxChars);

/** `secret` is 256 random bits; the log knows only the sha-256 of those 32 bytes. `expiresAt` is wall time in ms. */
export type Ticket = Omit<Static<typeof Body>, 'secret'> & { readonly secret: Uint8Array };

export function encodeTicket(ticket: Ticket): string {
  const secret = ticket.secret.toBase64({ ...base64url, omitPadding: true });
  const body = bodyCodec.encode({ ...ticket, secret });
  const whole = new Uint8Array(body.length + 4);
  whole.set(body);
  new DataView(whole.buffer).setUint32(body.length, crc32(body));
  return prefix + whole.toBase64({ ...base64url, omitPadding: true });
}

/** White space is dropped, as terminals wrap. Fails with `ticket-malformed`; `version-refused` for a newer kind. */
export function decodeTicket(text: string): Ticket {
  const word = text.slice(0, textMaxChars * 2).replace(/\s+/g, '');
  const kind = /^skein([0-9]+)-/.exec(word);
  if (kind === null) throw malformed('it does not begin with skein1-');
  if (kind[0] !== prefix)
    throw new SkeinError('version-refused', `the ticket is of kind ${kind[1]}, only 1 is known here`);
  const whole = decodeBase64(word.slice(prefix.length));
  const body = whole.subarray(0, Math.max(0, whole.length - 4));
  const sum = new DataView(whole.buffer, whole.byteOffset, whole.length);
  if (whole.length < 5 || sum.getUint32(body.length) !== crc32(body))
    throw malformed('a part of it is missing or changed');
  return parseBody(body);
}

function parseBody(body: Uint8Array): Ticket {
  try {
    const { secret, ...rest } = bodyCodec.decode(body);
    const bytes = Uint8Array.fromBase64(secret, base64url);
    if (bytes.length !== secretBytes) throw malformed('its secret has a wrong length');
    return { ...rest, secret: bytes };
  } catch (error) {
    if (error instanceof SkeinError && error.code === 'ticket-malformed') throw error;
    throw malformed('its content is not that of a ticket', error);
  }
}

function decodeBase64(text: string): Uint8Array {
  try {
    return Uint8Array.fromBase64(text, base64url);
  } catch (cause) {
    throw malformed('a part of it is missing or changed', cause);
  }
}

function malformed(why: string, cause?: unknown): SkeinError {
  const fix = 'Copy the whole line that `skein ticket` printed.';
  return new SkeinError('ticket-malformed', `that is not a whole ticket: ${why}`, { fix, cause });
}
