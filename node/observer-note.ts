// What a node lays down for observers on its machine: its own database is locked while it runs.
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { MemberList } from '../protocol/wire/members.ts';

export interface ObserverNote {
  readonly list: MemberList;
  /** The node's own addresses first. */
  readonly addresses: readonly string[];
}

const FILE = 'observer.json';

export async function writeObserverNote(dataFolder: string, note: ObserverNote): Promise<void> {
  const path = join(dataFolder, FILE);
  await writeFile(`${path}.new`, JSON.stringify(note), { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** Undefined where there is none, or not for this user. */
export async function readObserverNote(dataFolder: string): Promise<ObserverNote | undefined> {
  try {
    return JSON.parse(await readFile(join(dataFolder, FILE), 'utf8')) as ObserverNote;
  } catch {
    // None, cut, or not for this user: a gateway is asked instead.
    return undefined;
  }
}
