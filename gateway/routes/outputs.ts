// What tasks left behind: the manifest of one, a file of it, or everything of a job as one archive.
import { hash } from 'node:crypto';
import { Readable } from 'node:stream';
import { Type } from 'typebox';
import type { OutputEntry } from '../../protocol/api/job.ts';
import { OutputManifest } from '../../protocol/api/job.ts';
import { publishedAttempt } from '../../protocol/api/jobview.ts';
import { SkeinError } from '../../protocol/errors.ts';
import type { OutputFile } from '../../protocol/state/result.ts';
import type { TaskRow } from '../../protocol/state/rows.ts';
import { callerIn, requires } from '../auth.ts';
import type { App, Context, Reply, Request } from '../context.ts';
import { about, JobParam, query, raw, refusals, TaskParam, unchanged } from '../described.ts';
import type { FoundJob } from '../jobs.ts';
import { Consistency, fresh } from '../reads.ts';
import { serve } from '../serve.ts';
import { checkEntries, Tar, type TarFile } from '../tar.ts';
import { checkTask } from './tasks.ts';

export function outputRoutes(app: App, context: Context): void {
  const { mesh, jobs } = context;
  const onRequest = requires(mesh, 'read');
  app.get(
    '/v1/jobs/:id/tasks/:n/outputs',
    {
      schema: {
        ...about({ tag: 'outputs', summary: 'The files that a task left behind', scope: 'read' }),
        params: Type.Object(TaskParam),
        querystring: query(Consistency),
        response: { 200: OutputManifest, ...refusals },
      },
      onRequest,
    },
    async (request, reply) => {
      await fresh(context, request, reply);
      const { task, n, job } = await taskOf(context, request);
      const files = task === undefined ? [] : await publishedFiles(context, task);
      const published = task && publishedAttempt(task);
      return {
        schema: 'skein.outputs/1' as const,
        jobId: job.jobId,
        task: n,
        attempt: published?.n ?? null,
        stdoutBytes: published === undefined ? null : (published.stdout?.sizeBytes ?? 0),
        stderrBytes: published === undefined ? null : (published.stderr?.sizeBytes ?? 0),
        items: files.toSorted(bytewise).map(entryOf),
        next: null,
      };
    },
  );
  app.route({
    method: ['GET', 'HEAD'],
    url: '/v1/jobs/:id/tasks/:n/outputs/*',
    exposeHeadRoute: false,
    schema: {
      ...about({ tag: 'outputs', summary: 'One file that a task left behind; Range is taken', scope: 'read' }),
      params: Type.Object({ ...TaskParam, '*': Type.String({ maxLength: 4096, description: 'the path of the file' }) }),
      querystring: query(Consistency),
      response: { 200: raw('The bytes'), 206: raw('A range of them'), 304: unchanged, ...refusals },
    },
    onRequest,
    handler: async (request, reply) => {
      await fresh(context, request as typeof request & { query: { consistency?: string } }, reply);
      const { task, n, job } = await taskOf(context, request);
      const path = (request.params as { '*': string })['*'];
      const files = task === undefined ? [] : await publishedFiles(context, task);
      return sendFile(context, request, reply, files, path, `task ${n} of ${job.jobId}`);
    },
  });
  app.route({
    method: ['GET', 'HEAD'],
    url: '/v1/jobs/:id/outputs.tar',
    exposeHeadRoute: false,
    schema: {
      ...about({
        tag: 'outputs',
        summary: 'All that the tasks of a job left behind, as tar; Range is taken',
        description:
          'Sorted by path, without times. Of a job with several tasks every path begins with the number of its task.',
        scope: 'read',
      }),
      params: Type.Object(JobParam),
      querystring: query({
        tasks: Type.Optional(Type.String({ pattern: '^[1-9]\\d{0,8}(-[1-9]\\d{0,8})?$', description: 'N or A-B' })),
        prefix: Type.Optional(
          Type.String({ maxLength: 4096, description: 'only paths, in their task, that begin so' }),
        ),
        ...Consistency,
      }),
      response: {
        200: raw('The archive', 'application/x-tar'),
        206: raw('A range of it', 'application/x-tar'),
        304: unchanged,
        ...refusals,
      },
    },
    onRequest,
    handler: async (request, reply) => {
      const asked = request as typeof request & { query: { consistency?: string; tasks?: string; prefix?: string } };
      await fresh(context, asked, reply);
      const found = await jobs.find((request.params as { id: string }).id, callerIn(request).key.project);
      return sendTar(context, request, reply, await tarFiles(context, found, asked.query));
    },
  });
}

async function taskOf(context: Context, request: Request) {
  const { id, n } = request.params as { id: string; n: number };
  const found = await context.jobs.find(id, callerIn(request).key.project);
  checkTask(found, n);
  return { ...found, n, task: context.jobs.task(found.job.jobId, n) };
}

