// From a submitted job to an exit code: what `run`, `attach` and `retry` share. Follows, fetches, sums up.
import { resolve } from 'node:path';
import type { CancelRequest, JobView } from '../../../protocol/api/job.ts';
import type { JobSpec } from '../../../protocol/api/jobspec.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import { stateFolder } from '../../config/folders.ts';
import { formatDuration, formatSize } from '../../config/units.ts';
import type { Call } from '../call.ts';
import { EXIT } from '../exit-codes.ts';
import { newIdempotencyKey } from '../idempotency-key.ts';
import type { Jobs } from '../mesh.ts';
import { ScriptStream } from '../output/script-stream.ts';
import { ReaderGone } from '../output/sink.ts';
import { transferProgress } from '../output/transfer-progress.ts';
import { type FetchedFile, Fetcher } from '../outputs/fetch.ts';
import { type JobFiles, jobFiles } from '../outputs/job-files.ts';
import { writtenRecord } from '../outputs/record.ts';
import { shortId, skeinCommand } from '../selector.ts';
import type { SignalName } from '../world.ts';
import { BatchDisplay } from './batch-display.ts';
import { followBatch } from './follow-batch.ts';
import { followTask, replacedSentence } from './follow-task.ts';
import { type Interruption, Interrupts } from './interrupts.ts';
import { missingInput } from './missing-input.ts';
import { inTime } from './settle.ts';
import { WaitingWatch } from './waiting-watch.ts';

export interface Company {
  readonly call: Call;
  readonly jobs: Jobs;
  readonly jobId: string;
  readonly spec: JobSpec;
  readonly taskCount: number;
  readonly isLocal: boolean;
  /** Of a node of the mesh on this machine, or null. */
  readonly dataFolder: string | null;
  /** Where results go, absolute; undefined to leave them on the mesh. */
  readonly outputDir: string | undefined;
  readonly overwrite: boolean;
  /** Where the job was submitted, absolute: its inputs are known by that. */
  readonly folder: string;
  readonly follow: boolean;
  readonly onExit: 'detach' | 'cancel' | undefined;
  readonly progress: 'auto' | 'bar' | 'plain' | 'none';
  readonly interrupts: InterruptHandle;
}

/** The signals of the whole command: before submission they abandon it, afterwards they detach or cancel. */
export interface InterruptHandle {
  readonly signal: AbortSignal;
  /** What was decided, once something was. */
  readonly decided: () => Interruption | undefined;
  readonly following: (jobId: string, cancel: Cancel) => void;
  readonly stop: () => void;
}

/** The script gets the signal that came here: a Ctrl-C reaches it as one. Without a grace it is killed at once. */
type Cancel = (how: Pick<CancelRequest, 'graceMs' | 'signal'>) => Promise<void>;

/** Ends with the interruption as the signal's reason. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

export function handleInterrupts(
  call: Call,
  options: { readonly isLocal: boolean; readonly onExit: 'detach' | 'cancel' | undefined },
): InterruptHandle {
  const controller = new AbortController();
  let decided: Interruption | undefined;
  let cancel: Cancel | undefined;
  let back = '';
  const { screen, world } = call;
  const rules = {
    isTerminal: world.stderr.isTerminal,
    ...options,
    onFirst: () => void screen.sayNow(`${back}   again to cancel the job`),
    onAction: (what: Interruption, signal: SignalName) => {
      decided = what;
      const leave = (): void => controller.abort(new Interrupted(what));
      if (what === 'cancel') void cancel?.({ signal: signal === 'SIGINT' ? signal : 'SIGTERM' });
      else if (what === 'kill') void cancel?.({ graceMs: 0 }).finally(leave);
      else leave();
    },
  };
  const interrupts = Interrupts.listen(world, rules);
  return {
    signal: controller.signal,
    decided: () => decided,
    following: (jobId, cancelJob) => {
      back = `back: ${skeinCommand(call, 'attach', jobId)}   stop: ${skeinCommand(call, 'cancel', jobId)}`;
      cancel = cancelJob;
      interrupts.submitted();
    },
    stop: () => interrupts.stop(),
  };
}

/** Answers the exit code. Failures that are skein's own are thrown. */
export async function accompany(company: Company): Promise<number> {
  const { call, jobs, jobId, interrupts, isLocal } = company;
  interrupts.following(jobId, async (how) => {
    const asks = isLocal ? 'asking it to stop (10 s; again to kill it)' : `cancelling ${shortId(jobId)}`;
    await call.screen.sayNow(how.graceMs === 0 ? 'killing it' : asks);
    // The stream ends with the job's end; a cancel that fails leaves the job to the second signal.
    const ask = (signal?: AbortSignal) =>
      jobs.cancel(jobId, { reason: 'interrupted', ...how }, newIdempotencyKey(call), signal);
    await (how.graceMs === 0 ? inTime(call, ask) : ask()).catch((error: Error) =>
      call.screen.fail(`${error.message}; the job may go on   stop: ${skeinCommand(call, 'cancel', jobId)}`),
    );
  });
  try {
    const view = isBatch(company) ? await followMany(company) : await followOne(company);
    return interrupts.decided() === 'cancel' ? EXIT.cancelled : view;
  } catch (error) {
    return await unfinished(error, company);
  }
}

