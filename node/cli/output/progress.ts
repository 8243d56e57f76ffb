// How a job stands, as the lines of a live area and as a plain line for pipes. Pure.
import type { JobView } from '../../../protocol/api/job.ts';
import { formatDuration } from '../../config/units.ts';
import { printable, shorten } from './table.ts';

const BAR_WIDTH = 28;
const FAILURES_SHOWN = 4;

export interface ProgressState {
  readonly view: JobView;
  readonly jobName: string;
  readonly elapsedMs: number;
  readonly columns: number;
}

/** At most 8 lines: counts, failures, why it waits. */
export function progressArea({ view, jobName, elapsedMs, columns }: ProgressState): readonly string[] {
  const { total, completed, failed, cancelled } = view.tasks;
  const done = completed + failed + cancelled;
  const head = ` ${bar(done, total)}  ${counts(view)}    ${formatDuration(elapsedMs)}${left(done, total, elapsedMs)}`;
  const failures = view.failures.slice(-FAILURES_SHOWN).map((failure) => ` ✗ ${failureLine(view, failure, jobName)}`);
  const why = whyWaiting(view);
  const waiting = why === undefined ? [] : [` … ${why}`];
  return [head, ...failures, ...waiting].map((line) => shorten(line, columns - 1));
}

export function plainProgress(view: JobView): string {
  const { total, queued, running, completed, failed, cancelled } = view.tasks;
  const parts = [`${completed + failed + cancelled}/${total} ended`];
  if (failed > 0) parts.push(`${failed} failed`);
  if (cancelled > 0) parts.push(`${cancelled} cancelled`);
  parts.push(`${running} running`, `${queued} queued`);
  const why = whyWaiting(view);
  return parts.join(', ') + (why === undefined ? '' : `: ${why}`);
}

function whyWaiting({ tasks, waiting }: JobView): string | undefined {
  const waits = tasks.running === 0 && tasks.queued > 0 && waiting !== null && waiting.verdict !== 'running';
  return waits ? printable(waiting.sentence) : undefined;
}

function counts({ tasks }: JobView): string {
  const { total, queued, running, completed, failed, cancelled } = tasks;
  return `${completed + failed + cancelled}/${total}  ✓ ${completed}  ✗ ${failed}  ▶ ${running}  … ${queued}`;
}

function bar(done: number, total: number): string {
  const filled = total === 0 ? 0 : Math.round((done / total) * BAR_WIDTH);
  return '█'.repeat(filled) + '·'.repeat(BAR_WIDTH - filled);
}

/** From this job's own pace; nothing before it has one. */
function left(done: number, total: number, elapsedMs: number): string {
  if (done < 3 || done >= total) return '';
  return `, about ${formatDuration((elapsedMs / done) * (total - done))} left`;
}

type Failure = JobView['failures'][number];

/** `photos/0017.jpg  exit 1 on boxtwo: …      skein logs j-m4t9cx/17`. */
export function failureLine(view: JobView, failure: Failure, jobName: string): string {
  const item = failure.item ?? `task ${failure.task}`;
  const where = failure.peer === null ? '' : ` on ${failure.peer}`;
  const code = failure.exit?.code;
  const what = failure.exit?.source === 'script' && code != null ? `exit ${code}${where}` : printable(failure.reason);
  const said = lastLine(failure);
  const look = view.tasks.total > 1 ? `${jobName}/${failure.task}` : jobName;
  return `${printable(item)}  ${what}${said === '' ? '' : `: ${said}`}      skein logs ${look}`;
}

function lastLine({ stderrTail }: Failure): string {
  if (stderrTail === null) return '';
  const lines = Buffer.from(stderrTail.base64, 'base64').toString('utf8').trimEnd().split('\n');
  return printable(lines.at(-1) ?? '').trim();
}