async function publishedFiles({ mesh }: Context, task: TaskRow): Promise<readonly OutputFile[]> {
  if ((publishedAttempt(task)?.outputs ?? null) === null) return [];
  try {
    return await mesh.outputFiles(task);
  } catch (error) {
    if (!(error instanceof SkeinError) || error.code !== 'not-found') throw error;
    throw new SkeinError('gone', `the outputs of task ${task.n} were kept no longer than their time`, { cause: error });
  }
}

const bytewise = (a: OutputFile, b: OutputFile): number => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path));

function entryOf(file: OutputFile): OutputEntry {
  if (file.kind === 'link') {
    return { path: file.path, kind: 'link', mode: null, bytes: null, sha256: null, target: file.target };
  }
  if (file.kind === 'folder') {
    return { path: file.path, kind: 'folder', mode: file.mode, bytes: null, sha256: null, target: null };
  }
  const { path, mode, sha256, span } = file;
  return { path, kind: 'file', mode, bytes: span.sizeBytes, sha256, target: null };
}

async function sendFile(
  { mesh }: Context,
  request: Request,
  reply: Reply,
  files: readonly OutputFile[],
  path: string,
  owner: string,
): Promise<Reply> {
  const file = files.find((one) => one.path === path);
  if (file === undefined) throw new SkeinError('not-found', `${owner} left no file ${path.slice(0, 200)}`);
  if (file.kind === 'link') {
    throw new SkeinError('state-conflict', `${path} is a symbolic link to ${file.target}`, {
      fix: 'ask for what it leads to, or for outputs.tar',
      extra: { target: file.target },
    });
  }
  if (file.kind === 'folder') throw new SkeinError('state-conflict', `${path} is a folder`);
  const { span } = file;
  return serve(request, reply, {
    totalBytes: span.sizeBytes,
    etag: file.sha256,
    type: 'application/octet-stream',
    immutable: false,
    open: (range) => mesh.blobs.readSpan({ ...span, offset: span.offset + range.offset, sizeBytes: range.sizeBytes }),
  });
}

async function tarFiles(
  context: Context,
  found: FoundJob,
  { tasks, prefix }: { readonly tasks?: string; readonly prefix?: string },
): Promise<TarFile[]> {
  const { job } = found;
  const [from, to] = rangeOf(found, tasks);
  const width = String(job.taskCount).length;
  const files: TarFile[] = [];
  for await (const [, task] of context.mesh.scan<TaskRow>(`task/${job.jobId}/`)) {
    if (task.n < from) continue;
    if (task.n > to) break;
    const folder = job.taskCount === 1 ? '' : `${String(task.n).padStart(width, '0')}/`;
    for (const file of await publishedFiles(context, task)) {
      if (file.path.startsWith(prefix ?? '')) files.push(tarFile(folder, file));
    }
    checkEntries(files.length);
  }
  if (files.length > 0 || prefix === undefined) return files;
  throw new SkeinError('not-found', `no output of ${job.jobId} has a path that begins with ${prefix.slice(0, 200)}`, {
    fix: `GET /v1/jobs/${job.jobId}/tasks/N/outputs lists them (skein outputs ls)`,
  });
}

/** `N` or `A-B`, inclusive; all where nothing is said. */
function rangeOf(found: FoundJob, tasks: string | undefined): readonly [number, number] {
  if (tasks === undefined) return [1, found.job.taskCount];
  const [from = 1, to = from] = tasks.split('-').map(Number);
  if (to < from) {
    throw new SkeinError('invalid-request', `the query's field tasks must not end below its start: ${tasks}`, {
      extra: { field: 'tasks' },
    });
  }
  checkTask(found, to);
  return [from, to];
}

function tarFile(folder: string, file: OutputFile): TarFile {
  const path = folder + file.path;
  if (file.kind === 'link') return { path, mode: 0o777, target: file.target };
  if (file.kind === 'folder') return { path: `${path}/`, mode: file.mode };
  return { path, mode: file.mode, span: file.span };
}

async function sendTar({ mesh }: Context, request: Request, reply: Reply, files: readonly TarFile[]): Promise<Reply> {
  const tar = new Tar(files);
  reply.header('content-disposition', 'attachment; filename="outputs.tar"');
  return serve(request, reply, {
    totalBytes: tar.sizeBytes,
    etag: hash('sha256', JSON.stringify(files), 'hex'),
    type: 'application/x-tar',
    immutable: false,
    open: async (range) =>
      Readable.from(
        tar.read(range, (span) => mesh.blobs.readSpan(span)),
        { objectMode: false },
      ),
  });
}