const isBatch = ({ taskCount, spec }: Company): boolean => taskCount > 1 || spec.items !== undefined;

async function unfinished(error: unknown, company: Company): Promise<number> {
  const { call, jobId, interrupts } = company;
  if (error instanceof ReaderGone) return EXIT.stdoutClosed;
  switch (interrupts.decided()) {
    case 'detach':
      await call.screen.sayNow(`detached, the job goes on   back: ${skeinCommand(call, 'attach', jobId)}`);
      return EXIT.detached;
    case 'cancel':
    case 'kill':
      return EXIT.cancelled;
    default:
  }
  if (error instanceof SkeinError && LOST_LINK.has(error.code)) {
    await call.screen.fail(`${error.message}; the job goes on   back: ${skeinCommand(call, 'attach', jobId)}`);
    return EXIT.stillGoing;
  }
  throw error;
}

const LOST_LINK = new Set(['unreachable', 'no-leader', 'no-quorum', 'no-answer', 'too-busy']);

async function followOne(company: Company): Promise<number> {
  const { call, jobs, jobId, interrupts } = company;
  const { screen, world, flags } = call;
  const { signal } = interrupts;
  let announced = 0;
  const announce = async (attempt: number): Promise<void> => {
    if (attempt <= announced) return;
    announced = attempt;
    await screen.sayNow(`--- attempt ${attempt}, output starts over ---`);
  };
  const out = new ScriptStream('out', flags.json === true ? world.stderr : world.stdout, screen, announce);
  const err = new ScriptStream('err', world.stderr, screen, announce);
  const watch = new WaitingWatch({ jobs, jobId, screen, clock: world.clock, signal });
  const name = shortId(jobId);
  try {
    await followTask({
      jobs,
      jobId,
      task: 1,
      out,
      err,
      signal,
      onAttempt: async (attempt, isFirst) => {
        if (!isFirst) await screen.sayNow(replacedSentence(attempt, name));
      },
    });
  } finally {
    watch.stop();
  }
  const view = await ended(company);
  const fetched = await fetchAll(company, [1]);
  const whole = out.isWhole();
  return finish(company, view, fetched, {
    whole,
    stderr: Buffer.from(company.spec.oneStream ? out.tail : err.tail).toString(),
  });
}

async function ended({ jobs, jobId, interrupts }: Company): Promise<JobView> {
  for (;;) {
    const view = await jobs.waitFor(jobId, 30_000, interrupts.signal);
    if (view.finishedAt !== null) return view;
  }
}

