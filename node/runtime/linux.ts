// Linux: namespaces and /proc. The only file of the runtime that touches either.
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { assert } from '../../protocol/errors.ts';
import type { OpenFile, Platform, Tree, TreeLook } from './platform.ts';
import { sendSignal } from './signal.ts';

const NAMESPACE = ['--pid', '--fork', '--kill-child=SIGKILL', '--mount-proc', '--propagation', 'slave'];
// The price of rights without root: in there files of other users show as nobody's, and sudo does not work.
const AS_USER = ['--user', '--map-current-user'];
const PROBE_DEADLINE_MS = 5000;

export const linux: Platform = {
  bootId: () => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim(),
  namespaceCommand,
  namespaceTree,
  markedTree,
  killMarked,
  children,
  withArgument,
  openFile,
  commandLine: () => readFileSync('/proc/self/cmdline'),
  isAlive: (pid) => pid > 0 && stateOf(pid) !== 'gone',
};

async function namespaceCommand(): Promise<readonly string[] | undefined> {
  const unshare = ['/usr/bin/unshare', '/bin/unshare', '/usr/local/bin/unshare'].find((path) => existsSync(path));
  if (unshare === undefined) return undefined;
  // Root in a container without CAP_SYS_ADMIN may still have user namespaces.
  const plain = [unshare, ...NAMESPACE];
  const asUser = [unshare, ...AS_USER, ...NAMESPACE];
  for (const command of process.getuid?.() === 0 ? [plain, asUser] : [asUser]) {
    if (await works(command)) return command;
  }
  return undefined;
}

/** Whether a shell started so is process 1 of what its /proc shows. */
function works(command: readonly string[]): Promise<boolean> {
  const [file, ...args] = command as [string, ...string[]];
  const probe = [...args, '/bin/sh', '-c', 'read -r pid rest </proc/self/stat && test $$ = 1 && test $pid = 1'];
  return new Promise((resolve) => {
    execFile(file, probe, { timeout: PROBE_DEADLINE_MS, env: {} }, (error) => resolve(error === null));
  });
}

function namespaceTree(): Tree {
  // Anywhere else kill(-1) would reach the whole machine.
  assert(process.pid === 1, 'only the first process of a namespace may signal all of it');
  return {
    signal: (signal) => void sendSignal(-1, signal),
    look: () => lookAt(processIds().filter((pid) => pid !== 1)),
  };
}

function markedTree(first: number, marker: string): Tree {
  const since = statOf(first)?.startedTicks ?? 0;
  const members = (): readonly number[] => membersOf(first, since, marker);
  return {
    signal: (signal) => {
      for (const pid of members()) sendSignal(pid, signal);
    },
    look: () => lookAt(members()),
  };
}

/** Ancestry is lost when a parent dies, the session by setsid, the marker by a cleared environment: so all three. */
function membersOf(first: number, sinceTicks: number, marker: string): readonly number[] {
  const all = processIds().flatMap((pid) => {
    const stat = statOf(pid);
    // What is older than the script it did not start: that spares reading most environments.
    return stat === undefined || pid === process.pid || stat.startedTicks < sinceTicks ? [] : [stat];
  });
  const members = new Set<number>([first]);
  for (const stat of all) {
    if (stat.group === first || stat.session === first || environmentOf(stat.pid).includes(marker)) {
      members.add(stat.pid);
    }
  }
  for (let before = 0; before !== members.size; ) {
    before = members.size;
    for (const stat of all) if (members.has(stat.parent) || members.has(stat.session)) members.add(stat.pid);
  }
  return all.filter((stat) => members.has(stat.pid)).map((stat) => stat.pid);
}

function killMarked(name: string, match: (value: string) => boolean): readonly number[] {
  const prefix = `${name}=`;
  const marked = processIds().filter((pid) =>
    environmentOf(pid).some((entry) => entry.startsWith(prefix) && match(entry.slice(prefix.length))),
  );
  const living = marked.filter((pid) => pid !== process.pid && stateOf(pid) !== 'gone');
  for (const pid of living) sendSignal(pid, 'SIGKILL');
  return living;
}

function children(pid: number): readonly number[] {
  return read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number);
}

function withArgument(argument: string): readonly number[] {
  return processIds().filter((pid) => read(`/proc/${pid}/cmdline`).split('\0').includes(argument));
}

const O_APPEND = 0o2000;

function openFile(fd: number): OpenFile | undefined {
  const text = read(`/proc/self/fdinfo/${fd}`);
  const offset = Number(/pos:\s*(\d+)/.exec(text)?.[1] ?? Number.NaN);
  const flags = Number.parseInt(/flags:\s*(\d+)/.exec(text)?.[1] ?? '0', 8);
  if (!Number.isSafeInteger(offset)) return undefined;
  return { path: `/proc/self/fd/${fd}`, offset, appends: (flags & O_APPEND) !== 0 };
}

function lookAt(pids: readonly number[]): TreeLook {
  const look = { alive: 0, moving: 0, zombies: 0 };
  for (const pid of pids) {
    const state = stateOf(pid);
    if (state === 'gone') look.zombies += statOf(pid) === undefined ? 0 : 1;
    else look.alive += 1;
    if (state === 'moving') look.moving += 1;
  }
  return look;
}

/** Judged over all threads: a process whose first thread has ended shows as a zombie while the others run on. */
function stateOf(pid: number): 'gone' | 'stopped' | 'moving' {
  let state: 'gone' | 'stopped' = 'gone';
  for (const thread of list(`/proc/${pid}/task`)) {
    const letter = parseStat(read(`/proc/${pid}/task/${thread}/stat`))?.state ?? 'X';
    if ('ZX'.includes(letter)) continue;
    if (!'Tt'.includes(letter)) return 'moving';
    state = 'stopped';
  }
  return state;
}

interface Stat {
  readonly pid: number;
  readonly state: string;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  /** Since the boot. */
  readonly startedTicks: number;
}

const statOf = (pid: number): Stat | undefined => parseStat(read(`/proc/${pid}/stat`));

/** The command's name may hold spaces and parentheses, so everything is counted from its last `)`. */
function parseStat(text: string): Stat | undefined {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state, parent, group, session] = fields;
  if (state === undefined || state === '' || session === undefined) return undefined;
  return {
    pid: Number.parseInt(text, 10),
    state,
    parent: Number(parent),
    group: Number(group),
    session: Number(session),
    startedTicks: Number(fields[19]),
  };
}

const environmentOf = (pid: number): readonly string[] => read(`/proc/${pid}/environ`).split('\0');
const processIds = (): readonly number[] =>
  list('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    // The process ended between the listing and this, or belongs to another user: either way not ours to see.
    return '';
  }
}

function list(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    // As in read().
    return [];
  }
}
