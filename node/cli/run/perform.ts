// Runs what was asked: files looked at while the mesh is reached, what it lacks sent, the job submitted and accompanied.
import type { Config } from '../../config/config.ts';
import type { Connection } from '../../config/connection.ts';
import { formatSize } from '../../config/units.ts';
import { unlessAborted } from '../../unless-aborted.ts';
import { type Call, flag, isSet } from '../call.ts';
import { confirm } from '../confirm.ts';
import { EXIT } from '../exit-codes.ts';
import { newIdempotencyKey } from '../idempotency-key.ts';
import { connect, type Mesh } from '../mesh.ts';
import { transferProgress } from '../output/transfer-progress.ts';
import { noteJob } from '../own-jobs.ts';
import { sayIfSlow } from '../say-if-slow.ts';
import { shortId, skeinCommand } from '../selector.ts';
import type { Plan } from '../upload/plan.ts';
import { type Sending, send } from '../upload/send.ts';
import { accompany, handleInterrupts, type InterruptHandle } from './accompany.ts';
import type { FileRequest } from './job-file.ts';
import { prepare, takesItems } from './prepare.ts';
import { settling, withdraw } from './settle.ts';
import { missesStdin, stdinKind } from './stdin.ts';

/** Answers the exit code. */
export async function perform(
  call: Call,
  config: Config,
  request: FileRequest,
  connection: Connection,
): Promise<number> {
  const isLocal = connection.kind === 'local';
  const interrupts = handleInterrupts(call, { isLocal, onExit: config.job.onExit });
  let dispose: (() => void) | undefined;
  // From then on the gateway may have taken the job, whether its answer arrives or not.
  const posted = { yet: false };
  try {
    const connecting = connect(call, connection);
    // Awaited below; until then a failure must not count as unhandled.
    connecting.catch(() => undefined);
    const preparing = prepare(call, config, request, { isLocal, signal: interrupts.signal });
    const { plan, stdin } = await sayIfSlow(call, 'reading what goes along', preparing);
    dispose = stdin?.dispose;
    for (const note of plan.notes) await call.screen.say(note);
    const reached = unlessAborted(connecting, interrupts.signal);
    const mesh = await sayIfSlow(call, isLocal ? 'starting the mesh local' : 'reaching the gateway', reached);
    if (stdin === undefined && !takesItems(request) && missesStdin(stdinKind(), request.script)) {
      await call.screen.say('the script gets no standard input; add --stdin to send what is piped in');
    }
    return await submit(call, config, plan, { mesh, interrupts, posted });
  } catch (error) {
    if (!interrupts.signal.aborted) throw error;
    await call.screen.sayNow(posted.yet ? 'it may have been submitted: skein list' : 'nothing was submitted');
    return EXIT.detached;
  } finally {
    dispose?.();
    interrupts.stop();
  }
}

async function submit(
  call: Call,
  config: Config,
  plan: Plan,
  { mesh, interrupts, posted }: { readonly mesh: Mesh; readonly interrupts: InterruptHandle; posted: { yet: boolean } },
): Promise<number> {
  const { screen, world } = call;
  const sent = await upload(call, plan, mesh, interrupts);
  const key = flag(call, 'idempotencyKey') ?? newIdempotencyKey(call);
  interrupts.signal.throwIfAborted();
  posted.yet = true;
  const settle = settling(call, interrupts.signal);
  const { jobId, waiting } = await mesh.client.submit(plan.spec, key, settle.signal).finally(settle.stop);
  await note(call, jobId);
  if (interrupts.signal.aborted) return withdraw(call, mesh, jobId, config.job.onExit);
  if (!isSet(call, 'detach')) await screen.say(firstLine(jobId, plan, sent));
  if (waiting !== null) await screen.say(`${shortId(jobId)} waits: ${waiting.sentence}`);
  if (isSet(call, 'detach')) return detached(call, mesh, jobId);
  return accompany({
    call,
    jobs: mesh.client,
    jobId,
    spec: plan.spec,
    taskCount: plan.taskCount,
    isLocal: mesh.isLocal,
    dataFolder: mesh.dataFolder,
    outputDir: config.job.fetch === false ? undefined : plan.spec.origin?.outputDir,
    overwrite: config.job.overwrite ?? false,
    folder: plan.spec.origin?.folder ?? world.surroundings.cwd,
    follow: isSet(call, 'follow'),
    onExit: config.job.onExit,
    progress: config.job.progress ?? 'auto',
    interrupts,
  });
}

async function note({ screen, world }: Call, jobId: string): Promise<void> {
  try {
    await noteJob(jobId, world.surroundings);
  } catch (error) {
    // The job runs: that comes first.
    await screen.say(
      `@last will not know ${shortId(jobId)}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

async function upload(call: Call, plan: Plan, { client }: Mesh, interrupts: InterruptHandle): Promise<Sending> {
  const tell = transferProgress(call);
  const sent = await send(plan.uploads, client, {
    signal: interrupts.signal,
    confirm: (question) => confirm(question, call),
    onProgress: (bytes, of) => tell(`uploading ${formatSize(bytes)} of ${formatSize(of.bytes)}`),
  });
  await call.screen.area([]);
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
  const known = Math.min(sent.known, files.length);
  const there = known > 0 ? `, ${known} already there` : '';
  return `${files.length} files ${formatSize(total)}${there}`;
}

async function detached(call: Call, mesh: Mesh, jobId: string): Promise<number> {
  const { screen, flags } = call;
  await screen.answer(flags.json === true ? JSON.stringify(await mesh.client.job(jobId)) : jobId);
  const [logs, stop, back] = ['logs -f', 'cancel', 'attach'].map((verb) => skeinCommand(call, verb, jobId));
  await screen.say(`logs: ${logs}   stop: ${stop}   back: ${back}`);
  return 0;
}