async function followMany(company: Company): Promise<number> {
  const { call, jobs, jobId, interrupts, follow, progress } = company;
  const files = await filesOf(company);
  const fetcher = fetcherOf(company, files);
  const display = new BatchDisplay(call, jobId, progress);
  const fetched: FetchedFile[] = [];
  let failure: unknown;
  const view = await followBatch({
    jobs,
    jobId,
    clock: call.world.clock,
    signal: interrupts.signal,
    onEnded: async (task) => {
      // Results that cannot be placed must not hide how the other tasks end.
      await fetcher?.fetchTask(task).then(
        (files) => keepSome(fetched, files),
        (error: unknown) => {
          failure ??= error;
        },
      );
    },
    onView: (view) => display.show(view),
    onLine: follow ? (task, line) => lineOf(call, `${files.itemOf(task) ?? task} | ${line}`) : undefined,
  });
  await display.end();
  if (failure !== undefined && interrupts.decided() === undefined) throw failure;
  return finish(company, view, fetched, { whole: true, stderr: '' });
}

const NAMED_MAX = 10_000;

/** A document names files as long as they are few; what is said about one that lies elsewhere is said in any case. */
function keepSome(all: FetchedFile[], more: readonly FetchedFile[]): void {
  for (const file of more) {
    if (all.length < NAMED_MAX || file.placed.note !== undefined) all.push(file);
  }
}

async function lineOf(call: Call, text: string): Promise<void> {
  const bytes = Buffer.from(`${text}\n`);
  await call.screen.script('out', bytes);
}

async function filesOf({ spec, taskCount, folder, jobs, interrupts }: Company): Promise<JobFiles> {
  return jobFiles(spec, taskCount, folder, (sha256) => jobs.readBlob(sha256, interrupts.signal));
}

function fetcherOf(
  company: Company,
  files: JobFiles,
  onProgress?: (files: number, of: number) => void,
): Fetcher | undefined {
  const { call, jobs, jobId, outputDir, overwrite, dataFolder, interrupts } = company;
  if (outputDir === undefined) return undefined;
  return new Fetcher(jobs, files, writtenRecord(stateFolder(call.world.surroundings)), {
    jobId,
    outputDir,
    overwrite,
    dataFolder,
    isBatch: isBatch(company),
    wants: () => true,
    ...(onProgress === undefined ? {} : { onProgress }),
    signal: interrupts.signal,
  });
}

async function fetchAll(company: Company, tasks: readonly number[]): Promise<readonly FetchedFile[]> {
  if (company.outputDir === undefined) return [];
  const tell = transferProgress(company.call);
  const fetcher = fetcherOf(company, await filesOf(company), (files, of) => tell(`fetching ${files} of ${of} files`));
  const fetched: FetchedFile[] = [];
  for (const task of tasks) for (const file of (await fetcher?.fetchTask(task)) ?? []) fetched.push(file);
  await company.call.screen.area([]);
  return fetched;
}

async function finish(
  company: Company,
  view: JobView,
  fetched: readonly FetchedFile[],
  said: { readonly whole: boolean; readonly stderr: string },
): Promise<number> {
  const { call, jobId, outputDir } = company;
  const { screen } = call;
  await screen.area([]);
  for (const [note, kind] of new Map(fetched.map(({ placed }) => [placed.note, placed.kind]))) {
    if (note !== undefined) await (kind === 'failed' ? screen.fail(note) : screen.sayNow(note));
  }
  for (const { detail } of view.attempts.filter(({ reason }) => reason === 'exited')) {
    if (detail !== null) await screen.sayNow(detail);
  }
  const isPlaced = fetched.every(({ placed }) => placed.kind !== 'failed');
  const fault = said.whole ? (isPlaced ? undefined : 'outputs-unplaced') : 'output-differs';
  const exit =
    fault === undefined || view.exit === null
      ? view.exit
      : { code: EXIT.failed, signal: null, source: 'skein' as const, reason: fault };
  const words = summary(company, { ...view, exit }, fetched);
  // Where the script gave no exit code, the words say why; a script has said so itself.
  if (exit?.source === 'skein' && view.tasks.total === 1) await screen.fail(words);
  else await screen.sayNow(words);
  const missing = view.tasks.failed > 0 ? hint(company, said.stderr + tailsOf(view)) : undefined;
  if (missing !== undefined) await screen.sayNow(missing);
  if (fault === 'outputs-unplaced') {
    await screen.fail(`into another folder: ${skeinCommand(call, 'outputs get', jobId)} --output-dir DIR`);
  }
  if (!said.whole) {
    await screen.fail(
      `the output of a new attempt differs from what was passed on before; ${skeinCommand(call, 'logs', jobId)} has the whole`,
    );
  }
  if (call.flags.json === true) await screen.answer(JSON.stringify(document({ ...view, exit }, fetched, outputDir)));
  return exit?.code ?? EXIT.failed;
}

