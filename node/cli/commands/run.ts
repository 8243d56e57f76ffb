// `skein run SCRIPT [ARGS]`: submits, streams, fetches, and exits like the script.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Config, type Flags, loadConfig } from '../../config/config.ts';
import { formatSize } from '../../config/units.ts';
import { type Call, type Command, flag, isSet } from '../call.ts';
import { confirm } from '../confirm.ts';
import { EXIT } from '../exit-codes.ts';
import { type Mesh, openMesh } from '../mesh.ts';
import { noteJob } from '../own-jobs.ts';
import { accompany, handleInterrupts, Interrupted, type InterruptHandle, newKey } from '../run/accompany.ts';
import { fillFromCaller, readEnvFile } from '../run/environment.ts';
import { type FileRequest, requestFromFile } from '../run/job-file.ts';
import { readRequest } from '../run/request.ts';
import { missesStdin, type StdinFile, stdinFile, stdinKind } from '../run/stdin.ts';
import { shortId } from '../selector.ts';
import { readItems } from '../upload/items.ts';
import { pathMap } from '../upload/paths.ts';
import { makePlan, type Plan } from '../upload/plan.ts';
import { type Sending, send } from '../upload/send.ts';

export const command: Command = async (call: Call) => {
  const from = call.world.surroundings;
  const config = await loadConfig(settingFlags(call), from);
  const asked = readRequest(call.args, call.flags, (path) => existsSync(resolve(from.cwd, path)));
  const request: FileRequest =
    asked.script === undefined
      ? { ...requestFromFile(config.jobFile), ...(asked.items === undefined ? {} : { items: asked.items }) }
      : { ...asked, script: asked.script, inputs: [], stdin: undefined };
  let isLocal = false;
  const interrupts = handleInterrupts(call, { isLocal: () => isLocal, onExit: config.job.onExit });
  let stdin: StdinFile | undefined;
  try {
    const kind = stdinKind();
    const takesItems = request.items !== undefined && 'file' in request.items && request.items.file === '-';
    stdin =
      request.stdin !== undefined
        ? ownStdin(request.stdin, from.cwd)
        : await stdinFile(takesItems ? 'none' : kind, isSet(call, 'stdin'), call.world);
    // The mesh `local` starts, and says so, while files are looked at.
    const opening = isSet(call, 'dryRun') ? undefined : openMesh(call, config);
    opening?.catch(() => undefined);
    const local = config.connection.mesh === 'local' || (await opening)?.isLocal === true;
    isLocal = local;
    const plan = await planOf(call, config, request, { stdin, isLocal, interrupts });
    for (const note of plan.notes) await call.screen.say(note);
    if (opening === undefined) return await dryRun(call, plan);
    const mesh = await opening;
    if (!takesItems && stdin === undefined && missesStdin(kind, request.script)) {
      await call.screen.say('the script gets no standard input; add --stdin to send what is piped in');
    }
    return await submit(call, config, plan, { mesh, interrupts });
  } catch (error) {
    if (!(error instanceof Interrupted) && !interrupts.signal.aborted) throw error;
    await call.screen.sayNow('nothing was submitted');
    return EXIT.detached;
  } finally {
    stdin?.dispose();
    interrupts.stop();
  }
};

/** Flags as settings: `-e K` filled from the caller, `-l` under its setting's name. */
function settingFlags(call: Call): Flags {
  const { env, label } = call.flags;
  return {
    ...call.flags,
    ...(Array.isArray(env) ? { env: fillFromCaller(env as string[], call.world.surroundings.env) } : {}),
    ...(Array.isArray(label) ? { labels: label } : {}),
  };
}

function ownStdin(path: string, cwd: string): StdinFile {
  return { local: resolve(cwd, path), start: 0, dispose: () => undefined };
}

async function planOf(
  call: Call,
  config: Config,
  request: FileRequest,
  known: { readonly stdin: StdinFile | undefined; readonly isLocal: boolean; readonly interrupts: InterruptHandle },
): Promise<Plan> {
  const from = call.world.surroundings;
  const items = request.items === undefined ? undefined : await readItems(request.items, from.cwd, call.world.stdin);
  const fileEnv: Record<string, string> = {};
  for (const file of config.job.envFile ?? []) Object.assign(fileEnv, await readEnvFile(file, from));
  const env = { ...fileEnv, ...config.job.env };
  const settings = {
    ...config.job,
    ...(Object.keys(env).length > 0 ? { env } : {}),
    input: [...(config.job.input ?? []), ...request.inputs],
  };
  const { PATH, VIRTUAL_ENV } = from.env;
  return makePlan(
    {
      script: request.script,
      args: request.args,
      items,
      settings,
      stdin: known.stdin,
      paths: pathMap(from.cwd),
      home: from.home,
      outputDir: resolve(from.cwd, config.job.outputDir ?? (items === undefined ? '.' : 'outputs')),
      caller: known.isLocal && PATH !== undefined ? { path: PATH, virtualEnv: VIRTUAL_ENV || undefined } : undefined,
    },
    known.interrupts.signal,
  );
}

