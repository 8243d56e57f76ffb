// How a gateway comes by its replica of the log: it asks the leader, which adds a learner under a new name and says it once
// that has committed. A replica that forgot its log comes back in the same way: its old name is taken out first.
import { SkeinError } from '../../protocol/errors.ts';
import type { EpochId, PeerId } from '../../protocol/ids.ts';
import { replicasOf } from '../../protocol/state/apply-replica.ts';
import { keys } from '../../protocol/state/rows.ts';
import type { Clock } from '../../protocol/time.ts';
import { enlistCodec, enlistedCodec, replicaMethods } from '../../protocol/wire/replica.ts';
import type { ReplicatedLog } from '../consensus/log.ts';
import type { Epoch } from '../storage/port.ts';
import type { Transport } from '../transport/port.ts';

const CHANGE_TIMEOUT_MS = 5_000;
const ASK_TIMEOUT_MS = 12_000;
const PAUSE_MS = 300;

interface Asker {
  readonly transport: Pick<Transport, 'call'>;
  readonly clock: Clock;
  /** Those that may be asked now. */
  readonly gateways: () => readonly PeerId[];
}

/** Asks until a leader answers. Fails with `forbidden` where this node may hold no replica, or with the signal's reason. */
export async function enlist(
  { transport, clock, gateways }: Asker,
  epochId: EpochId,
  signal: AbortSignal,
): Promise<{ readonly epoch: Epoch; readonly voterId: number }> {
  const body = enlistCodec.encode({ epochId });
  for (;;) {
    for (const peer of gateways()) {
      try {
        const options = { timeoutMs: ASK_TIMEOUT_MS, signal };
        const answer = enlistedCodec.decode(await transport.call(peer, 'raft', replicaMethods.enlist, body, options));
        return { epoch: { id: answer.epochId, number: answer.epochNumber }, voterId: answer.voterId };
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof SkeinError && error.code === 'forbidden') throw error;
      }
    }
    await clock.sleep(PAUSE_MS, signal);
  }
}

/** The leader's side. */
export function serveEnlist(
  transport: Pick<Transport, 'handle'>,
  { log, clock }: { readonly log: ReplicatedLog; readonly clock: Clock },
): void {
  const options = { timeoutMs: CHANGE_TIMEOUT_MS };
  transport.handle('raft', replicaMethods.enlist, async (from, body) => {
    const { epochId, epochNumber, leading } = log.status();
    const asked = enlistCodec.decode(body).epochId;
    if (!leading || asked !== epochId) throw new SkeinError('no-leader', 'this gateway does not lead that log');
    const member = log.view.get(keys.member(from));
    if (member === undefined || member.state === 'left' || !member.roles.includes('gateway')) {
      throw new SkeinError('forbidden', `${from} is no gateway of this mesh`);
    }
    const held = replicasOf(log.view).peers.filter(([, owner]) => owner === from);
    for (const [voterId] of held) {
      const sentence = `${member.name} begins again without a log`;
      await log.changeReplicas(
        { kind: 'remove', voterId },
        { kind: 'replica.changed', sentence, at: clock.now() },
        options,
      );
    }
    const added = { kind: 'replica.added', peerId: from, at: clock.now() } as const;
    const { index } = await log.changeReplicas({ kind: 'add-learner' }, added, options);
    return enlistedCodec.encode({ epochId, epochNumber, voterId: index });
  });
}
