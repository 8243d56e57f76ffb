// `skein list`: jobs, the latest first.
import type { JobList, JobListItem } from '../../../protocol/api/job.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import { formatDuration, parseDuration } from '../../config/units.ts';
import { type Call, type Command, flag, isSet } from '../call.ts';
import { openMesh } from '../mesh.ts';
import { formatTime } from '../output/instant.ts';
import { formatTable } from '../output/table.ts';
import { shortId } from '../selector.ts';
import { type Answer, showOrWatch } from '../show.ts';

const PAGE_MAX = 500;

export const command: Command = async (call: Call) => {
  const { client } = await openMesh(call);
  const wanted = isSet(call, 'all') ? Number.POSITIVE_INFINITY : limitOf(call);
  const columns = columnsOf(call);
  const state = flag(call, 'state');
  const label = flag(call, 'label');
  const since = sinceOf(call);
  const filter = {
    ...(state === undefined ? {} : { state }),
    ...(label === undefined ? {} : { label }),
    ...(since === undefined ? {} : { since }),
  };
  await showOrWatch(call, async (signal): Promise<Answer> => {
    const items: JobListItem[] = [];
    let next: string | null = null;
    do {
      const limit = Math.min(PAGE_MAX, wanted - items.length);
      const page: JobList = await client.jobs({ ...filter, limit, ...(next === null ? {} : { cursor: next }) }, signal);
      items.push(...page.items);
      next = page.next;
    } while (next !== null && items.length < wanted);
    return {
      document: { schema: 'skein.joblist/1', items, next } satisfies JobList,
      text: () => table(items, columns, call),
    };
  });
  return 0;
};

const COLUMNS = {
  job: (item: JobListItem, call: Call) => (call.world.stdout.isTerminal ? shortId(item.jobId) : item.jobId),
  state: (item: JobListItem) => item.state,
  tasks: ({ tasks }: JobListItem) => `${tasks.completed + tasks.failed + tasks.cancelled}/${tasks.total}`,
  failed: ({ tasks }: JobListItem) => String(tasks.failed),
  submitted: (item: JobListItem, call: Call) => formatTime(item.submittedAt, call.world.clock.now()),
  took: (item: JobListItem) => (item.durationMs === null ? '-' : formatDuration(item.durationMs)),
  name: (item: JobListItem) => item.name ?? '-',
  labels: (item: JobListItem) =>
    Object.entries(item.labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(',') || '-',
  waiting: (item: JobListItem) => item.waiting?.sentence ?? '',
} as const;
type Column = keyof typeof COLUMNS;
const DEFAULT: readonly Column[] = ['job', 'state', 'tasks', 'failed', 'submitted', 'took', 'name', 'waiting'];

function columnsOf(call: Call): readonly Column[] {
  const text = flag(call, 'columns');
  if (text === undefined) return DEFAULT;
  const names = text.split(',').map((name) => name.trim().toLowerCase());
  const wrong = names.find((name) => !Object.hasOwn(COLUMNS, name));
  if (wrong === undefined) return names as Column[];
  throw new SkeinError('usage', `no column ${wrong}`, { fix: `some of ${Object.keys(COLUMNS).join(',')}` });
}

function table(items: readonly JobListItem[], columns: readonly Column[], call: Call): string {
  const rows = items.map((item) => columns.map((name) => COLUMNS[name](item, call)));
  return formatTable({ header: columns.map((name) => name.toUpperCase()), rows }, call.world.stdout.columns);
}

function limitOf(call: Call): number {
  const text = flag(call, 'limit') ?? '50';
  const n = Number(text);
  if (Number.isInteger(n) && n >= 1) return n;
  throw new SkeinError('usage', `--limit ${text} is no number from 1`, { fix: 'give a number, or --all' });
}

/** `2h` ago, or a time. */
function sinceOf(call: Call): string | undefined {
  const text = flag(call, 'since');
  if (text === undefined) return undefined;
  const ago = parseDuration(text);
  const at = ago === undefined ? Date.parse(text) : call.world.clock.now() - ago;
  if (Number.isNaN(at))
    throw new SkeinError('usage', `--since ${text} is no time`, { fix: 'give 2h, or 2026-11-24T10:00:00Z' });
  return new Date(at).toISOString();
}