/** Of a batch nothing passed by here but what the view tells of its failures. */
function tailsOf({ failures, tasks }: JobView): string {
  if (tasks.total === 1) return '';
  return failures.map(({ stderrTail }) => Buffer.from(stderrTail?.base64 ?? '', 'base64').toString()).join('\n');
}

function hint({ spec, folder }: Company, stderr: string): string | undefined {
  const input = missingInput(stderr, folder, spec.script?.path);
  return input === undefined ? undefined : `${input} is here and did not go along; add --input ${quoted(input)}`;
}

/** As a shell takes it for one word. */
const quoted = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function summary(company: Company, view: JobView, fetched: readonly FetchedFile[]): string {
  const took = view.durationMs === null ? '' : ` in ${formatDuration(view.durationMs)}`;
  const { completed, failed, cancelled, total } = view.tasks;
  if (total > 1) {
    const counts = [
      `${completed} completed`,
      ...(failed > 0 ? [`${failed} failed`] : []),
      ...(cancelled > 0 ? [`${cancelled} cancelled`] : []),
    ];
    const where = company.outputDir === undefined ? '' : `  outputs in ${shown(company.outputDir, company.call)}/`;
    const again = failed + cancelled > 0 ? `   ${skeinCommand(company.call, 'retry', view.jobId)}` : '';
    return `${counts.join(', ')}${took}${where}${again}`;
  }
  const wrote = wroteWhat(company, fetched);
  const code = view.exit?.code ?? EXIT.failed;
  if (view.exit?.source === 'skein') return `${whySkein(view)}; exit ${code}${took.replace(' in ', ' after ')}${wrote}`;
  const signal = view.exit?.signal ?? null;
  return `${code === 0 ? 'done' : signal === null ? 'failed' : `killed by ${signal}`}${took}, exit ${code}${wrote}`;
}

/** The script gave no exit code: the reason is skein's, as the mesh has it. */
function whySkein(view: JobView): string {
  if (view.exit?.reason === 'output-differs') return 'not all of the output was passed on';
  if (view.exit?.reason === 'outputs-unplaced') return 'not all results have a place here';
  const sentence = view.failures[0]?.reason.replace(/\.$/, '');
  return lowerFirst(sentence) ?? (view.state === 'cancelled' ? 'cancelled' : (view.exit?.reason ?? 'failed'));
}

const lowerFirst = (text: string | undefined): string | undefined =>
  text === undefined ? undefined : text.charAt(0).toLowerCase() + text.slice(1);

function wroteWhat({ call }: Company, fetched: readonly FetchedFile[]): string {
  const written = fetched.filter(({ placed }) => placed.kind !== 'refused' && placed.kind !== 'failed');
  const [first] = written;
  if (first === undefined) return '';
  if (written.length === 1) return `, wrote ${shown(first.placed.path, call)} ${formatSize(first.bytes)}`;
  return `, wrote ${written.length} files ${formatSize(written.reduce((sum, file) => sum + file.bytes, 0))}`;
}

/** As a person here would name it. */
function shown(path: string, call: Call): string {
  const { cwd } = call.world.surroundings;
  return path.startsWith(`${cwd}/`) ? path.slice(cwd.length + 1) : path;
}

/** The job's view with what is known here: where its files lie, and that the output was cut. */
function document(view: JobView, fetched: readonly FetchedFile[], outputDir: string | undefined): JobView {
  if (outputDir === undefined) return view;
  const outputs = fetched.map(({ task, path, bytes, sha256 }) => ({ task, path, bytes, sha256: sha256 ?? '' }));
  return { ...view, outputDir: resolve(outputDir), outputs: outputs.filter((each) => each.sha256 !== '') };
}
