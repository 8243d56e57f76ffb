// `skein peers` from the gossip itself: with the observer's key of a node on this machine and the members it knows.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Random } from '../protocol/random.ts';
import type { Clock } from '../protocol/time.ts';
import type { MemberList } from '../protocol/wire/members.ts';
import type { Beacon } from '../protocol/wire/window.ts';
import { observe } from './gossip/observe.ts';
import type { PeerLine } from './gossip/peer-table.ts';
import { openObserverKey } from './identity/identity.ts';
import { makeVerifier } from './identity/signing.ts';
import { silentLog } from './log.ts';

export interface PeersReport {
  readonly peers: readonly PeerLine[];
  readonly beacon: Beacon | undefined;
}

/** What a node lays down beside its keys for observers: the node's own database is locked while it runs. */
export interface ObserverNote {
  readonly list: MemberList;
  /** The node's own addresses first. */
  readonly addresses: readonly string[];
}

/** Undefined where the folder has no note: then only a gateway can tell. Fails with `unreachable` where nobody answers. */
export async function observePeers(
  dataFolder: string,
  parts: { readonly clock: Clock; readonly random: Random },
  signal: AbortSignal,
): Promise<PeersReport | undefined> {
  const note = await readNote(dataFolder);
  if (note === undefined) return undefined;
  const key = await openObserverKey(dataFolder, parts.random);
  const { lines, beacon } = await observe(
    { key, verifier: makeVerifier(), members: note.list, log: silentLog, ...parts },
    note.addresses,
    signal,
  );
  return { peers: lines, beacon };
}

async function readNote(dataFolder: string): Promise<ObserverNote | undefined> {
  try {
    return JSON.parse(await readFile(join(dataFolder, 'observer.json'), 'utf8')) as ObserverNote;
  } catch {
    // None, or not for this user.
    return undefined;
  }
}
