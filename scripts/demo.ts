// `npm run demo`: real work on a mesh of several processes while some of them are killed, drained and stopped.
// Everything is done as a user would do it, by the `skein` command and by signals; the API is only asked what happened.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const HELP = `usage: npm run demo [-- --keep]
  --keep   leaves the mesh running afterwards and prints what to try
`;
const PACKAGE_MAX_BYTES = 1_000_000;
const PACKAGE_FILES_MAX = 80;
const PACKAGES_MAX = 210;
const LIMIT_MS = 120_000;

const root = fileURLToPath(new URL('..', import.meta.url));
const launcher = join(root, 'node', 'launcher.js');
const { values } = parseArgs({
  options: { keep: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
});

interface DemoNode {
  readonly name: string;
  readonly data: string;
  readonly pid: number;
  readonly url: string;
  readonly child: ChildProcess;
}

interface Attempt {
  readonly peer: string;
  readonly state: string;
  readonly reason: string | null;
}

const say = (line: string): void => void process.stdout.write(`demo: ${line}\n`);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Looks until `seen` answers something; says what it waited for when that takes too long. */
async function until<T>(
  what: string,
  seen: () => Promise<T | undefined> | T | undefined,
  limitMs = LIMIT_MS,
): Promise<T> {
  const end = performance.now() + limitMs;
  while (performance.now() < end) {
    const found = await seen();
    if (found !== undefined) return found;
    await pause(50);
  }
  throw new Error(`waited ${limitMs / 1000} s for ${what}`);
}

class Demo {
  readonly folder = mkdtempSync(join(tmpdir(), 'skein-demo-'));
  readonly nodes: DemoNode[] = [];
  readonly #env = {
    ...process.env,
    XDG_STATE_HOME: join(this.folder, 'state'),
    XDG_CONFIG_HOME: join(this.folder, 'config'),
  };
  #url = '';
  #key = '';

  async start(name: string, argv: readonly string[]): Promise<DemoNode> {
    const data = join(this.folder, name);
    const args = [launcher, ...argv, '--data', data, '--name', name, '--ready-fd', '3'];
    const child = spawn(process.execPath, args, { env: this.#env, stdio: ['ignore', 'inherit', 'inherit', 'pipe'] });
    const pipe = child.stdio[3] as NodeJS.ReadableStream;
    let line = '';
    pipe.on('data', (chunk: Buffer) => {
      line += chunk.toString();
    });
    const ready = await until(`${name} to be ready`, () => {
      if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}`);
      return line.includes('\n') ? (JSON.parse(line) as { pid: number; url: string | null }) : undefined;
    });
    const node = { name, data, pid: ready.pid, url: ready.url ?? '', child };
    this.nodes.push(node);
    return node;
  }

  async skein(...argv: readonly string[]): Promise<string> {
    const child = spawn(process.execPath, [launcher, ...argv], {
      cwd: root,
      env: this.#env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      err += chunk.toString();
    });
    const [code] = (await once(child, 'close')) as [number];
    if (code !== 0) throw new Error(`skein ${argv[0]} exited with ${code}: ${err}`);
    return out.trim();
  }

  /** The batch, in the foreground: its own progress is the demo's. */
  run(...argv: readonly string[]): Promise<number> {
    const child = spawn(process.execPath, [launcher, 'run', ...argv], {
      cwd: root,
      env: this.#env,
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    return once(child, 'close').then(([code]) => Number(code));
  }

  use(gateway: DemoNode): void {
    this.#url = gateway.url;
    this.#key = readFileSync(join(gateway.data, 'admin.key'), 'utf8').trim();
  }

  async get<T>(path: string): Promise<T> {
    const answer = await fetch(`${this.#url}/v1${path}`, { headers: { authorization: `Bearer ${this.#key}` } });
    if (!answer.ok) throw new Error(`GET ${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as T;
  }

  /** Ends what still runs, the runners of killed workers included. */
  stop(): void {
    for (const { pid } of this.nodes) signal(pid, 'SIGCONT');
    for (const { pid } of this.nodes) signal(pid, 'SIGKILL');
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }

  get url(): string {
    return this.#url;
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Installed packages of a size that a demo may carry about, as folders relative to the checkout. */
function packages(): readonly string[] {
  const found = globSync(['node_modules/*/package.json', 'node_modules/@*/*/package.json'], { cwd: root });
  const folders = found.map((path) => path.slice(0, -'/package.json'.length)).sort();
  return folders.filter((folder) => isLight(join(root, folder))).slice(0, PACKAGES_MAX);
}

function isLight(folder: string): boolean {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  if (files.length > PACKAGE_FILES_MAX) return false;
  return (
    files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0) <= PACKAGE_MAX_BYTES
  );
}

/** Attempts that have begun and not ended in a worker's folder. */
function running(worker: DemoNode): readonly string[] {
  const attempts = join(worker.data, 'attempts');
  return readdirSync(attempts).filter((name) => existsSync(join(attempts, name, 'stdout')) && !ended(worker, name));
}

const ended = (worker: DemoNode, attempt: string): boolean =>
  existsSync(join(worker.data, 'attempts', attempt, 'exit.json'));

/** Strikes at a moment when a task of the worker runs and the mesh knows of it; answers that attempt. */
async function strikeWhileBusy(demo: Demo, worker: DemoNode, jobId: string, name: NodeJS.Signals): Promise<string> {
  return until(`${worker.name} to be busy`, async () => {
    const [attempt] = running(worker);
    if (attempt === undefined) return undefined;
    const tasks = await allTasks(demo, jobId);
    const known = tasks.some(({ state, attempts }) => state === 'running' && attempts.at(-1)?.peer === worker.name);
    if (!known) return undefined;
    signal(worker.pid, 'SIGSTOP');
    const still = running(worker).includes(attempt);
    signal(worker.pid, still ? name : 'SIGCONT');
    return still ? attempt : undefined;
  });
}

interface Job {
  readonly jobId: string;
  readonly state: string;
  readonly tasks: { readonly total: number; readonly completed: number };
}

async function progressTo(demo: Demo, share: number): Promise<Job> {
  return until(`${share * 100} % of the batch`, async () => {
    const [job] = (await demo.get<{ items: Job[] }>('/jobs?limit=1')).items;
    return job !== undefined && job.tasks.completed >= share * job.tasks.total ? job : undefined;
  });
}

const stateOf = async (demo: Demo, name: string): Promise<string | undefined> =>
  (await demo.get<{ items: { name: string; state: string }[] }>('/peers')).items.find((peer) => peer.name === name)
    ?.state;

async function disturb(demo: Demo, [first, second, third]: readonly [DemoNode, DemoNode, DemoNode]): Promise<string> {
  const { jobId } = await progressTo(demo, 0.08);
  const attempt = await strikeWhileBusy(demo, third, jobId, 'SIGSTOP');
  const stoppedAt = performance.now();
  say(`SIGSTOP to the daemon of ${third.name} while a task of its runs; the runner goes on`);
  await until('that task to end meanwhile', () => (ended(third, attempt) ? true : undefined));
  say(`that task has ended, and ${third.name} cannot tell anyone`);
  await progressTo(demo, 0.3);
  await strikeWhileBusy(demo, first, jobId, 'SIGKILL');
  say(`SIGKILL to ${first.name} while a task of its runs`);
  await progressTo(demo, 0.6);
  signal(second.pid, 'SIGTERM');
  say(`SIGTERM to ${second.name}: it ends its task, hands the rest back and goes`);
  await once(second.child, 'exit');
  await until(`${third.name} to be declared dead`, async () =>
    (await stateOf(demo, third.name)) === 'dead' ? true : undefined,
  );
  signal(third.pid, 'SIGCONT');
  const away = ((performance.now() - stoppedAt) / 1000).toFixed(0);
  say(
    `${third.name} was silent for ${away} s and declared dead; SIGCONT: it wakes, and sends the result of the task that ended`,
  );
  return until('the late result to be refused', () => {
    const log = readFileSync(join(third.data, 'node.log'), 'utf8');
    return log.split('\n').find((line) => line.includes('was refused'));
  });
}

async function report(demo: Demo, jobId: string, refused: string): Promise<void> {
  const tasks = await allTasks(demo, jobId);
  const attempts = tasks.flatMap((task) => task.attempts.map((attempt) => ({ task: task.n, ...attempt })));
  process.stdout.write('\nWHO RAN WHAT\n');
  for (const [peer, own] of Map.groupBy(attempts, ({ peer }) => peer)) {
    const published = own.filter(({ state }) => state === 'finished').length;
    process.stdout.write(`  ${peer.padEnd(8)} ${String(published).padStart(4)} results published\n`);
  }
  process.stdout.write('\nWHAT WAS RESCHEDULED, AND WHY\n');
  const again = attempts.filter(({ state }) => state === 'lost' || state === 'handed-back');
  for (const [why, own] of Map.groupBy(again, ({ peer, reason }) => `${peer}: ${reason}`)) {
    process.stdout.write(`  ${why.padEnd(28)} task ${own.map(({ task }) => task).join(', ')}\n`);
  }
  process.stdout.write(`\nREFUSED\n  ${(JSON.parse(refused) as { msg: string }).msg}\n`);
}

interface TaskItem {
  readonly n: number;
  readonly state: string;
  readonly attempts: readonly Attempt[];
}

async function allTasks(demo: Demo, jobId: string): Promise<readonly TaskItem[]> {
  const tasks: TaskItem[] = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const page: { items: TaskItem[]; next: string | null } = await demo.get(
      `/jobs/${jobId}/tasks?limit=100${cursor === '' ? '' : `&cursor=${cursor}`}`,
    );
    tasks.push(...page.items);
    cursor = page.next;
  }
  return tasks;
}

interface PackageReport {
  readonly name: string;
  readonly licence: string;
  readonly files: number;
  readonly sizeBytes: number;
}

function merge(outputs: string): number {
  const reports = globSync(join(outputs, '**', 'report.json')).map(
    (path) => JSON.parse(readFileSync(path, 'utf8')) as PackageReport,
  );
  process.stdout.write('\nTHE MERGED AUDIT\n');
  const byLicence = [...Map.groupBy(reports, ({ licence }) => licence)].sort((a, b) => b[1].length - a[1].length);
  for (const [licence, own] of byLicence) {
    const bytes = own.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    process.stdout.write(
      `  ${licence.padEnd(24)} ${String(own.length).padStart(4)} packages ${(bytes / 1e6).toFixed(1).padStart(7)} MB\n`,
    );
  }
  return reports.length;
}

async function main(): Promise<void> {
  const startedAt = performance.now();
  const demo = new Demo();
  try {
    const gateway = await demo.start('gateway', [
      'up',
      '--roles',
      'gateway,voter',
      '--http',
      '127.0.0.1:0',
      '--listen',
      '127.0.0.1:0',
    ]);
    demo.use(gateway);
    const ticket = await demo.skein('ticket', '--uses', '3');
    const join = (name: string): Promise<DemoNode> =>
      demo.start(name, ['join', ticket, '--slots', '1', '--listen', '127.0.0.1:0']);
    const workers = await Promise.all([join('worker-1'), join('worker-2'), join('worker-3')]);
    const chosen = packages();
    const list = `${demo.folder}/packages.txt`;
    writeFileSync(list, chosen.map((folder) => `${folder}\n`).join(''));
    say(`a gateway and three workers run; auditing ${chosen.length} installed packages, one task each`);
    const outputs = `${demo.folder}/audit`;
    const batch = demo.run('--name', 'audit', '--output-dir', outputs, '--lines', list, 'examples/audit.mjs', '{}');
    const refused = await disturb(demo, workers);
    const code = await batch;
    const [job] = (await demo.get<{ items: Job[] }>('/jobs?limit=1')).items;
    if (job === undefined) throw new Error('the batch is not listed');
    await report(demo, job.jobId, refused);
    const merged = merge(outputs);
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    process.stdout.write(`\n${merged} of ${chosen.length} reports came back, exit ${code}, ${seconds} s in all\n`);
    if (code !== 0 || merged !== chosen.length) process.exitCode = 1;
    if (values.keep) await keep(demo, gateway);
    else say('all that it made is removed again; npm run demo -- --keep leaves it');
  } finally {
    if (!values.keep) demo.stop();
  }
}

async function keep(demo: Demo, gateway: DemoNode): Promise<void> {
  const state = join(demo.folder, 'state');
  process.stdout.write(`
The mesh goes on: ${demo.url} (pages at ${demo.url}/docs)
  export XDG_STATE_HOME=${state}
  npx skein peers
  npx skein list
  npx skein run examples/audit.mjs node_modules/commander
  npx skein down --data ${gateway.data} --yes      # the others likewise; then remove ${demo.folder}
`);
  for (const { child } of demo.nodes) child.unref();
  process.exit();
}

if (values.help) process.stdout.write(HELP);
else await main();
