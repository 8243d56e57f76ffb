// The environment of a task: all of it, so that nothing of the daemon's or the caller's leaks in. Pure.

export interface TaskEnvironment {
  /** The caller's PATH, on the mesh `local` alone; elsewhere the worker's own. */
  readonly path: string;
  /** Folder of the caller's active virtual environment, on `local` alone. */
  readonly virtualEnv: string | null;
  /** Scratch, not the user's. */
  readonly homeFolder: string;
  readonly tmpFolder: string;
  readonly lang: string;
  readonly job: string;
  readonly task: number;
  readonly attempt: number;
  /** The item's text, or null where the job is of one task. */
  readonly item: string | null;
  readonly workFolder: string;
  /** Granted cpus, possibly a fraction. */
  readonly cpus: number;
  /** What the job sets itself; it wins. */
  readonly env: Readonly<Record<string, string>>;
}

/** Libraries that else take one thread for each cpu of the machine, once in every slot. */
const THREAD_COUNTS = [
  'OMP_NUM_THREADS',
  'OPENBLAS_NUM_THREADS',
  'MKL_NUM_THREADS',
  'BLIS_NUM_THREADS',
  'VECLIB_MAXIMUM_THREADS',
  'NUMEXPR_NUM_THREADS',
  'NUMBA_NUM_THREADS',
  'POLARS_MAX_THREADS',
  'RAYON_NUM_THREADS',
  'JULIA_NUM_THREADS',
  'GOMAXPROCS',
];

export function taskEnvironment(from: TaskEnvironment): Readonly<Record<string, string>> {
  const threads = String(Math.max(1, Math.floor(from.cpus)));
  return {
    PATH: searchPath(from.path, from.virtualEnv),
    ...(from.virtualEnv === null ? {} : { VIRTUAL_ENV: from.virtualEnv }),
    HOME: from.homeFolder,
    TMPDIR: from.tmpFolder,
    LANG: from.lang,
    SKEIN_JOB: from.job,
    SKEIN_TASK: String(from.task),
    SKEIN_ATTEMPT: String(from.attempt),
    ...(from.item === null ? {} : { SKEIN_ITEM: from.item }),
    SKEIN_WORK: from.workFolder,
    ...Object.fromEntries(THREAD_COUNTS.map((name) => [name, threads])),
    ...from.env,
  };
}

/** The environment's own commands first, as its `activate` would have it. */
function searchPath(path: string, virtualEnv: string | null): string {
  if (virtualEnv === null) return path;
  const bin = `${virtualEnv}/bin`;
  return [bin, ...path.split(':').filter((folder) => folder !== bin && folder !== '')].join(':');
}
