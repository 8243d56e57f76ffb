// kill -9 at every point that storage, log, blobs and worker name: before and after each fsync, commit, apply, answer, publish.
// Whatever was acknowledged ends once, also where the node dies again while it recovers. The points come from a trace.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { seededRandom } from '../../node/clock.ts';
import type { Mesh, MeshNode } from './mesh.ts';
import { Submissions } from './submissions.ts';

const SEED = process.env.SKEIN_TEST_SEED ?? '1';
const JOBS = 3;

/** Where it can die, and how often each point is reached from the start to ready, and until the work is done. */
interface Point {
  readonly name: string;
  readonly atReady: number;
  readonly atEnd: number;
}

export const traceOf = (mesh: Mesh): string => join(mesh.folder, 'trace');

export function reached(mesh: Mesh): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const name of readFileSync(traceOf(mesh), 'utf8').trimEnd().split('\n'))
    counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

/** One clean start of the victim with some work. */
async function trace(mesh: Mesh, victim: MeshNode, submissions: Submissions): Promise<readonly Point[]> {
  await victim.kill();
  await victim.start({ SKEIN_FAULT_TRACE: traceOf(mesh) });
  const atReady = reached(mesh);
  for (let n = 0; n < JOBS; n++) await submissions.submit();
  await submissions.allEnd();
  await victim.kill();
  return Array.from(reached(mesh), ([name, atEnd]) => ({ name, atReady: atReady.get(name) ?? 0, atEnd }));
}

/** Works until the victim dies of its fault; it may die before it is ready. */
async function workUntilDead(victim: MeshNode, fault: string, submissions: Submissions): Promise<void> {
  const exit = victim.launch({ SKEIN_FAULT: fault });
  let dead = false;
  void exit.then(() => {
    dead = true;
  });
  const killed = { code: null, signal: 'SIGKILL' };
  if (!(await victim.readyOrEnded())) return assert.equal(await exit, killed, `${fault}: ${victim.words()}`);
  const until = performance.now() + 30_000;
  while (!dead) {
    assert.ok(performance.now() < until, `${fault} was never reached:\n${victim.words()}`);
    try {
      await submissions.askAgain();
      await submissions.submit();
      if (submissions.acknowledged % JOBS === 0) await submissions.allEnd({ over: () => dead });
    } catch (error) {
      // Nobody answers: that has to be the fault at work, and is judged by the signal below.
      if (!(error instanceof TypeError || error instanceof DOMException)) throw error;
      await victim.ended();
    }
  }
  assert.equal(await exit, killed, `${fault}: ${victim.words()}`);
}

/** @param expected points that must be among those traced. @throws with the seed and the kills so far. */
export async function killAtEach(mesh: Mesh, victim: MeshNode, expected: readonly string[]): Promise<void> {
  const submissions = new Submissions(mesh);
  const points = await trace(mesh, victim, submissions);
  const names = points.map(({ name }) => name);
  for (const name of expected) assert.ok(names.includes(name), `${name} is among ${names.join(', ')}`);
  const random = seededRandom(`kill-points/${SEED}`);
  const tried: string[] = [];
  try {
    for (const { name, atReady, atEnd } of points) {
      const inWork = atEnd - atReady;
      const nth = inWork > 0 ? atReady + 1 + Math.floor(random.next() * inWork) : 1;
      tried.push(`${name}:${nth}`);
      await workUntilDead(victim, `${name}:${nth}`, submissions);
    }
    await victim.start();
    await submissions.checkAll();
  } catch (error) {
    throw new Error(`SKEIN_TEST_SEED=${SEED}, killed at ${tried.join(' ')}`, { cause: error });
  }
}
