// macOS: no namespaces and no /proc, so trees are found with `ps`: by ancestry, group and a marker in the environment.
import { execFileSync } from 'node:child_process';
import type { Platform, Tree, TreeLook } from './platform.ts';
import { sendSignal } from './signal.ts';

interface Row {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  readonly state: string;
  /** Arguments, then the environment where it may be seen. */
  readonly words: readonly string[];
}

export const darwin: Platform = {
  openFile: () => undefined,
  commandLine: () => undefined,
  bootId: () => execFileSync('/usr/sbin/sysctl', ['-n', 'kern.bootsessionuuid'], { encoding: 'utf8' }).trim(),
  namespaceCommand: async () => undefined,
  namespaceTree: () => {
    throw new Error('macOS has no PID namespaces');
  },
  markedTree,
  killMarked,
  children: (pid) => rows().flatMap((row) => (row.parent === pid ? [row.pid] : [])),
  withArgument: (argument) => rows().flatMap((row) => (row.words.includes(argument) ? [row.pid] : [])),
  isAlive: (pid) => rows().some((row) => row.pid === pid && !isZombie(row)),
};

const isZombie = (row: Row): boolean => row.state.startsWith('Z');

function rows(): readonly Row[] {
  const text = execFileSync('/bin/ps', ['-axwwE', '-o', 'pid=,ppid=,pgid=,state=,command='], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  return text.split('\n').flatMap((line) => {
    const [pid, parent, group, state, ...words] = line.trim().split(/\s+/);
    if (pid === undefined || state === undefined) return [];
    return [{ pid: Number(pid), parent: Number(parent), group: Number(group), state, words }];
  });
}

function markedTree(first: number, marker: string): Tree {
  const members = (): readonly Row[] => {
    const all = rows().filter((row) => row.pid !== process.pid);
    const pids = new Set<number>([first]);
    for (const row of all) if (row.group === first || row.words.includes(marker)) pids.add(row.pid);
    for (let before = 0; before !== pids.size; ) {
      before = pids.size;
      for (const row of all) if (pids.has(row.parent)) pids.add(row.pid);
    }
    return all.filter((row) => pids.has(row.pid));
  };
  return {
    signal: (signal) => {
      for (const row of members()) sendSignal(row.pid, signal);
    },
    look: () => lookAt(members()),
  };
}

function lookAt(members: readonly Row[]): TreeLook {
  const living = members.filter((row) => !isZombie(row));
  return {
    alive: living.length,
    moving: living.filter((row) => !row.state.startsWith('T')).length,
    zombies: members.length - living.length,
  };
}

function killMarked(name: string, match: (value: string) => boolean): readonly number[] {
  const prefix = `${name}=`;
  const marked = rows().filter(
    (row) =>
      row.pid !== process.pid &&
      !isZombie(row) &&
      row.words.some((word) => word.startsWith(prefix) && match(word.slice(prefix.length))),
  );
  for (const row of marked) sendSignal(row.pid, 'SIGKILL');
  return marked.map((row) => row.pid);
}