async function submit(
  call: Call,
  config: Config,
  plan: Plan,
  { mesh, interrupts }: { readonly mesh: Mesh; readonly interrupts: InterruptHandle },
): Promise<number> {
  const { screen, world } = call;
  const sent = await upload(call, plan, mesh, interrupts);
  const key = flag(call, 'idempotencyKey') ?? newKey(call);
  const { jobId, waiting } = await mesh.client.submit(plan.spec, key, interrupts.signal);
  await noteJob(jobId, world.surroundings);
  if (isSet(call, 'detach')) return detached(call, jobId);
  await screen.say(firstLine(jobId, plan, sent));
  if (waiting !== null) await screen.say(`${shortId(jobId)} waits: ${waiting.sentence}`);
  return accompany({
    call,
    jobs: mesh.client,
    jobId,
    spec: plan.spec,
    taskCount: plan.taskCount,
    isLocal: mesh.isLocal,
    outputDir: config.job.fetch === false ? undefined : plan.spec.origin?.outputDir,
    overwrite: config.job.overwrite ?? false,
    folder: plan.spec.origin?.folder ?? world.surroundings.cwd,
    follow: isSet(call, 'follow'),
    onExit: config.job.onExit,
    progress: config.job.progress ?? 'auto',
    interrupts,
  });
}

async function upload(call: Call, plan: Plan, { client }: Mesh, interrupts: InterruptHandle): Promise<Sending> {
  const { screen, world } = call;
  const startedAt = world.clock.monotonic();
  let toldAt = startedAt;
  const sent = await send(plan.uploads, client, {
    signal: interrupts.signal,
    confirm: (question) => confirm(question, call),
    onProgress: (bytes, of) => {
      const now = world.clock.monotonic();
      const line = `uploading ${formatSize(bytes)} of ${formatSize(of.bytes)}`;
      if (screen.isLive) void screen.area([` ${line}`]);
      else if (now - toldAt > 30_000) {
        toldAt = now;
        void screen.say(line);
      }
    },
  });
  await screen.area([]);
  return sent;
}

/** `j-7kqm2w  python3 (.venv)  input.json 1.2 MB`. */
function firstLine(jobId: string, plan: Plan, sent: Sending): string {
  const { virtualEnv } = plan.spec;
  const venv = virtualEnv === undefined ? '' : ` (${virtualEnv.split('/').at(-1)})`;
  const parts = [
    shortId(jobId),
    plan.taskCount > 1 ? `${plan.taskCount} tasks` : '',
    plan.starter + venv,
    whatGoes(plan, sent),
  ];
  return parts.filter((part) => part !== '').join('  ');
}

function whatGoes(plan: Plan, sent: Sending): string {
  const files = plan.taken.filter((each) => each.kind === 'file' && each.path !== plan.spec.script?.path);
  const [only] = files;
  if (only?.kind === 'file' && files.length === 1) return `${only.path} ${formatSize(only.sizeBytes)}`;
  if (files.length === 0) return '';
  const total = files.reduce((sum, each) => sum + (each.kind === 'file' ? each.sizeBytes : 0), 0);
  const there = sent.known > 0 ? `, ${sent.known} already there` : '';
  return `${files.length} files ${formatSize(total)}${there}`;
}

async function detached(call: Call, jobId: string): Promise<number> {
  const { screen, flags } = call;
  if (flags.json === true) {
    await screen.answer(JSON.stringify({ schema: 'skein.submitted/1', jobId }));
  } else if (flags.quiet === true) {
    await screen.answer(jobId);
  } else {
    await screen.answer(jobId);
    await screen.say(
      `logs: skein logs -f ${shortId(jobId)}   stop: skein cancel ${shortId(jobId)}   back: skein attach ${shortId(jobId)}`,
    );
  }
  return 0;
}

async function dryRun(call: Call, plan: Plan): Promise<number> {
  if (call.flags.json === true) {
    const uploads = plan.taken.map((each) => ({ path: each.path, kind: each.kind, because: each.because }));
    await call.screen.answer(
      JSON.stringify({ schema: 'skein.dryrun/1', tasks: plan.taskCount, uploads, estimate: null, spec: plan.spec }),
    );
    return 0;
  }
  const { formatTable } = await import('../output/table.ts');
  const rows = plan.taken.map((each) => [
    each.path,
    each.kind === 'file' ? formatSize(each.sizeBytes) : each.kind,
    each.because,
  ]);
  await call.screen.say(
    `${plan.taskCount === 1 ? 'one task' : `${plan.taskCount} tasks`}, ${plan.starter}; nothing was sent`,
  );
  await call.screen.answer(
    formatTable({ header: ['TAKES ALONG', 'SIZE', 'BECAUSE OF'], rows }, call.world.stdout.columns),
  );
  return 0;
}
