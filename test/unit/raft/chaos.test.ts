// Seeded storms over three and five voters: messages lost, doubled and reordered, disks that lag, crashes that lose what
// was not synced. A failing seed replays exactly: SEED=n node test/unit/raft/chaos.test.ts
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { seededRandom } from '../../../node/clock.ts';
import { between } from '../../../protocol/random.ts';
import { Cluster, command, type Replica } from './cluster.ts';

const SEEDS = 60;
const STEPS = 2_000;

interface AskedRead {
  readonly committedBefore: number;
}

function storm(seed: string, voters: readonly number[]): number {
  const random = seededRandom(seed);
  const cluster = new Cluster(voters, seed);
  const replicas = [...cluster.replicas.values()];
  const asked = new Map<number, AskedRead>();
  const pick = <T>(from: readonly T[]): T => from[between(random, 0, from.length - 1)] as T;
  let n = 0;
  for (let step = 0; step < STEPS; step++) {
    const replica = pick(replicas);
    const dice = random.next();
    if (dice < 0.25) replica.raft.tick();
    else if (dice < 0.6)
      deliverOne(cluster, random.next(), between(random, 0, Math.max(0, cluster.network.length - 1)));
    else if (dice < 0.9) cluster.say(replica.syncOne());
    else if (dice < 0.96) replica.raft.propose(command(n++));
    else if (dice < 0.99) askRead(cluster, replica, asked, n++);
    else if (dice < 0.995) replica.crash();
    else if (dice < 0.997) cluster.cut.add(replica.id);
    else cluster.cut.clear();
    cluster.say(replica.collect());
    cluster.check();
    checkReads(replica, asked);
  }
  return calm(cluster);
}

function deliverOne(cluster: Cluster, dice: number, at: number): void {
  const message = cluster.network[at];
  if (message === undefined) return;
  // One in ten is lost, one in ten comes again.
  if (dice > 0.1) cluster.deliver(message);
  if (dice < 0.9) cluster.network.splice(at, 1);
}

function askRead(cluster: Cluster, replica: Replica, asked: Map<number, AskedRead>, context: number): void {
  const committedBefore = Math.max(...[...cluster.replicas.values()].map((one) => one.raft.commitIndex));
  if (replica.raft.readIndex(context)) asked.set(context, { committedBefore });
}

/** Linearizable: a read sees all that anyone knew as committed when it was asked. */
function checkReads(replica: Replica, asked: Map<number, AskedRead>): void {
  for (const { context, index } of replica.reads.splice(0)) {
    const { committedBefore } = asked.get(context) ?? { committedBefore: 0 };
    assert.ok(index >= committedBefore, `read ${context} at ${index} misses entry ${committedBefore}`);
  }
}

/** After the faults stop there is a leader within a bound, and all apply the same log. */
function calm(cluster: Cluster): number {
  cluster.cut.clear();
  cluster.settle();
  for (let round = 0; round < 200; round++) {
    for (const id of cluster.replicas.keys()) cluster.tick(id);
    cluster.settle();
  }
  const lengths = new Set([...cluster.replicas.values()].map((one) => one.applied.length));
  assert.ok(cluster.leader !== undefined, 'a leader was found');
  assert.is(lengths.size, 1, 'all applied the same');
  return [...lengths][0] as number;
}

for (const voters of [
  [1, 2, 3],
  [1, 2, 3, 4, 5],
]) {
  test(`${voters.length} voters keep one log through loss, reordering and crashes`, () => {
    const only = process.env.SEED;
    const seeds = only === undefined ? Array.from({ length: SEEDS }, (_, n) => String(n)) : [only];
    let applied = 0;
    for (const seed of seeds) {
      try {
        applied += storm(seed, voters);
      } catch (error) {
        if (error instanceof Error) error.message = `SEED=${seed}: ${error.message}`;
        throw error;
      }
    }
    assert.ok(applied > 10 * seeds.length, `storms that commit something: ${applied} entries`);
  });
}

test.run();
