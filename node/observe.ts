// `skein peers` from the gossip itself: with the observer's key of a node on this machine and the members it knows.
import type { PeerView } from '../protocol/api/mesh.ts';
import type { Random } from '../protocol/random.ts';
import type { Clock } from '../protocol/time.ts';
import type { Beacon } from '../protocol/wire/window.ts';
import { observe } from './gossip/observe.ts';
import { openObserverKey } from './identity/identity.ts';
import { makeVerifier } from './identity/signing.ts';
import { silentLog } from './log.ts';
import { readObserverNote } from './observer-note.ts';

export interface PeersReport {
  readonly peers: readonly PeerView[];
  readonly beacon: Beacon | undefined;
}

/** Undefined where the folder has no note: then only a gateway can tell. Fails with `unreachable` where nobody answers. */
export async function observePeers(
  dataFolder: string,
  parts: { readonly clock: Clock; readonly random: Random },
  signal: AbortSignal,
): Promise<PeersReport | undefined> {
  const note = await readObserverNote(dataFolder);
  if (note === undefined) return undefined;
  const key = await openObserverKey(dataFolder, parts.random);
  const { lines, beacon } = await observe(
    { key, verifier: makeVerifier(), members: note.list, log: silentLog, ...parts },
    note.addresses,
    signal,
  );
  return { peers: lines, beacon };
}
