// `skein ticket`: lets a machine join. The secret is made here; the mesh hears its hash alone.
import { createHash } from 'node:crypto';
import type { TicketView } from '../../../protocol/api/mesh.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import type { MeshId, PeerId } from '../../../protocol/ids.ts';
import type { Role } from '../../../protocol/state/rows.ts';
import { encodeTicket } from '../../../protocol/wire/ticket.ts';
import { formatDuration, parseDuration } from '../../config/units.ts';
import { type Call, type Command, flag } from '../call.ts';
import { newIdempotencyKey } from '../idempotency-key.ts';
import { openMesh } from '../mesh.ts';

const SECRET_BYTES = 32;
const ROLES: readonly string[] = ['worker', 'gateway', 'voter'];

export const command: Command = async (call: Call) => {
  const roles = rolesOf(call);
  const ttlMs = ttlOf(call);
  const uses = usesOf(call);
  const { client, isLocal } = await openMesh(call);
  if (isLocal) {
    throw new SkeinError('state-conflict', 'the mesh local is for this machine alone', {
      fix: 'skein up makes a mesh that others can join',
    });
  }
  const secret = call.world.random.bytes(SECRET_BYTES);
  const secretHash = createHash('sha256').update(secret).digest('hex');
  const view = await client.createTicket({ secretHash, roles, uses, ttlMs }, newIdempotencyKey(call));
  const ticket = encodeTicket({
    meshId: view.meshId as MeshId,
    meshName: view.meshName,
    addresses: view.addresses,
    peerIds: view.peerIds as PeerId[],
    secret,
    expiresAt: Date.parse(view.expiresAt),
    roles: view.roles,
  });
  if (call.flags.json === true) await call.screen.answer(JSON.stringify({ ...view, ticket }));
  else await call.screen.answer(ticket);
  await tell(call, view, ttlMs);
  return 0;
};

async function tell(call: Call, view: TicketView, ttlMs: number): Promise<void> {
  const { screen } = call;
  const uses = view.uses === 1 ? 'once' : `${view.uses} times`;
  await screen.say(`good for ${formatDuration(ttlMs)}, ${uses}, as ${view.roles.join(', ')}`);
  for (const address of view.addresses) await screen.say(`reached at ${address}`);
  for (const note of view.notes) await screen.say(note);
  await screen.say('on the other machine: skein join TICKET');
}

function rolesOf(call: Call): Role[] {
  const roles = (flag(call, 'roles') ?? 'worker').split(',').map((role) => role.trim());
  const wrong = roles.find((role) => !ROLES.includes(role));
  if (wrong === undefined) return [...new Set(roles)] as Role[];
  throw new SkeinError('usage', `--roles ${wrong} is no role`, { fix: `some of ${ROLES.join(',')}` });
}

function ttlOf(call: Call): number {
  const text = flag(call, 'ttl') ?? '15m';
  const ms = parseDuration(text);
  if (ms !== undefined && ms >= 1000) return ms;
  throw new SkeinError('usage', `--ttl ${text} is no duration from 1s`, { fix: 'give one such as 15m' });
}

function usesOf(call: Call): number {
  const text = flag(call, 'uses') ?? '1';
  const n = Number(text);
  if (Number.isInteger(n) && n >= 1 && n <= 10_000) return n;
  throw new SkeinError('usage', `--uses ${text} is no number from 1 to 10000`, { fix: 'give one' });
}
