// The order in which a job's tasks go out: those that came back first, then those that never left.
// A task gets a row only when it leaves `queued`, so an array of a million costs one row until it runs.
import type { JobId } from '../ids.ts';
import type { ProgressRow, TaskRow, TaskState } from './rows.ts';

export type Range = readonly [from: number, to: number];

/** The state of task `n`, also of one that has no row. What waits but stands in no queue was cancelled with its job. */
export function taskState(progress: ProgressRow, row: TaskRow | undefined, n: number): TaskState {
  if (row !== undefined && row.state !== 'queued') return row.state;
  return n >= progress.next || inRanges(progress.returned, n) ? 'queued' : 'cancelled';
}

/** The row that a task gets when it first leaves the queue. */
export function firstRow(jobId: JobId, n: number): TaskRow {
  return { jobId, n, state: 'queued', open: null, attempts: [], lost: 0, failed: 0, cancelRequested: false };
}

/** The next tasks to grant, at most `most`. */
export function headOf(progress: ProgressRow, taskCount: number, most: number): number[] {
  const head: number[] = [];
  for (const [from, to] of progress.returned) {
    for (let n = from; n <= to && head.length < most; n++) head.push(n);
  }
  for (let n = progress.next; n <= taskCount && head.length < most; n++) head.push(n);
  return head;
}

/** Takes task `n` out of the queue. */
export function take(progress: ProgressRow, n: number): Pick<ProgressRow, 'next' | 'returned'> {
  if (n < progress.next) return { next: progress.next, returned: without(progress.returned, n) };
  const skipped: Range[] = n > progress.next ? [[progress.next, n - 1]] : [];
  return { next: n + 1, returned: [...progress.returned, ...skipped] };
}

/** Puts task `n` at the head. */
export function giveBack(returned: readonly Range[], n: number): readonly Range[] {
  const first = returned[0];
  if (first !== undefined && first[0] === n + 1) return [[n, first[1]], ...returned.slice(1)];
  return [[n, n], ...returned];
}

/** Puts ascending task numbers behind what has come back already. */
export function append(returned: readonly Range[], tasks: readonly number[]): readonly Range[] {
  const ranges: Range[] = [...returned];
  for (const n of tasks) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === n - 1) ranges[ranges.length - 1] = [last[0], n];
    else ranges.push([n, n]);
  }
  return ranges;
}

export function inRanges(ranges: readonly Range[], n: number): boolean {
  return ranges.some(([from, to]) => from <= n && n <= to);
}

export function without(ranges: readonly Range[], n: number): readonly Range[] {
  return ranges.flatMap(([from, to]): Range[] => {
    if (n < from || n > to) return [[from, to]];
    const rest: Range[] = [];
    if (from < n) rest.push([from, n - 1]);
    if (n < to) rest.push([n + 1, to]);
    return rest;
  });
}
