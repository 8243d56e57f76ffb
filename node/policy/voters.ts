// Who shall vote: one step at a time towards the number of voters that the mesh wants. Pure: what is known comes in, the next
// step comes out, and what must not be done now the Raft core refuses.
import type { PeerId } from '../../protocol/ids.ts';
import type { VoterId } from '../../protocol/raft/message.ts';
import type { MemberRow } from '../../protocol/state/rows.ts';

export interface Replica {
  readonly voterId: VoterId;
  readonly peerId: PeerId | null;
  readonly isSelf: boolean;
  readonly isVoter: boolean;
  /** Follows the log closely enough to vote. */
  readonly isReady: boolean;
  readonly silentMs: number;
}

export interface Electorate {
  readonly target: number;
  readonly replicas: readonly Replica[];
  readonly member: (peerId: PeerId) => Pick<MemberRow, 'roles' | 'state' | 'joinedAt' | 'name'> | undefined;
  /** Wall time. */
  readonly now: number;
}

export type VotersStep =
  | { readonly kind: 'promote'; readonly voterIds: readonly VoterId[]; readonly sentence: string }
  | { readonly kind: 'remove'; readonly voterId: VoterId; readonly sentence: string }
  | { readonly kind: 'target'; readonly target: number; readonly sentence: string }
  | { readonly kind: 'hand-over'; readonly to: VoterId; readonly sentence: string };

/** A voter that is silent for so long may be replaced by whoever joins; a machine that restarts is back by then. */
const AWAY_MS = 15_000;
/** And for so long, by anyone who could vote. */
const GIVEN_UP_MS = 30 * 60_000;
const TARGETS = [3, 5];

export function nextStep(electorate: Electorate): VotersStep | undefined {
  return removal(electorate) ?? replacement(electorate) ?? raised(electorate) ?? promotion(electorate);
}

/** Those whose node left the mesh, was told to drain, or is no gateway any more. */
function removal(electorate: Electorate): VotersStep | undefined {
  const { replicas } = electorate;
  const voters = replicas.filter(({ isVoter }) => isVoter);
  for (const replica of replicas) {
    const why = whyGone(electorate, replica);
    if (why === undefined) continue;
    const sentence = `${nameOf(electorate, replica)} ${why}`;
    if (!replica.isVoter) return { kind: 'remove', voterId: replica.voterId, sentence };
    const others = voters.filter((voter) => voter !== replica && whyGone(electorate, voter) === undefined);
    // The last one stays: without it there is no log.
    const heir = others.find(({ isReady }) => isReady);
    if (heir === undefined || !canDoWithout(electorate, replica)) continue;
    if (replica.isSelf) return { kind: 'hand-over', to: heir.voterId, sentence };
    return { kind: 'remove', voterId: replica.voterId, sentence };
  }
  return undefined;
}

function whyGone(electorate: Electorate, { peerId, isVoter }: Replica): string | undefined {
  const member = peerId === null ? undefined : electorate.member(peerId);
  if (member === undefined || member.state === 'left') return 'left the mesh';
  if (!member.roles.includes('gateway')) return 'is no gateway any more';
  // Without a vote it may stay and be of use.
  return isVoter && member.state === 'draining' ? 'is draining' : undefined;
}

/** A dead voter gives way to one that is ready: at once where that came since, else after half an hour. */
function replacement(electorate: Electorate): VotersStep | undefined {
  const { replicas, now } = electorate;
  for (const dead of replicas) {
    if (!dead.isVoter || dead.isSelf || dead.silentMs < AWAY_MS || !canDoWithout(electorate, dead)) continue;
    const isSince = (heir: Replica): boolean =>
      dead.silentMs >= GIVEN_UP_MS || joinedAt(electorate, heir) > now - dead.silentMs;
    const heir = candidates(electorate).find(isSince);
    if (heir === undefined) continue;
    const sentence = `${nameOf(electorate, dead)} is away, ${nameOf(electorate, heir)} takes its place`;
    return { kind: 'remove', voterId: dead.voterId, sentence };
  }
  return undefined;
}

/** The others must be able to commit its removal by themselves, else nothing commits until one of the silent is back. */
function canDoWithout({ replicas }: Electorate, replica: Replica): boolean {
  const left = replicas.filter((other) => other.isVoter && other !== replica);
  const up = left.filter(({ isSelf, silentMs }) => isSelf || silentMs < AWAY_MS);
  return up.length * 2 > left.length;
}

/** It never falls by itself: a mesh that lost two of three must not find that one is enough. */
function raised(electorate: Electorate): VotersStep | undefined {
  const able = electorate.replicas.filter(({ isVoter }) => isVoter).length + candidates(electorate).length;
  const target = TARGETS.findLast((wanted) => wanted <= able);
  if (target === undefined || target <= electorate.target) return undefined;
  return { kind: 'target', target, sentence: `${able} gateways can vote` };
}

function promotion(electorate: Electorate): VotersStep | undefined {
  const { target, replicas } = electorate;
  const count = replicas.filter(({ isVoter }) => isVoter).length;
  if (count >= target) return undefined;
  // From one to three in one step: two voters would survive less than one does.
  const wanted = count === 1 ? 2 : 1;
  const chosen = candidates(electorate).slice(0, wanted);
  if (chosen.length < wanted) return undefined;
  const names = chosen.map((replica) => nameOf(electorate, replica)).join(' and ');
  return { kind: 'promote', voterIds: chosen.map(({ voterId }) => voterId), sentence: `${names} can vote` };
}

/** Learners that may vote and are able to. */
function candidates(electorate: Electorate): readonly Replica[] {
  return electorate.replicas.filter(({ isVoter, isReady, peerId, silentMs }) => {
    const member = peerId === null ? undefined : electorate.member(peerId);
    const isUp = member?.state === 'alive' && silentMs < AWAY_MS;
    return !isVoter && isReady && isUp && member.roles.includes('voter');
  });
}

function joinedAt(electorate: Electorate, { peerId }: Replica): number {
  return (peerId === null ? undefined : electorate.member(peerId))?.joinedAt ?? 0;
}

function nameOf(electorate: Electorate, { peerId, voterId }: Replica): string {
  return (peerId === null ? undefined : electorate.member(peerId))?.name ?? `replica ${voterId}`;
}
