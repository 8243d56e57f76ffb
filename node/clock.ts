// The real clock and the real source of chance. Only main.ts and programs of their own (the CLI, the runner) make them.
import { createHash, randomBytes } from 'node:crypto';
import { uptime as systemUptime } from 'node:os';
import type { Random } from '../protocol/random.ts';
import type { Clock } from '../protocol/time.ts';

export function realClock(): Clock {
  return {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    // Linux counts suspend here (/proc/uptime is CLOCK_BOOTTIME), in steps of 10 ms; leases need no finer.
    uptime: () => systemUptime() * 1000,
    sleep,
    every(ms, f, signal) {
      if (signal.aborted) return;
      const timer = setInterval(f, ms);
      signal.addEventListener('abort', () => clearInterval(timer), { once: true });
    },
  };
}

function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
}

/** The operating system's randomness, of which `next` is fit for jitter and `bytes` for secrets. */
export function realRandom(): Random {
  return {
    next: () => Math.random(),
    bytes: (count) => randomBytes(count),
    fork: () => realRandom(),
  };
}

/** A repeatable stream for tests and the simulator: SHA-256 in counter mode over the seed's name. */
export function seededRandom(seed: string): Random {
  let counter = 0;
  let pool = Buffer.alloc(0);
  const bytes = (count: number): Uint8Array => {
    while (pool.length < count) {
      pool = Buffer.concat([pool, createHash('sha256').update(`${seed}/${counter++}`).digest()]);
    }
    const out = pool.subarray(0, count);
    pool = pool.subarray(count);
    return out;
  };
  return {
    bytes,
    next: () => Buffer.from(bytes(6)).readUIntBE(0, 6) / 2 ** 48,
    fork: (name) => seededRandom(`${seed}/${name}`),
  };
}
