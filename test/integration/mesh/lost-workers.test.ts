// Workers that die, drain, sleep and come back, each a process of its own: what they ran is run again or goes on, and every
// task has one result. Scripts write the pid, so that a second run is told from one that went on.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { AttemptView, TaskView } from '../../../protocol/api/job.ts';
import { Mesh, type MeshNode, pidsWith, until } from '../../support/mesh.ts';

const LEASE_MS = 15_000;
/** Death is judged at the lease's end, and a pass comes every second. */
const DEAD_WITHIN_MS = LEASE_MS + 10_000;

const TASKS = 12;
const ALL = Array.from({ length: TASKS }, (_, at) => at + 1);

/** Notes each of its starts, ends when `go` exists, and prints the item. */
const patient = (folder: string): string =>
  `echo $$ >> ${folder}/starts-$1; while [ ! -e ${folder}/go-$1 ]; do sleep 0.05; done; echo out $1; echo $1 > result.txt`;

class Bench {
  readonly mesh: Mesh;

  constructor(mesh: Mesh) {
    this.mesh = mesh;
  }

  get folder(): string {
    return this.mesh.folder;
  }

  async submit(count: number, spec: Readonly<Record<string, unknown>> = {}): Promise<string> {
    const items = { range: { from: 1, to: count } };
    return (await this.mesh.shell(patient(this.folder), { items, ...spec })).jobId;
  }

  starts(n: number): number {
    const file = join(this.folder, `starts-${n}`);
    return existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n').length : 0;
  }

  release(...tasks: number[]): void {
    for (const n of tasks) writeFileSync(join(this.folder, `go-${n}`), '');
  }

  /** Which task each worker runs, once `count` of them have begun. */
  async running(jobId: string, count: number): Promise<ReadonlyMap<string, number[]>> {
    const began = async (): Promise<Map<string, number[]> | undefined> => {
      const places = new Map<string, number[]>();
      let begun = 0;
      for (const { peer, task, state } of (await this.mesh.job(jobId)).attempts) {
        if (state !== 'running' || this.starts(task) === 0) continue;
        places.set(peer, [...(places.get(peer) ?? []), task]);
        begun++;
      }
      return begun >= count ? places : undefined;
    };
    return until(`${count} tasks of ${jobId} run`, began, { seen: () => this.mesh.job(jobId) });
  }

  async checkOneResult(jobId: string, n: number): Promise<TaskView> {
    const task = await this.mesh.task(jobId, n);
    assert.is(task.state, 'completed');
    assert.is(task.attempts.filter(({ state }) => state === 'finished').length, 1, JSON.stringify(task.attempts));
    assert.is((await this.mesh.logOf(jobId, n)).toString(), `out ${n}\n`);
    assert.is((await this.mesh.outputOf(jobId, 'result.txt', n)).toString(), `${n}\n`);
    return task;
  }
}

const only = (tasks: readonly number[] | undefined): number => {
  assert.is(tasks?.length, 1);
  return tasks?.[0] ?? 0;
};

const last = (task: TaskView): AttemptView => task.attempts.at(-1) as AttemptView;

const startedAgain = (pid: number): boolean => pidsWith('SKEIN_RESTARTED=', ['environ']).includes(pid);

