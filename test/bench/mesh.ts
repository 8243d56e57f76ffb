// Nodes for a benchmark: started as a user would start them, spoken to over HTTP.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const launcher = fileURLToPath(new URL('../../node/launcher.js', import.meta.url));

export interface BenchNode {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly data: string;
  readonly url: string;
}

export function environment(folder: string): NodeJS.ProcessEnv {
  mkdirSync(folder, { recursive: true });
  return { ...process.env, XDG_STATE_HOME: join(folder, 'state'), XDG_CONFIG_HOME: join(folder, 'config') };
}

export async function startNode(folder: string, name: string, argv: readonly string[]): Promise<BenchNode> {
  const data = join(folder, name);
  const child = spawn(process.execPath, [launcher, ...argv, '--data', data, '--name', name, '--ready-fd', '3'], {
    env: environment(folder),
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  });
  const pipe = child.stdio[3] as NodeJS.ReadableStream;
  const ready = await Promise.race([
    once(pipe, 'data').then(([line]) => JSON.parse(String(line)) as { pid: number; url: string | null }),
    once(child, 'exit').then(([code]) => Promise.reject(new Error(`${name} ended with ${code}`))),
  ]);
  return { child, pid: ready.pid, data, url: ready.url ?? '' };
}

export async function stopNode(node: BenchNode): Promise<void> {
  process.kill(node.pid, 'SIGTERM');
  await once(node.child, 'exit');
}

/** Runs a command line of skein to its end. */
export async function skein(folder: string, cwd: string, argv: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [launcher, ...argv], {
    cwd,
    env: environment(folder),
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
  if (code !== 0) throw new Error(`skein ${argv.join(' ')} exited with ${code}: ${err}`);
  return out.trim();
}

export const residentMb = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? Number.NaN) / 1024;

/** A plain HTTP client over kept connections: the load must cost less than what it measures. */
export class Load {
  readonly #base: URL;
  readonly #key: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 256 });

  constructor(url: string, key = '') {
    this.#base = new URL(url);
    this.#key = key;
  }

  static of(node: BenchNode): Load {
    return new Load(node.url, readFileSync(join(node.data, 'admin.key'), 'utf8').trim());
  }

  call<T>(method: string, path: string, body?: unknown): Promise<T> {
    return new Promise((resolve, reject) => {
      const payload = body === undefined ? undefined : JSON.stringify(body);
      const headers: Record<string, string | number> = { authorization: `Bearer ${this.#key}` };
      if (payload !== undefined) {
        headers['content-type'] = 'application/json';
        headers['content-length'] = Buffer.byteLength(payload);
        headers['idempotency-key'] = randomUUID();
      }
      const { hostname, port } = this.#base;
      const sent = request({ hostname, port, method, path, headers, agent: this.#agent }, (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (chunk: string) => {
          text += chunk;
        });
        answer.on('end', () => {
          if ((answer.statusCode ?? 500) >= 400) reject(new Error(`${method} ${path}: ${answer.statusCode} ${text}`));
          else resolve((text === '' ? undefined : JSON.parse(text)) as T);
        });
      });
      sent.on('error', (error) => reject(new Error(`${method} ${path}: ${error.message}`)));
      sent.end(payload);
    });
  }

  async submit(spec: object): Promise<string> {
    const { jobId } = await this.call<{ jobId: string }>('POST', '/v1/jobs', { schema: 'skein.jobspec/1', ...spec });
    return jobId;
  }

  /** Until the job has ended; a job that did not complete is an error. */
  async ended(jobId: string): Promise<void> {
    for (;;) {
      const { state } = await this.call<{ state: string }>('GET', `/v1/jobs/${jobId}/wait?timeoutMs=20000`);
      if (state === 'completed') return;
      if (state !== 'queued' && state !== 'running') throw new Error(`${jobId} is ${state}`);
    }
  }

  /** `count` calls with `inFlight` at once. @returns calls per second */
  async rate(count: number, inFlight: number, call: () => Promise<unknown>): Promise<number> {
    let left = count;
    const startedAt = performance.now();
    const lane = async (): Promise<void> => {
      while (left-- > 0) await call();
    };
    await Promise.all(Array.from({ length: inFlight }, lane));
    return (count / (performance.now() - startedAt)) * 1000;
  }

  close(): void {
    this.#agent.destroy();
  }
}
