// The blobs of a node on this machine, read from its disk where this user may: a large result then does not go through a
// socket only to come back to the same disk. What is not found so is asked of the gateway.
import { accessSync, constants } from 'node:fs';
import { isSha256 } from '../../../protocol/ids.ts';
import { blobFile } from '../../blob/path.ts';
import { chunksOf } from '../upload/chunks.ts';

/** @param folder the data folder of a node of the mesh on this machine, or null. @returns undefined where it is not here. */
export function openNear(folder: string | null, sha256: string, offset: number): AsyncIterable<Uint8Array> | undefined {
  if (folder === null || !isSha256(sha256)) return undefined;
  const file = blobFile(folder, sha256);
  try {
    accessSync(file, constants.R_OK);
    return chunksOf(file, { start: offset });
  } catch {
    // Not here, part of a pack, or another user's.
    return undefined;
  }
}
