// Where a list goes on, as an opaque word: kind of list, epoch and a place in it. Any gateway of the mesh reads it;
// one of another mesh or epoch, or one that was altered, is refused.
import { hash } from 'node:crypto';
import { SkeinError } from '../protocol/errors.ts';
import type { MeshStatus } from './port.ts';

type Mesh = Pick<MeshStatus, 'meshId' | 'epochId'>;
const CHECK_LENGTH = 16;

/** @param place a log index, a number of a task, or where a list has no order of its own a key's end. */
export function makeCursor(mesh: Mesh, list: string, place: number): string {
  const text = `${list} ${mesh.epochId} ${place}`;
  return Buffer.from(`${checkOf(mesh, text)} ${text}`).toString('base64url');
}

export function readCursor(mesh: Mesh, list: string, cursor: string): number {
  const text = Buffer.from(cursor, 'base64url').toString();
  const [check, kind, epochId, place] = text.split(' ');
  const whole = text.slice(CHECK_LENGTH + 1);
  const sound =
    // Also one that only reads the same: what follows the last whole character is passed over in decoding.
    Buffer.from(text).toString('base64url') === cursor &&
    check === checkOf(mesh, whole) &&
    kind === list &&
    epochId === mesh.epochId &&
    /^\d{1,15}$/.test(place ?? '');
  if (!sound) {
    throw new SkeinError('bad-cursor', 'the cursor is not one that this list of this mesh gave', {
      fix: 'ask for the list again without a cursor',
    });
  }
  return Number(place);
}

/** Not a secret: it tells an altered or foreign cursor, and one that is forged gains nothing that its maker may not read. */
function checkOf(mesh: Mesh, text: string): string {
  return hash('sha256', `${mesh.meshId} ${text}`, 'hex').slice(0, CHECK_LENGTH);
}
