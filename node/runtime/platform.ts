// What the runtime needs of an operating system, and the choice of one. Each platform is one file: linux.ts, darwin.ts.

/** Everything that one attempt started and that still exists. */
export interface Tree {
  /** Signals every member, also those that left the process group. */
  signal(signal: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): void;
  look(): TreeLook;
}

export interface TreeLook {
  /** Members that could still do something. */
  readonly alive: number;
  /** Of these, the ones that are not stopped in every thread. */
  readonly moving: number;
  /** Dead ones that nobody has reaped. */
  readonly zombies: number;
}

export interface OpenFile {
  /** Opens it anew, with a place of its own. */
  readonly path: string;
  /** Where the descriptor stands. */
  readonly offset: number;
  /** Every write goes to its end. */
  readonly appends: boolean;
}

export interface Platform {
  /** Differs after each boot. */
  bootId(): string;
  /** The command that starts a program as the first process of a namespace of its own, or undefined where none works. */
  namespaceCommand(): Promise<readonly string[] | undefined>;
  /** What was started in this process's own namespace. Only for its first process. */
  namespaceTree(): Tree;
  /** What `first` started, found by ancestry, session, group and by `marker` in the environment. */
  markedTree(first: number, marker: string): Tree;
  /** Sends SIGKILL to every process whose environment holds a marker that `match` accepts; which they were. */
  killMarked(name: string, match: (value: string) => boolean): readonly number[];
  /** Processes started by `pid`. */
  children(pid: number): readonly number[];
  /** Processes whose command line holds `argument` as a whole. */
  withArgument(argument: string): readonly number[];
  /** The regular file behind a descriptor of this process, or undefined where this system does not tell. */
  openFile(fd: number): OpenFile | undefined;
  /** The bytes of this process's arguments, as the system has them; undefined where it does not tell. */
  commandLine(): Uint8Array | undefined;
  /** Not gone and not a zombie. */
  isAlive(pid: number): boolean;
}

async function load(): Promise<Platform> {
  if (process.platform === 'linux') return (await import('./linux.ts')).linux;
  return (await import('./darwin.ts')).darwin;
}

export const platform: Platform = await load();
