// `skein outputs get JOB[/TASK] [PATH]`: fetches results, resumes what was begun, verifies what arrived.
import { createWriteStream } from 'node:fs';
import { matchesGlob, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { SkeinClient } from '../../../gateway/client/client.ts';
import type { JobView } from '../../../protocol/api/job.ts';
import type { JobSpec } from '../../../protocol/api/jobspec.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import { stateFolder } from '../../config/folders.ts';
import { formatSize } from '../../config/units.ts';
import { type Call, type Command, flag, isSet } from '../call.ts';
import { type Mesh, openMesh } from '../mesh.ts';
import { transferProgress } from '../output/transfer-progress.ts';
import { type FetchedFile, Fetcher } from '../outputs/fetch.ts';
import { jobFiles } from '../outputs/job-files.ts';
import { writtenRecord } from '../outputs/record.ts';
import { placeOf } from '../run/follow-job.ts';
import { tasksOf } from '../run/tasks-of.ts';
import { type Selected, select } from '../selector.ts';

export const command: Command = async (call: Call) => {
  const from = call.world.surroundings;
  const selected = await select(call.args[0] ?? '@last', from);
  const mesh = await openMesh(call);
  const { client } = mesh;
  const job = await client.job(selected.job);
  const quit = new AbortController();
  const off = call.world.onSignal(['SIGINT', 'SIGTERM', 'SIGHUP'], () => quit.abort());
  try {
    const tar = flag(call, 'tar');
    if (tar !== undefined) await getTar(call, client, job, selected, tar, quit.signal);
    else await getFiles(call, mesh, job, selected, quit.signal);
  } catch (error) {
    if (!quit.signal.aborted) throw error;
  } finally {
    off();
  }
  return quit.signal.aborted ? 130 : 0;
};

async function getFiles(
  call: Call,
  { client, dataFolder }: Mesh,
  job: JobView,
  selected: Selected,
  signal: AbortSignal,
): Promise<void> {
  const from = call.world.surroundings;
  const spec = job.spec as unknown as JobSpec;
  const isBatch = job.tasks.total > 1 || spec.items !== undefined;
  const { folder } = await placeOf(call, job.jobId, spec);
  const outputDir = resolve(from.cwd, flag(call, 'outputDir') ?? (isBatch ? 'outputs' : '.'));
  const files = await jobFiles(spec, job.tasks.total, folder, (sha256) => client.readBlob(sha256, signal));
  const [, path] = call.args;
  const only = flag(call, 'only');
  const progress = transferProgress(call);
  const fetcher = new Fetcher(client, files, writtenRecord(stateFolder(from)), {
    jobId: job.jobId,
    outputDir,
    isBatch,
    overwrite: isSet(call, 'overwrite'),
    dataFolder,
    onProgress: (files, of) => progress(`fetching ${files} of ${of} files`),
    wants: (each) => isBelow(each, path) && (only === undefined || matchesGlob(each, only)),
    signal,
  });
  const fetched: FetchedFile[] = [];
  for (const task of tasksOf(selected, job)) for (const file of await fetcher.fetchTask(task)) fetched.push(file);
  await call.screen.area([]);
  if (fetched.length === 0 && (path !== undefined || only !== undefined)) {
    throw new SkeinError('not-found', `${job.jobId} left no file ${path ?? only}`, {
      fix: `skein outputs ls ${job.jobId}`,
    });
  }
  await tell(call, fetched, outputDir);
  const failed = fetched.filter(({ placed }) => placed.kind === 'failed').length;
  if (failed === 0) return;
  throw new SkeinError('file-unreadable', `${failed} of ${fetched.length} files have no place here`, {
    fix: 'make room for them, or fetch into another folder: --output-dir DIR',
  });
}

const isBelow = (path: string, wanted: string | undefined): boolean =>
  wanted === undefined || path === wanted || path.startsWith(`${wanted.replace(/\/$/, '')}/`);

async function tell(call: Call, fetched: readonly FetchedFile[], outputDir: string): Promise<void> {
  for (const { placed } of fetched) if (placed.note !== undefined) await call.screen.say(placed.note);
  const placed = fetched.filter(({ placed: { kind } }) => kind !== 'failed');
  const bytes = placed.reduce((sum, file) => sum + file.bytes, 0);
  await call.screen.say(
    `${placed.length === 1 ? 'one file' : `${placed.length} files`}, ${formatSize(bytes)}, in ${outputDir}`,
  );
  if (call.flags.json !== true) return;
  const items = fetched.map(({ task, path, bytes, sha256, placed }) => ({
    task,
    path,
    bytes,
    sha256,
    local: placed.path,
    placed: placed.kind,
  }));
  await call.screen.answer(JSON.stringify({ schema: 'skein.fetched/1', outputDir, items, next: null }));
}

async function getTar(
  call: Call,
  client: SkeinClient,
  job: JobView,
  { tasks }: Selected,
  file: string,
  signal: AbortSignal,
): Promise<void> {
  const [, prefix] = call.args;
  const query = {
    ...(tasks === undefined
      ? {}
      : { tasks: tasks.from === tasks.to ? String(tasks.from) : `${tasks.from}-${tasks.to}` }),
    ...(prefix === undefined ? {} : { prefix }),
  };
  const bytes = await client.readTar(job.jobId, query, signal);
  if (file === '-') {
    for await (const chunk of bytes) await call.world.stdout.write(chunk);
    return;
  }
  const path = resolve(call.world.surroundings.cwd, file);
  await pipeline(
    Readable.from(bytes, { objectMode: false }),
    createWriteStream(path, { flags: isSet(call, 'overwrite') ? 'w' : 'wx' }),
  ).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'EEXIST') throw cause;
    throw new SkeinError('state-conflict', `${file} is there already`, {
      cause,
      fix: 'name another, or add --overwrite',
    });
  });
  await call.screen.say(`wrote ${path}`);
}
