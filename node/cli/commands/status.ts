// `skein status JOB[/TASK]`: how it stands, why it waits, what was tried.
import type { AttemptView, JobView, TaskView } from '../../../protocol/api/job.ts';
import { formatDuration } from '../../config/units.ts';
import { type Call, type Command, isSet } from '../call.ts';
import { openMesh } from '../mesh.ts';
import { formatTime } from '../output/instant.ts';
import { failureLine, plainProgress } from '../output/progress.ts';
import { formatTable, printable } from '../output/table.ts';
import { oneTask, select, shortId } from '../selector.ts';
import { showOrWatch } from '../show.ts';

const ATTEMPTS_SHOWN = 40;

export const command: Command = async (call: Call) => {
  const from = call.world.surroundings;
  const selected = await select(call.args[0] ?? '@last', from);
  const task = oneTask(selected);
  const { client } = await openMesh(call);
  let state = '';
  await showOrWatch(call, async (signal) => {
    if (task === undefined) {
      const view = await client.job(selected.job, signal);
      state = view.state;
      return { document: view, text: () => jobText(view, call) };
    }
    const view = await client.task(selected.job, task, signal);
    state = view.state;
    return { document: view, text: () => taskText(view, call) };
  });
  return isSet(call, 'check') && state !== 'completed' ? 1 : 0;
};

function jobText(view: JobView, call: Call): string {
  const name = shortId(view.jobId);
  const lines = [`${view.jobId}  ${view.state}${view.name === null ? '' : `  ${printable(view.name)}`}`];
  const add = (label: string, value: string): void => void lines.push(`  ${label.padEnd(10)}${value}`);
  if (view.tasks.total > 1) add('tasks', plainProgress(view));
  if (view.exit !== null) add('exit', `${view.exit.code ?? '-'} (${view.exit.source}, ${view.exit.reason})`);
  if (view.waiting !== null) add('waits', printable(view.waiting.sentence));
  if (view.cancelRequested)
    add('cancel', `asked for${view.cancelReason === null ? '' : `: ${printable(view.cancelReason)}`}`);
  add('submitted', `${formatTime(view.submittedAt, call.world.clock.now())} UTC by ${printable(view.submittedBy)}`);
  if (view.durationMs !== null) add('took', formatDuration(view.durationMs));
  if (view.outputDir !== null) add('outputs', printable(view.outputDir));
  for (const failure of view.failures) lines.push(`  ✗ ${failureLine(view, failure, name)}`);
  const shown = Math.min(view.attempts.length, ATTEMPTS_SHOWN);
  const cut =
    shown < view.attemptCount
      ? `${shown} of ${view.attemptCount} attempts are shown; those of one task: skein status ${name}/TASK\n`
      : '';
  return `${lines.join('\n')}\n${attemptTable(view.attempts, call)}${cut}`;
}

function taskText(view: TaskView, call: Call): string {
  const item = view.item === null ? '' : `  ${printable(view.item)}`;
  const exit = view.exit === null ? '' : `  exit ${view.exit.code ?? '-'} (${view.exit.source}, ${view.exit.reason})`;
  return `${view.jobId}/${view.task}  ${view.state}${item}${exit}\n${attemptTable(view.attempts, call)}`;
}

function attemptTable(attempts: readonly AttemptView[], call: Call): string {
  if (attempts.length === 0) return '';
  const now = call.world.clock.now();
  const rows = attempts
    .slice(-ATTEMPTS_SHOWN)
    .map((each) => [
      String(each.task),
      String(each.n),
      each.peer,
      each.state,
      formatTime(each.startedAt, now),
      each.startedAt === null
        ? '-'
        : formatDuration((each.endedAt === null ? now : Date.parse(each.endedAt)) - Date.parse(each.startedAt)),
      each.exit === null ? '-' : String(each.exit.code ?? '-'),
      [each.reason, each.detail].filter((part) => part !== null).join(': '),
    ]);
  const header = ['TASK', 'ATTEMPT', 'PEER', 'STATE', 'STARTED', 'TOOK', 'EXIT', 'REASON'];
  return formatTable({ header, rows }, call.world.stdout.columns);
}
