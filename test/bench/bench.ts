// `npm run bench [-- --only WORD] [--runs N] [--out FILE]`: every figure next to its floor, measured in the same run.
import { spawnSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { bullmqRate, startRedis } from './bullmq.ts';
import { copyRate, levelWriteMs, spawnMs, startBareServer, xargsSeconds } from './floors.ts';
import { measure, percentile, printRow, type Row } from './measure.ts';
import { type BenchNode, Load, residentMb, skein, startNode, stopNode } from './mesh.ts';

const HELP = `usage: npm run bench [-- options]
  --only WORD   figures whose name holds WORD
  --runs N      runs of each, at least 5 for a figure to quote (5)
  --out FILE    where the JSON goes (bench.json)
`;
const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    runs: { type: 'string', default: '5' },
    out: { type: 'string', default: 'bench.json' },
    help: { type: 'boolean', default: false },
  },
});

const runs = Number(values.runs);
const folder = mkdtempSync(join(tmpdir(), 'skein-bench-'));
const rows: Row[] = [];
const lines = (count: number): string[] => Array.from({ length: count }, (_, n) => String(n + 1));
const wanted = (name: string): boolean => name.includes(values.only);

async function figure(pairing: Omit<Parameters<typeof measure>[0], 'runs'>): Promise<void> {
  if (!wanted(pairing.name)) return;
  const row = await measure({ ...pairing, runs });
  rows.push(row);
  printRow(row);
}

/** Never granted: it measures the submission alone. */
const parked = { command: ['/bin/true'], needs: { cpu: 4096 } };
const BULLMQ_ELSEWHERE = 6_100;
const noop = { command: ['noop'], runtime: 'noop' };

async function submissions(load: Load): Promise<void> {
  const bare = await startBareServer();
  const floor = new Load(bare.url);
  for (const [inFlight, count] of [
    [1, 300],
    [32, 3_000],
    [256, 6_000],
  ] as const) {
    await figure({
      name: `submissions, ${inFlight} in flight`,
      unit: '/s',
      ours: () => load.rate(count, inFlight, () => load.submit(parked)),
      floor: { name: 'bare Fastify', run: () => floor.rate(count, inFlight, () => floor.submit(parked)) },
    });
  }
  floor.close();
  bare.stop();
  await figure({
    name: 'submissions one at a time, each',
    unit: 'ms',
    ours: async () => 1000 / (await load.rate(200, 1, () => load.submit(parked))),
    floor: { name: 'synced LevelDB write', run: () => levelWriteMs(folder, 200) },
  });
}

async function latencies(load: Load): Promise<void> {
  const once = async (spec: object): Promise<number> => {
    const startedAt = performance.now();
    await load.ended(await load.submit(spec));
    return performance.now() - startedAt;
  };
  const many = async (spec: object, share: number): Promise<number> => {
    const figures: number[] = [];
    for (let n = 0; n < 60; n++) figures.push(await once(spec));
    return percentile(figures, share);
  };
  const least = async (): Promise<number> => 3 * (await levelWriteMs(folder, 100)) + (await spawnMs(30)) + 4;
  await figure({ name: 'one no-op task, submit to result, p50', unit: 'ms', ours: () => many(noop, 0.5) });
  await figure({ name: 'one no-op task, submit to result, p99', unit: 'ms', ours: () => many(noop, 0.99) });
  const name = '3 synced writes + spawn + 4 ms';
  const script = { command: ['/bin/true'] };
  await figure({
    name: 'one /bin/true task, p50',
    unit: 'ms',
    ours: () => many(script, 0.5),
    floor: { name, run: least },
    target: { most: 1 },
  });
  await figure({
    name: 'one /bin/true task, p99',
    unit: 'ms',
    ours: () => many(script, 0.99),
    floor: { name, run: least },
  });
}

async function noops(ours: () => Promise<number>): Promise<void> {
  const name = 'no-op tasks, granted and finished';
  if (!wanted(name)) return;
  const redis = await startRedis(folder);
  const floor =
    redis === undefined
      ? { name: 'BullMQ as measured elsewhere, no redis here', run: async () => BULLMQ_ELSEWHERE }
      : { name: 'BullMQ, every write synced', run: () => bullmqRate(redis, 10_000) };
  try {
    await figure({ name, unit: '/s', ours, floor, target: { least: 0.5 } });
  } finally {
    await redis?.stop();
  }
}

async function throughput(load: Load): Promise<void> {
  const array = async (spec: object, count: number): Promise<number> => {
    const startedAt = performance.now();
    await load.ended(await load.submit({ ...spec, items: { range: { from: 1, to: count } } }));
    return (count / (performance.now() - startedAt)) * 1000;
  };
  await noops(() => array(noop, 10_000));
  await figure({
    name: '/bin/true tasks',
    unit: '/s',
    ours: () => array({ command: ['/bin/true'] }, 300),
    floor: { name: 'xargs -P2', run: async () => 300 / (await xargsSeconds(lines(300), 2, ['/bin/true'])) },
    target: { least: 0.5 },
  });
  const accepted = async (spec: object): Promise<number> => {
    const startedAt = performance.now();
    await load.submit(spec);
    return performance.now() - startedAt;
  };
  await figure({
    name: 'an array of 10,000 accepted',
    unit: 'ms',
    ours: () => accepted({ ...parked, items: { list: lines(10_000) } }),
    floor: { name: 'one submission', run: () => accepted(parked) },
    target: { most: 10 },
  });
}

