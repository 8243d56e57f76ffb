// Kills, stops and restarts at moments that a seed chooses, of gateway and workers alike, while jobs keep coming.
import { test } from 'uvu';
import { seededRandom } from '../../../node/clock.ts';
import { Mesh, type MeshNode, until } from '../../support/mesh.ts';
import { Submissions } from '../../support/submissions.ts';

const SEED = process.env.SKEIN_TEST_SEED ?? '1';
const LOOP_MS = 40_000;

const HARM = ['kill', 'kill', 'killAll', 'hang-up', 'pause'] as const;

test('jobs that keep coming all end once while gateway and workers are killed at random', async () => {
  await using mesh = new Mesh();
  const gateway = await mesh.up({ slots: 1 });
  const nodes = [gateway, await mesh.join('b', { slots: 1 }), await mesh.join('c', { slots: 1 })];
  const submissions = new Submissions(mesh);
  const random = seededRandom(`kill-loop/${SEED}`);
  const done: string[] = [];
  const end = performance.now() + LOOP_MS;
  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

  async function harm(node: MeshNode): Promise<void> {
    const how = HARM[Math.floor(random.next() * HARM.length)] ?? 'kill';
    done.push(`${how} ${node.name}`);
    if (how === 'hang-up') return node.signal('SIGHUP');
    if (how === 'pause') {
      node.signal('SIGSTOP');
      await pause(random.next() * 3_000);
      return node.signal('SIGCONT');
    }
    await node[how]();
    await pause(random.next() * 1_000);
    await node.start();
  }

  async function harmAll(): Promise<void> {
    while (performance.now() < end) {
      await pause(random.next() * 2_000);
      await harm(nodes[Math.floor(random.next() * nodes.length)] ?? gateway);
    }
  }

  async function keepSubmitting(): Promise<void> {
    while (performance.now() < end) {
      await submissions.askAgain().catch(onlyUnreachable);
      await submissions.submit().catch(onlyUnreachable);
      await pause(100);
    }
  }

  try {
    await Promise.all([harmAll(), keepSubmitting()]);
    const isThere = (): Promise<boolean> =>
      mesh.members().then(
        () => true,
        () => false,
      );
    await until('the gateway answers', isThere, { seen: () => gateway.words() });
    await submissions.checkAll();
  } catch (error) {
    throw new Error(`SKEIN_TEST_SEED=${SEED}: ${done.join(', ')}`, { cause: error });
  }
});

/** A gateway that is down or starting; any answer but a promise kept would show in the end. */
function onlyUnreachable(error: unknown): void {
  const down = error instanceof TypeError || error instanceof DOMException || /: 503 /.test(String(error));
  if (!down) throw error;
}

test.run();
