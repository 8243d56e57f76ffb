// What a follower does with what a leader sends: entries, commit indexes, snapshots (section 5.3).
import type { MessageOf } from './message.ts';
import type { Replica } from './replica.ts';

export function onAppend(replica: Replica, message: MessageOf<'append'>): void {
  if (!isWellOrdered(message)) return;
  const { log } = replica;
  const { prevIndex, prevTerm, entries, from } = message;
  // What is committed agrees with every later leader, so there is nothing to compare.
  if (prevIndex < log.committed) {
    replica.sendAfterSync(from, { kind: 'append.answer', ok: true, matchIndex: log.committed });
    return;
  }
  if (log.term(prevIndex) !== prevTerm) {
    refuse(replica, message);
    return;
  }
  // Only a true conflict may cut the log: a late, shorter append must not drop what a later one brought.
  const differs = entries.findIndex((entry) => log.term(entry.index) !== entry.term);
  if (differs !== -1) log.append(entries.slice(differs));
  // Beyond what this append vouches for the log may be another leader's.
  const matchIndex = prevIndex + entries.length;
  log.commitTo(Math.min(message.commit, matchIndex));
  replica.sendAfterSync(from, { kind: 'append.answer', ok: true, matchIndex });
}

/** Indexes without a gap; terms that never fall nor exceed the sender's. */
function isWellOrdered({ prevIndex, prevTerm, entries, term }: MessageOf<'append'>): boolean {
  let before = prevTerm;
  for (const [n, entry] of entries.entries()) {
    if (entry.index !== prevIndex + 1 + n || entry.term < before || entry.term > term) return false;
    before = entry.term;
  }
  return true;
}

function refuse(replica: Replica, { prevIndex, prevTerm, from }: MessageOf<'append'>): void {
  const hintIndex = replica.log.lastAtMost(prevIndex, prevTerm);
  const hintTerm = replica.log.term(hintIndex) ?? 0;
  replica.sendAfterSync(from, { kind: 'append.answer', ok: false, prevIndex, hintIndex, hintTerm });
}

export function onHeartbeat(replica: Replica, message: MessageOf<'heartbeat'>): void {
  replica.log.commitTo(message.commit);
  replica.sendAfterSync(message.from, { kind: 'heartbeat.answer', round: message.round });
}

export function onSnapshot(replica: Replica, { from, term, snapshot }: MessageOf<'snapshot'>): void {
  const { log } = replica;
  const contradicts = snapshot.index <= log.committed && log.term(snapshot.index) !== snapshot.term;
  if (snapshot.term > term || (snapshot.index > log.applied && contradicts)) return;
  // What is applied already holds all that the snapshot could bring.
  if (snapshot.index > log.applied) log.restore(snapshot);
  replica.sendAfterSync(from, { kind: 'append.answer', ok: true, matchIndex: log.committed });
}

/** Tells the sender of an older term the present one, so that it steps down. */
export function answerStale(
  replica: Replica,
  { kind, from, ...rest }: MessageOf<'append' | 'heartbeat' | 'snapshot' | 'vote'>,
): void {
  if (kind === 'vote') {
    replica.sendAfterSync(from, { kind: 'vote.answer', granted: false });
    return;
  }
  const { lastIndex, lastTerm } = replica.log;
  const prevIndex = 'prevIndex' in rest ? rest.prevIndex : lastIndex;
  replica.sendAfterSync(from, {
    kind: 'append.answer',
    ok: false,
    prevIndex,
    hintIndex: lastIndex,
    hintTerm: lastTerm,
  });
}