const SCRIPT = `import sys
name = sys.argv[1]
data = open(name, "rb").read()
open(name.split("/")[-1] + ".out", "wb").write(data[::-1])
`;

/** 200 python scripts with 1 MB in and 1 MB out each, as a user runs them. */
async function scripts(mesh: readonly string[], name: string, most: number): Promise<void> {
  if (!wanted(name)) return;
  const work = join(folder, 'scripts');
  if (!existsSync(work)) {
    mkdirSync(join(work, 'in'), { recursive: true });
    writeFileSync(join(work, 'flip.py'), SCRIPT);
    for (const n of lines(200)) writeFileSync(join(work, 'in', n), randomFillSync(Buffer.alloc(1_000_000)));
  }
  const files = lines(200).map((n) => `in/${n}`);
  const ours = async (): Promise<number> => {
    const startedAt = performance.now();
    const out = `out-${process.hrtime.bigint()}`;
    await skein(folder, work, ['run', ...mesh, '-q', '--output-dir', out, '--batch', 'in/*', 'flip.py']);
    const seconds = (performance.now() - startedAt) / 1000;
    rmSync(join(work, out), { recursive: true });
    return seconds;
  };
  await figure({
    name,
    unit: 's',
    ours,
    floor: { name: 'xargs -P2', run: () => xargsSeconds(files, 2, ['python3', 'flip.py'], work) },
    target: { most },
  });
}

async function blobs(node: BenchNode): Promise<void> {
  const bytes = 256 * 1024 * 1024;
  const name = 'blob upload, 256 MiB';
  if (!wanted(name)) return;
  const source = join(folder, 'large');
  const fill = (): void => writeFileSync(source, randomFillSync(Buffer.alloc(bytes)));
  fill();
  await figure({
    name,
    unit: 'MB/s',
    async ours() {
      // New bytes each time: what a gateway has is not sent again.
      fill();
      const startedAt = performance.now();
      await skein(folder, folder, [
        'run',
        '-q',
        '-d',
        '--gateway',
        node.url,
        '--key-file',
        join(node.data, 'admin.key'),
        '/bin/true',
        'large',
      ]);
      return bytes / 1e6 / ((performance.now() - startedAt) / 1000);
    },
    floor: { name: 'streamed copy with sha-256', run: () => copyRate(source, join(folder, 'copy'), bytes) },
  });
}

async function starts(): Promise<void> {
  let count = 0;
  await figure({
    name: 'cold start of a node',
    unit: 's',
    async ours() {
      const startedAt = performance.now();
      const node = await startNode(folder, `cold-${count++}`, [
        'up',
        '--http',
        '127.0.0.1:0',
        '--listen',
        '127.0.0.1:0',
      ]);
      const seconds = (performance.now() - startedAt) / 1000;
      await stopNode(node);
      return seconds;
    },
  });
}

/** A shim that first looks for the right python would else be most of what is measured, on both sides. */
function preferRealPython(): void {
  const asked = spawnSync('python3', ['-c', 'import os, sys; print(os.path.realpath(sys.executable))'], {
    encoding: 'utf8',
  });
  if (asked.status === 0) process.env.PATH = `${dirname(asked.stdout.trim())}:${process.env.PATH}`;
}

async function main(): Promise<void> {
  preferRealPython();
  process.stdout.write(
    `${cpus().length} cpus, load ${loadavg()[0]?.toFixed(2)}, ${runs} runs each: median (min–max)\n\n`,
  );
  const node = await startNode(folder, 'node', [
    'up',
    '--http',
    '127.0.0.1:0',
    '--listen',
    '127.0.0.1:0',
    '--slots',
    '2',
  ]);
  const load = Load.of(node);
  try {
    await figure({ name: 'RSS of an idle node', unit: 'MB', ours: async () => residentMb(node.pid) });
    await latencies(load);
    await throughput(load);
    await blobs(node);
    await submissions(load);
    await figure({ name: 'RSS of a node after all that', unit: 'MB', ours: async () => residentMb(node.pid) });
  } finally {
    load.close();
    await stopNode(node);
  }
  await scripts(['--mesh', 'local'], '200 python scripts, 1 MB in and out, local', 1.2);
  await apart();
  await starts();
}

/** A gateway and two workers as processes of their own. */
async function apart(): Promise<void> {
  const name = '200 python scripts, 1 MB in and out, workers apart';
  if (!wanted(name)) return;
  const gateway = await startNode(folder, 'gateway', [
    'up',
    '--roles',
    'gateway,voter',
    '--http',
    '127.0.0.1:0',
    '--listen',
    '127.0.0.1:0',
  ]);
  const at = ['--gateway', gateway.url, '--key-file', join(gateway.data, 'admin.key')];
  const ticket = await skein(folder, folder, ['ticket', ...at, '--uses', '2']);
  const workers = [
    await startNode(folder, 'worker-1', ['join', ticket, '--slots', '1', '--listen', '127.0.0.1:0']),
    await startNode(folder, 'worker-2', ['join', ticket, '--slots', '1', '--listen', '127.0.0.1:0']),
  ];
  try {
    await scripts(at, name, 1.5);
  } finally {
    for (const node of [...workers, gateway]) await stopNode(node);
  }
}

if (values.help) process.stdout.write(HELP);
else {
  try {
    await main();
  } finally {
    writeFileSync(
      values.out,
      `${JSON.stringify({ at: new Date().toISOString(), node: process.version, cpu: cpus()[0]?.model, rows }, null, 2)}\n`,
    );
    rmSync(folder, { recursive: true, force: true });
  }
}
