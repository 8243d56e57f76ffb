// A node's log and nothing else, as a process that a test may kill: it proposes without end and prints what was
// acknowledged. Usage: appender.ts FOLDER FIRST [FAULT NTH]: ends with SIGKILL at the NTH time that FAULT is reached.
import { writeSync } from 'node:fs';
import { realClock, realRandom } from '../../../node/clock.ts';
import { type Apply, Consensus } from '../../../node/consensus/driver.ts';
import { LevelStorage } from '../../../node/storage/level.ts';
import type { EpochId } from '../../../protocol/ids.ts';
import type { Command } from '../../../protocol/state/command.ts';

/** How many are proposed at once: several share a sync. */
const GROUP = 4;

/** Rows count how often each command was applied, so that one applied twice would show. */
export const apply: Apply = (view, command) => {
  if (command.kind !== 'key.revoked') throw new Error('not a command of this test');
  const before = view.get<{ times: number }>(command.keyHash);
  const changes = [
    { key: command.keyHash, row: { times: (before?.times ?? 0) + 1 } },
    { key: 'total', row: { n: (view.get<{ n: number }>('total')?.n ?? 0) + 1 } },
  ];
  return { changes, events: [], outcome: { kind: 'done', answer: {} } };
};

export const initialEpoch = { number: 1, id: 'a'.repeat(32) as EpochId };
export const rowKey = (n: number): string => `k/${String(n).padStart(8, '0')}`;
const commandFor = (n: number): Command => ({ kind: 'key.revoked', keyHash: rowKey(n), at: n });

async function main(folder: string, first: number, fault: string | undefined, nth: number): Promise<void> {
  let reached = 0;
  const faults = {
    reach(name: string) {
      if (name === fault && ++reached === nth) process.kill(process.pid, 'SIGKILL');
    },
  };
  const clock = realClock();
  const storage = new LevelStorage({ clock, faults }, { folder });
  const log = new Consensus(
    { storage, clock, random: realRandom(), apply, faults },
    { initialEpoch, keepEntries: 300 },
  );
  await log.start();
  writeSync(1, `started ${log.status().appliedIndex}\n`);
  for (let n = first; ; n += GROUP) {
    const group = Array.from({ length: GROUP }, (_, k) => n + k);
    await Promise.all(
      group.map(async (one) => {
        await log.propose(commandFor(one), { timeoutMs: 10_000 });
        writeSync(1, `acknowledged ${one}\n`);
      }),
    );
    // Now and then idle for longer than rows wait for an append, so that they are written by themselves too.
    if (n % 40 < GROUP) await clock.sleep(130);
  }
}

if (import.meta.main) {
  const [folder = '', first = '0', fault, nth = '1'] = process.argv.slice(2);
  await main(folder, Number(first), fault, Number(nth));
}
