// What the figures are held against: the least that each could cost on this machine.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import fastify from 'fastify';
import { Level } from 'level';

/** A Fastify server that parses a body and stores nothing, in a process of its own. */
export async function startBareServer(): Promise<{ readonly url: string; stop(): void }> {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', fileURLToPath(import.meta.url), 'serve'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const url = await new Promise<string>((resolve) =>
    child.stdout.once('data', (line: Buffer) => resolve(line.toString().trim())),
  );
  return { url, stop: () => void child.kill() };
}

async function serve(): Promise<void> {
  const app = fastify();
  app.post('/v1/jobs', async (_, reply) =>
    reply.code(201).send({ schema: 'skein.submitted/1', jobId: 'j-aaaaaaaaaaaaaaaa' }),
  );
  process.stdout.write(`${await app.listen({ port: 0, host: '127.0.0.1' })}\n`);
}

/** Synced batches of 300 bytes, one after the other. @returns ms each */
export async function levelWriteMs(folder: string, count: number): Promise<number> {
  const db = new Level<string, string>(join(folder, `level-${process.hrtime.bigint()}`));
  await db.open();
  const value = 'x'.repeat(300);
  const startedAt = performance.now();
  for (let n = 0; n < count; n++) await db.batch([{ type: 'put', key: String(n), value }], { sync: true });
  const ms = (performance.now() - startedAt) / count;
  await db.close();
  await rm(db.location, { recursive: true, force: true });
  return ms;
}

/** One process after the other, from a small one. @returns ms each */
export async function spawnMs(count: number): Promise<number> {
  const startedAt = performance.now();
  for (let n = 0; n < count; n++) await command(['/bin/true']);
  return (performance.now() - startedAt) / count;
}

export function command(argv: readonly string[], options: { cwd?: string; input?: string } = {}): Promise<void> {
  return new Promise((resolve, reject) => {
    const [file = '', ...args] = argv;
    const child = spawn(file, args, {
      cwd: options.cwd,
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'ignore', 'inherit'],
    });
    child.stdin?.end(options.input);
    child.on('error', reject);
    child.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`${argv.join(' ')} exited with ${code}`))));
  });
}

/** `xargs -P` over lines, each appended to the command. @returns seconds */
export async function xargsSeconds(
  lines: readonly string[],
  lanes: number,
  argv: readonly string[],
  cwd?: string,
): Promise<number> {
  const startedAt = performance.now();
  await command(['xargs', `-P${lanes}`, '-n1', ...argv], {
    input: `${lines.join('\n')}\n`,
    ...(cwd === undefined ? {} : { cwd }),
  });
  return (performance.now() - startedAt) / 1000;
}

/** A streamed copy with sha-256 and an fsync. @returns MB/s */
export async function copyRate(source: string, target: string, bytes: number): Promise<number> {
  const startedAt = performance.now();
  const hash = createHash('sha256');
  await pipeline(
    createReadStream(source, { highWaterMark: 1 << 18 }),
    async function* (chunks) {
      for await (const chunk of chunks) {
        hash.update(chunk as Uint8Array);
        yield chunk;
      }
    },
    createWriteStream(target),
  );
  const file = await open(target);
  await file.sync();
  await file.close();
  const seconds = (performance.now() - startedAt) / 1000;
  await rm(target);
  return bytes / 1e6 / seconds;
}

if (process.argv[2] === 'serve') await serve();
