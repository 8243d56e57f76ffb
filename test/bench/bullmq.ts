// BullMQ with every write of its redis synced: what a user with a broker would have. Only where redis is installed.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Queue, Worker } from 'bullmq';

const BULK = 1_000;
const AT_ONCE = 100;

export interface Redis {
  readonly socket: string;
  stop(): Promise<void>;
}

/** Undefined where there is no redis-server on the PATH. */
export async function startRedis(folder: string): Promise<Redis | undefined> {
  if (spawnSync('redis-server', ['--version']).status !== 0) return undefined;
  const place = join(folder, 'redis');
  mkdirSync(place);
  const socket = join(place, 'socket');
  const synced = ['--appendonly', 'yes', '--appendfsync', 'always', '--save', ''];
  const child = spawn('redis-server', ['--port', '0', '--unixsocket', socket, '--dir', place, ...synced], {
    stdio: 'ignore',
  });
  const until = performance.now() + 10_000;
  while (!existsSync(socket)) {
    if (performance.now() > until || child.exitCode !== null) throw new Error('redis-server did not start');
    await pause(20);
  }
  return {
    socket,
    async stop() {
      child.kill();
      await once(child, 'exit');
    },
  };
}

/** From the first job added to the last one completed, by a worker that does nothing. @returns jobs per second */
export async function bullmqRate(redis: Redis, count: number): Promise<number> {
  const connection = { path: redis.socket, maxRetriesPerRequest: null };
  const queue = new Queue('bench', { connection });
  await queue.waitUntilReady();
  const worker = new Worker('bench', async () => undefined, { connection, concurrency: AT_ONCE });
  await worker.waitUntilReady();
  let left = count;
  const done = new Promise<void>((resolve) => {
    worker.on('completed', () => {
      left--;
      if (left === 0) resolve();
    });
  });
  const startedAt = performance.now();
  for (let n = 0; n < count; n += BULK) {
    await queue.addBulk(Array.from({ length: BULK }, (_, k) => ({ name: 'noop', data: { n: n + k } })));
  }
  await done;
  const rate = (count / (performance.now() - startedAt)) * 1000;
  await worker.close();
  await queue.obliterate({ force: true });
  await queue.close();
  return rate;
}