function catchesHangUp(pid: number): boolean {
  const mask = /SigCgt:\s*([0-9a-f]+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0';
  return (BigInt(`0x${mask}`) & 1n) === 1n;
}

function byName(mesh: Mesh, name: string): MeshNode {
  const node = mesh.nodes.find((one) => one.name === name);
  assert.ok(node, `there is a node ${name}`);
  return node;
}

test('a batch runs on the gateway and on workers beside it', async () => {
  await using mesh = new Mesh();
  await mesh.up({ slots: 1 });
  await mesh.join('b', { slots: 1 });
  await mesh.join('c', { slots: 1 });
  const bench = new Bench(mesh);
  const jobId = await bench.submit(9);
  const places = await bench.running(jobId, 3);
  assert.equal([...places.keys()].sort(), ['b', 'c', 'gw']);
  bench.release(1, 2, 3, 4, 5, 6, 7, 8, 9);
  const job = await mesh.untilEnded(jobId);
  assert.is(job.state, 'completed');
  for (let n = 1; n <= 9; n++) assert.is((await bench.checkOneResult(jobId, n)).attempts.length, 1);
  const peers = await mesh.peers();
  assert.is(peers.find(({ name }) => name === 'b')?.reach, 'direct');
});

test('a lost machine, a stopped daemon and a drained worker: the tasks go on elsewhere, each with its reason', async () => {
  await using mesh = new Mesh();
  await mesh.up({ roles: 'gateway,voter' });
  for (const name of ['lost', 'asleep', 'drained']) await mesh.join(name, { slots: 1 });
  const bench = new Bench(mesh);
  const jobId = await bench.submit(TASKS);
  const places = await bench.running(jobId, 3);
  const [lost, asleep, drained] = ['lost', 'asleep', 'drained'].map((name) => only(places.get(name))) as [
    number,
    number,
    number,
  ];

  byName(mesh, 'asleep').signal('SIGSTOP');
  await byName(mesh, 'lost').killAll();
  byName(mesh, 'drained').signal('SIGTERM');
  bench.release(drained);
  assert.equal(await byName(mesh, 'drained').ended(), { code: 0, signal: null });
  const byItself = await bench.checkOneResult(jobId, drained);
  assert.is(byItself.attempts.length, 1, 'what runs is waited for');
  await byName(mesh, 'drained').start();
  // The script of the stopped daemon ends in the hands of its runner.
  bench.release(asleep);
  const back = await bench.mesh.untilTask(
    jobId,
    lost,
    'is requeued',
    ({ attempts }) => attempts[0]?.state === 'lost',
    DEAD_WITHIN_MS,
  );
  assert.is(back.attempts[0]?.reason, 'worker-dead');
  assert.is(back.attempts[0]?.blamed, true);
  assert.is(back.attempts[0]?.peer, 'lost');
  const slept = await bench.mesh.untilTask(
    jobId,
    asleep,
    'is requeued',
    ({ attempts }) => attempts[0]?.state === 'lost',
    DEAD_WITHIN_MS,
  );
  assert.is(slept.attempts[0]?.reason, 'worker-dead');
  const states = (await mesh.members()).map(({ name, state }) => `${name} ${state}`).sort();
  assert.equal(states, ['asleep dead', 'drained alive', 'gw alive', 'lost dead']);
  const granted = (await mesh.job(jobId)).attempts.map((attempt) => attempt.task);
  const behind = ALL.filter((n) => !granted.includes(n));
  assert.ok(behind.length > 0);
  bench.release(...ALL);
  await bench.mesh.untilTask(jobId, asleep, 'is done again', ({ state }) => state === 'completed');

  byName(mesh, 'asleep').signal('SIGCONT');
  await until('the late result is refused', () => byName(mesh, 'asleep').says('was refused'), {
    seen: () => byName(mesh, 'asleep').log(),
  });
  const [member] = (await mesh.members()).filter(({ name }) => name === 'asleep');
  assert.is((await mesh.untilEnded(jobId)).state, 'completed');
  const tasks = await Promise.all(ALL.map((n) => bench.checkOneResult(jobId, n)));
  const indexOf = (n: number): number => Number(last(tasks[n - 1] as TaskView).fence.split('.')[1]);
  for (const n of behind) assert.ok(Math.max(indexOf(lost), indexOf(asleep)) < indexOf(n), 'lost tasks go first');
  for (const n of ALL) assert.is(bench.starts(n), n === lost || n === asleep ? 2 : 1);

  // It is reborn and works on.
  await until('the sleeper is alive again', async () => {
    const now = (await mesh.members()).find(({ name }) => name === 'asleep');
    return now?.state === 'alive' && now.incarnation >= (member?.incarnation ?? 0);
  });
  await byName(mesh, 'drained').killAll();
  const after = await mesh.shell('echo again');
  const task = await mesh.untilTask(after.jobId, 1, 'ends', ({ state }) => state === 'completed', 2 * DEAD_WITHIN_MS);
  assert.is(last(task).peer, 'asleep');
});

test('a SIGTERM whose deadline passes hands back what runs, unblamed and at once', async () => {
  await using mesh = new Mesh();
  await mesh.up({ roles: 'gateway,voter' });
  const first = await mesh.join('first', { slots: 2, args: ['--drain-deadline', '0'] });
  const bench = new Bench(mesh);
  const jobId = await bench.submit(2);
  await bench.running(jobId, 2);
  await mesh.join('second', { slots: 2 });
  first.signal('SIGTERM');
  assert.equal(await first.ended(), { code: 0, signal: null });
  const again = await bench.running(jobId, 2);
  assert.equal([...again.keys()], ['second']);
  bench.release(1, 2);
  assert.is((await mesh.untilEnded(jobId)).state, 'completed');
  for (const n of [1, 2]) {
    const { attempts, lost } = await bench.checkOneResult(jobId, n);
    assert.equal(attempts.map(({ state, reason, blamed }) => ({ state, reason, blamed }))[0], {
      state: 'handed-back',
      reason: 'drained',
      blamed: false,
    });
    assert.is(lost, 0);
  }
});

test('a daemon killed alone leaves its attempts running: the restarted one adopts them, also those that ended meanwhile', async () => {
  await using mesh = new Mesh();
  await mesh.up({ roles: 'gateway,voter' });
  const worker = await mesh.join('w', { slots: 2 });
  const bench = new Bench(mesh);
  const jobId = await bench.submit(3);
  await bench.running(jobId, 2);
  await worker.kill();
  bench.release(1, 3);
  await worker.start();
  bench.release(2);
  assert.is((await mesh.untilEnded(jobId)).state, 'completed');
  for (let n = 1; n <= 3; n++) {
    const { attempts, lost } = await bench.checkOneResult(jobId, n);
    // The third may have been granted ahead and not begun: that grant went back, which blames nobody.
    const before = attempts.slice(0, -1).map(({ state, reason, blamed }) => `${state} ${reason} ${blamed}`);
    assert.equal(before, n === 3 && before.length > 0 ? ['handed-back unbegun false'] : []);
    assert.is(lost, 0);
    assert.is(bench.starts(n), 1);
  }
});

test('a machine lost together with its gateway: what had begun there is lost and blamed, though nobody else knew', async () => {
  await using mesh = new Mesh();
  const gateway = await mesh.up({ slots: 1 });
  const bench = new Bench(mesh);
  const jobId = await bench.submit(2);
  await bench.running(jobId, 1);
  await gateway.killAll();
  bench.release(1, 2);
  await gateway.start();
  assert.is((await mesh.untilEnded(jobId)).state, 'completed');
  const [first] = (await bench.checkOneResult(jobId, 1)).attempts;
  assert.equal([first?.state, first?.reason, first?.blamed], ['lost', 'worker-restarted', true]);
  assert.ok(first !== undefined && first.startedAt !== null && first.startedAt >= first.grantedAt);
  assert.is((await bench.checkOneResult(jobId, 2)).lost, 0);
});

test('SIGHUP of a worker and of a gateway costs running tasks nothing', async () => {
  await using mesh = new Mesh();
  const gateway = await mesh.up({ slots: 1 });
  const worker = await mesh.join('w', { slots: 1 });
  const bench = new Bench(mesh);
  const jobId = await bench.submit(2);
  const places = await bench.running(jobId, 2);
  const pids = [gateway.pid, worker.pid];
  const before = (await mesh.members()).map(({ incarnation }) => incarnation);
  worker.signal('SIGHUP');
  gateway.signal('SIGHUP');
  await until('both are there in a new incarnation', async () => {
    const now = await mesh.members().catch(() => []);
    return now.length === 2 && now.every(({ incarnation }, at) => incarnation > (before[at] ?? 0));
  });
  assert.equal([gateway.pid, worker.pid], pids);
  bench.release(only(places.get('w')));
  await mesh.untilTask(jobId, only(places.get('w')), 'ends', ({ state }) => state === 'completed');
  bench.release(1, 2);
  assert.is((await mesh.untilEnded(jobId)).state, 'completed');
  for (const n of [1, 2]) {
    assert.is((await bench.checkOneResult(jobId, n)).attempts.length, 1);
    assert.is(bench.starts(n), 1);
  }
});

async function oneRunning(mesh: Mesh): Promise<{ bench: Bench; worker: MeshNode; jobId: string }> {
  await mesh.up({ roles: 'gateway,voter' });
  const worker = await mesh.join('w', { slots: 1 });
  const bench = new Bench(mesh);
  const jobId = await bench.submit(1);
  await bench.running(jobId, 1);
  return { bench, worker, jobId };
}

test('a restart that takes longer than the lease freezes the attempt and loses nothing', async () => {
  await using mesh = new Mesh();
  const { bench, worker, jobId } = await oneRunning(mesh);
  worker.signal('SIGHUP');
  await until('it starts again', () => startedAgain(worker.pid));
  // A machine so busy that the new process gets nowhere.
  worker.signal('SIGSTOP');
  const leaseOf = async (): Promise<number | null | undefined> => (await mesh.peers())[1]?.leaseLeftMs;
  await until('its lease is over', async () => (await leaseOf()) === 0, { seen: () => mesh.peers() });
  const passes = performance.now() + 3_000;
  await until('the leader has judged', () => performance.now() > passes);
  worker.signal('SIGCONT');
  bench.release(1);
  assert.is((await mesh.untilEnded(jobId)).state, 'completed');
  assert.is((await bench.checkOneResult(jobId, 1)).attempts.length, 1);
  assert.is(bench.starts(1), 1);
});

test('signals that come while a node starts again neither end it over its attempts nor are lost', async () => {
  await using mesh = new Mesh();
  const { bench, worker, jobId } = await oneRunning(mesh);
  worker.signal('SIGHUP');
  await until('the new process catches SIGHUP', () => startedAgain(worker.pid) && catchesHangUp(worker.pid));
  worker.signal('SIGHUP');
  worker.signal('SIGTERM');
  bench.release(1);
  assert.equal(await worker.ended(), { code: 0, signal: null });
  assert.is((await mesh.untilEnded(jobId)).state, 'completed');
  assert.is((await bench.checkOneResult(jobId, 1)).attempts.length, 1);
});

test.run();
