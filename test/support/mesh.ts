// A mesh of real processes on loopback for tests: starts nodes through the launcher, kills, stops and restarts them on their
// folders, speaks HTTP to them, and leaves nothing behind. Whatever waits has a deadline and says what it saw.
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JobView, TaskView } from '../../protocol/api/job.ts';
import type { MemberView, PeerView, TicketView } from '../../protocol/api/mesh.ts';
import type { MeshId, PeerId } from '../../protocol/ids.ts';
import type { Role } from '../../protocol/state/rows.ts';
import { encodeTicket } from '../../protocol/wire/ticket.ts';

const LAUNCHER = join(import.meta.dirname, '../../node/launcher.js');
const READY_FD = 3;
const START_MS = 30_000;
const POLL_MS = 20;
const HTTP_MS = 20_000;

/** What a node says on its `--ready-fd`. */
export interface Ready {
  readonly pid: number;
  readonly url: string | null;
  readonly peerId: string;
  readonly meshId: string;
  readonly meshName: string;
  readonly name: string;
  readonly addresses: readonly string[];
}

export interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
}

/** Polls until `look` answers something other than undefined or false. @throws at the deadline, with what `seen` says. */
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
  { withinMs = 30_000, seen = (): unknown => '' } = {},
): Promise<Exclude<T, undefined | false>> {
  const end = performance.now() + withinMs;
  let last: unknown;
  for (;;) {
    last = await look();
    if (last !== undefined && last !== false) return last as Exclude<T, undefined | false>;
    if (performance.now() > end) {
      throw new Error(`not within ${withinMs} ms: ${what}\nseen: ${JSON.stringify(await seen(), null, 1)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Free when it was asked; what takes it in between makes the node fail with `port-in-use`. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

/** Processes whose command line or environment holds the text. */
export function pidsWith(text: string, where: readonly ('cmdline' | 'environ')[] = ['cmdline']): number[] {
  const holds = (pid: string): boolean =>
    where.some((file) => {
      try {
        return readFileSync(`/proc/${pid}/${file}`, 'utf8').includes(text);
      } catch {
        // It ended meanwhile, or is not ours to read.
        return false;
      }
    });
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid && holds(name))
    .map(Number);
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It is gone already, which is what a kill wants.
  }
}

export class MeshNode {
  readonly name: string;
  readonly folder: string;
  readonly args: readonly string[];
  readonly #env: Readonly<Record<string, string>>;
  #child: ChildProcess | undefined;
  #exit: Promise<Exit> | undefined;
  #ready: Ready | undefined;
  #stderr = '';

  constructor(
    folder: string,
    { name, args, env }: { name: string; args: readonly string[]; env: Record<string, string> },
  ) {
    this.name = name;
    this.folder = folder;
    this.args = args;
    this.#env = env;
  }

  /** Starts, or starts again on the same folder. @throws with its words where it ends or says nothing for too long. */
  async start(env: Readonly<Record<string, string>> = {}, args: readonly string[] = this.args): Promise<Ready> {
    this.launch(env, args);
    if (!(await this.readyOrEnded())) throw new Error(`${this.name} ended at its start:\n${this.words()}`);
    return this.ready;
  }

  /** @returns whether it is ready, which it may be no more. */
  async readyOrEnded(): Promise<boolean> {
    let ended = false;
    void this.#exit?.then(() => {
      ended = true;
    });
    const seen = (): string => this.words();
    await until(`${this.name} is ready`, () => ended || this.#ready !== undefined, { withinMs: START_MS, seen });
    return this.#ready !== undefined;
  }

  /** Starts without a wait for `ready`. Resolves when the process ends. */
  launch(env: Readonly<Record<string, string>> = {}, args: readonly string[] = this.args): Promise<Exit> {
    this.#ready = undefined;
    this.#stderr = '';
    const child = spawn(process.execPath, [LAUNCHER, ...args, '--ready-fd', String(READY_FD)], {
      env: { ...this.#env, ...env },
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-20_000);
    });
    let line = '';
    child.stdio[READY_FD]?.on('data', (chunk: Buffer) => {
      line += chunk.toString();
      if (line.includes('\n') && child === this.#child) this.#ready = JSON.parse(line) as Ready;
    });
    this.#exit = new Promise((resolve) => child.once('close', (code, signal) => resolve({ code, signal })));
    return this.#exit;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get ready(): Ready {
    if (this.#ready === undefined) throw new Error(`${this.name} is not ready`);
    return this.#ready;
  }

  /** The end of the process last started. */
  async ended(withinMs = 30_000): Promise<Exit> {
    let exit: Exit | undefined;
    void this.#exit?.then((value) => {
      exit = value;
    });
    return until(`${this.name} ends`, () => exit, { withinMs, seen: () => this.words() });
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** The daemon alone: what its runners run goes on. */
  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.ended();
  }

  /** As if the machine had lost its power. */
  async killAll(): Promise<void> {
    this.signal('SIGKILL');
    for (const pid of this.runners()) kill(pid, 'SIGKILL');
    await this.ended();
    for (const pid of pidsWith(this.folder, ['cmdline', 'environ'])) kill(pid, 'SIGKILL');
  }

  runners(): number[] {
    return pidsWith(`--runner-home=${realpathSync(this.folder)}/run`);
  }

  /** The lines of node.log. */
  log(): Readonly<Record<string, unknown>>[] {
    const lines = readFileSync(join(this.folder, 'node.log'), 'utf8').split('\n');
    // A line that a kill has cut is no JSON.
    return lines.flatMap((line) => (line.endsWith('}') ? [JSON.parse(line) as Record<string, unknown>] : []));
  }

  says(text: string): boolean {
    return this.log().some((line) => String(line.msg).includes(text));
  }

  /** For failures: what it wrote last. */
  words(): string {
    return this.#stderr.trimEnd();
  }
}

export interface Job {
  readonly jobId: string;
  /** The status of the answer. */
  readonly status: number;
  readonly replayed: boolean;
}

export class Mesh implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'skein-mesh-'));
  readonly nodes: MeshNode[] = [];
  #gateway: MeshNode | undefined;
  #httpPort = 0;
  #key = '';

  get gateway(): MeshNode {
    if (this.#gateway === undefined) throw new Error('the mesh has no gateway yet');
    return this.#gateway;
  }

  /** The first node. */
  async up(how: { roles?: string; slots?: number; env?: Record<string, string> } = {}): Promise<MeshNode> {
    const node = await this.upLater(how);
    await node.start(how.env);
    return node;
  }

  /** The first node, not started. */
  async upLater({ roles = 'worker,gateway,voter', slots = 2 } = {}): Promise<MeshNode> {
    this.#httpPort = await freePort();
    const addresses = ['--http', `127.0.0.1:${this.#httpPort}`, '--listen', `127.0.0.1:${await freePort()}`];
    this.#gateway = this.node('gw', ['up', ...addresses, '--roles', roles, '--slots', String(slots)]);
    return this.#gateway;
  }

  /** A worker. */
  async join(
    name: string,
    { slots = 2, args = [] as readonly string[], env = {} as Record<string, string> } = {},
  ): Promise<MeshNode> {
    const node = this.node(name, ['join', await this.ticket(), '--slots', String(slots), ...args]);
    await node.start(env);
    return node;
  }

  /** A node that is not started yet. */
  node(name: string, args: readonly string[], folder = join(this.folder, name)): MeshNode {
    const env = {
      PATH: process.env.PATH ?? '/usr/bin:/bin',
      HOME: this.folder,
      XDG_STATE_HOME: join(this.folder, 'state'),
      // What one node has translated the next one need not.
      NODE_COMPILE_CACHE: join(tmpdir(), 'skein-test-cache'),
    };
    mkdirSync(folder, { recursive: true });
    const named = args.includes('--name') ? [] : ['--name', name];
    // The default ports are one test's alone.
    const where = args[0] === 'join' && !args.includes('--listen') ? ['--listen', '127.0.0.1:0'] : [];
    const node = new MeshNode(folder, { name, args: [...args, ...named, ...where, '--data', folder], env });
    this.nodes.push(node);
    return node;
  }

  /** Another gateway, which may vote. */
  async joinGateway(
    name: string,
    { roles = ['gateway', 'voter', 'worker'] as Role[], slots = 1 } = {},
  ): Promise<MeshNode> {
    const where = ['--http', `127.0.0.1:${await freePort()}`, '--listen', `127.0.0.1:${await freePort()}`];
    const node = this.node(name, ['join', await this.ticket({ roles }), ...where, '--slots', String(slots)]);
    await node.start();
    return node;
  }

  async ticket({ ttlMs = 900_000, uses = 1, roles = ['worker'] as Role[] } = {}): Promise<string> {
    const secret = randomBytes(32);
    const secretHash = createHash('sha256').update(secret).digest('hex');
    const { body } = await this.post('/v1/tickets', { secretHash, roles, uses, ttlMs });
    const { meshId, meshName, addresses, peerIds, expiresAt } = body as TicketView;
    return encodeTicket({
      meshId: meshId as MeshId,
      meshName,
      addresses,
      peerIds: peerIds as PeerId[],
      expiresAt: Date.parse(expiresAt),
      roles,
      secret,
    });
  }

  get key(): string {
    if (this.#key === '') this.#key = readFileSync(join(this.gateway.folder, 'admin.key'), 'utf8').trim();
    return this.#key;
  }

  /** @throws where nobody answers. */
  async request(
    method: string,
    path: string,
    body?: string | Uint8Array<ArrayBuffer>,
    headers: Record<string, string> = {},
  ): Promise<Response> {
    return fetch(`http://127.0.0.1:${this.#httpPort}${path}`, {
      method,
      headers: { authorization: `Bearer ${this.key}`, ...headers },
      signal: AbortSignal.timeout(HTTP_MS),
      ...(body === undefined ? {} : { body }),
    });
  }

  async get<T>(path: string): Promise<T> {
    const answer = await this.request('GET', path);
    const text = await answer.text();
    if (!answer.ok) throw new Error(`GET ${path}: ${answer.status} ${text}`);
    return JSON.parse(text) as T;
  }

  /** @throws on a status of 400 and above. */
  async post(
    path: string,
    body: unknown,
    key: string = crypto.randomUUID(),
  ): Promise<{ body: unknown; answer: Response }> {
    const headers = { 'content-type': 'application/json', 'idempotency-key': key };
    const answer = await this.request('POST', path, JSON.stringify(body), headers);
    const text = await answer.text();
    if (!answer.ok) throw new Error(`POST ${path}: ${answer.status} ${text}`);
    return { body: JSON.parse(text), answer };
  }

  async submit(spec: Readonly<Record<string, unknown>>, key?: string): Promise<Job> {
    const { body, answer } = await this.post('/v1/jobs', { schema: 'skein.jobspec/1', ...spec }, key);
    const replayed = answer.headers.get('idempotency-replayed') === 'true';
    return { jobId: (body as { jobId: string }).jobId, status: answer.status, replayed };
  }

  /** A script of the shell as a job. */
  shell(script: string, spec: Readonly<Record<string, unknown>> = {}, key?: string): Promise<Job> {
    return this.submit({ command: ['/bin/sh', '-c', script, 'sh'], ...spec }, key);
  }

  /** @returns the blob's hash. */
  async upload(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const answer = await this.request('PUT', `/v1/blobs/${sha256}`, bytes, {
      'content-type': 'application/octet-stream',
    });
    if (!answer.ok) throw new Error(`PUT blob: ${answer.status} ${await answer.text()}`);
    return sha256;
  }

  job(jobId: string): Promise<JobView> {
    return this.get(`/v1/jobs/${jobId}`);
  }

  task(jobId: string, n = 1): Promise<TaskView> {
    return this.get(`/v1/jobs/${jobId}/tasks/${n}`);
  }

  async members(): Promise<readonly MemberView[]> {
    return (await this.get<{ items: MemberView[] }>('/v1/members')).items;
  }

  async peers(): Promise<readonly PeerView[]> {
    return (await this.get<{ items: PeerView[] }>('/v1/peers')).items;
  }

  /** The bytes of a stream of a task's latest attempt. */
  async logOf(jobId: string, n = 1, stream: 'out' | 'err' = 'out'): Promise<Buffer> {
    const answer = await this.request('GET', `/v1/jobs/${jobId}/tasks/${n}/logs?stream=${stream}`);
    const bytes = Buffer.from(await answer.arrayBuffer());
    if (!answer.ok) throw new Error(`logs of ${jobId}/${n}: ${answer.status} ${bytes}`);
    return bytes;
  }

  async outputOf(jobId: string, path: string, n = 1): Promise<Buffer> {
    const answer = await this.request('GET', `/v1/jobs/${jobId}/tasks/${n}/outputs/${path}`);
    const bytes = Buffer.from(await answer.arrayBuffer());
    if (!answer.ok) throw new Error(`output ${path} of ${jobId}/${n}: ${answer.status} ${bytes}`);
    return bytes;
  }

  /** Waits through times when no gateway answers. */
  async untilTask(
    jobId: string,
    n: number,
    what: string,
    look: (task: TaskView) => boolean,
    withinMs = 30_000,
  ): Promise<TaskView> {
    let last: unknown;
    return until(
      `task ${jobId}/${n} ${what}`,
      async () => {
        const task = await this.task(jobId, n).catch((error: unknown) => error as Error);
        last = task instanceof Error ? task.message : task;
        return !(task instanceof Error) && look(task) ? task : undefined;
      },
      { withinMs, seen: () => [last, ...this.nodes.map((node) => node.words())] },
    );
  }

  async untilEnded(jobId: string, withinMs = 30_000): Promise<JobView> {
    let last: unknown;
    return until(
      `job ${jobId} ends`,
      async () => {
        const job = await this.job(jobId).catch((error: unknown) => error as Error);
        last = job instanceof Error ? job.message : job;
        return !(job instanceof Error) && ['completed', 'failed', 'cancelled'].includes(job.state) ? job : undefined;
      },
      { withinMs, seen: () => [last, ...this.nodes.map((node) => node.words())] },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.nodes) node.signal('SIGKILL');
    // Runners and what they run live in sessions of their own; all of them carry the folder's name.
    const left = (): number[] => pidsWith(this.folder, ['cmdline', 'environ']);
    await until('all processes of the mesh are gone', () => {
      const pids = left();
      for (const pid of pids) kill(pid, 'SIGKILL');
      return pids.length === 0;
    });
    rmSync(this.folder, { recursive: true, force: true });
  }
}
