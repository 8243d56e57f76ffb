// What `skein run` exits with, worked out from rows: the script's own code, or skein's where the script gave none.
import type { Exit, ExitReason } from '../state/result.ts';
import type { AttemptRow, JobRow, ProgressRow, TaskRow } from '../state/rows.ts';
import type { ExitView } from './job.ts';

/** Linux numbers: a shell's 128+n is what people and programs compare with. */
const signals: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGIOT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGSEGV: 11,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGSTKFLT: 16,
  SIGCHLD: 17,
  SIGCONT: 18,
  SIGSTOP: 19,
  SIGTSTP: 20,
  SIGTTIN: 21,
  SIGTTOU: 22,
  SIGURG: 23,
  SIGXCPU: 24,
  SIGXFSZ: 25,
  SIGVTALRM: 26,
  SIGPROF: 27,
  SIGWINCH: 28,
  SIGIO: 29,
  SIGPWR: 30,
  SIGSYS: 31,
};

/** Codes of skein's own, UX.md section 3. */
const CANCELLED = 121;
const LOST = 123;
const SKEIN_FAILED = 125;
const codeOfReason: Readonly<Record<Exclude<ExitReason, 'exited'>, number>> = {
  timeout: 124,
  'out-of-memory': 137,
  'not-found': 127,
  'not-executable': 126,
  'input-lost': SKEIN_FAILED,
  'runtime-failed': SKEIN_FAILED,
};

const skein = (code: number, reason: string, signal: string | null = null): ExitView => ({
  code,
  signal,
  source: 'skein',
  reason,
});

/** An attempt's exit, or null while it has none. */
export function attemptExit(attempt: AttemptRow): ExitView | null {
  if (attempt.exit === null) return null;
  const reason = attempt.reason;
  if (reason !== null && reason in codeOfReason) {
    return skein(codeOfReason[reason as keyof typeof codeOfReason], reason, attempt.exit.signal);
  }
  return { code: statusOf(attempt.exit), signal: attempt.exit.signal, source: 'script', reason: reason ?? 'exited' };
}

function statusOf(exit: Exit): number | null {
  if (exit.signal === null) return exit.code;
  // A real-time signal has no name of its own: SIG34.
  const number = signals[exit.signal] ?? Number(exit.signal.slice('SIG'.length));
  return Number.isInteger(number) ? 128 + number : null;
}

/** A task's exit once it has ended. */
export function taskExit(task: TaskRow): ExitView | null {
  if (task.state === 'queued' || task.state === 'running') return null;
  if (task.state === 'cancelled') return skein(CANCELLED, 'cancelled');
  const last = task.attempts.at(-1);
  if (last === undefined) return skein(SKEIN_FAILED, 'not-started');
  if (last.state === 'lost') return skein(LOST, 'lost-workers');
  return attemptExit(last) ?? skein(SKEIN_FAILED, last.reason ?? 'runtime-failed');
}

/** A job's exit once it has ended: its only task's, or for several 0, 1 or 121. */
export function jobExit(job: JobRow, progress: ProgressRow, only: TaskRow | undefined): ExitView | null {
  if (progress.state === 'queued' || progress.state === 'running') return null;
  if (job.taskCount === 1 && only !== undefined) return taskExit(only);
  if (progress.counts.failed > 0) return { code: 1, signal: null, source: 'skein', reason: 'tasks-failed' };
  if (progress.counts.cancelled > 0 || progress.state === 'cancelled') return skein(CANCELLED, 'cancelled');
  return { code: 0, signal: null, source: 'script', reason: 'exited' };
}
