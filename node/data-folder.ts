// What a node keeps for itself in its data folder, outside the replicated state: where it listens, what it is called,
// its incarnation, the member list. One place that knows the keys.
import type { MemberList } from '../protocol/wire/members.ts';
import type { BookMemory } from './membership/member-book.ts';
import type { LogStorage } from './storage/port.ts';
import type { WorkerMemory } from './worker/worker.ts';

/** Chosen at the first start and used again, so that a node comes back where others look for it. */
export interface Kept {
  readonly meshId: string;
  readonly name: string;
  readonly roles: readonly string[];
  readonly slots: number;
  readonly httpPort: number | null;
  readonly httpHost: string;
  readonly listen: readonly string[];
  readonly announce: readonly string[];
}

type Local = Pick<LogStorage, 'getLocal' | 'putLocal'>;

export function loadKept(storage: Local): Kept | undefined {
  return storage.getLocal('kept') as Kept | undefined;
}

export async function saveKept(storage: Local, kept: Kept): Promise<void> {
  const before = loadKept(storage);
  if (JSON.stringify(before) !== JSON.stringify(kept)) await storage.putLocal([{ key: 'kept', value: kept }]);
}

export function bookMemory(storage: Local): BookMemory {
  return {
    load: () => storage.getLocal('members') as MemberList | undefined,
    save: (list) => storage.putLocal([{ key: 'members', value: list }]),
  };
}

export function workerMemory(storage: Local): WorkerMemory {
  return {
    incarnation: () => (storage.getLocal('incarnation') as number | undefined) ?? 0,
    raise: (incarnation) => storage.putLocal([{ key: 'incarnation', value: incarnation }]),
  };
}
