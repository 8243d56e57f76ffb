// A data folder with real processes in it, for the contract and for tests that do worse to them.
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { realClock, seededRandom } from '../../../node/clock.ts';
import type { RunnerDelays } from '../../../node/runtime/link.ts';
import type { AttemptSpec } from '../../../node/runtime/port.ts';
import { ProcessRuntime } from '../../../node/runtime/process.ts';
import { type EpochId, makeFence } from '../../../protocol/ids.ts';
import type { Machine } from './suite.ts';

const EPOCH = 'e'.repeat(32) as EpochId;
const DEADLINE_MS = 30_000;

export interface RealOptions {
  readonly namespaces?: boolean;
  readonly delays?: Partial<RunnerDelays>;
  /** Where the data folder is made. */
  readonly under?: string;
}

export interface RealMachine extends Machine {
  readonly folder: string;
  daemon(): Promise<{
    readonly runtime: ProcessRuntime;
    readonly found: Awaited<ReturnType<ProcessRuntime['recover']>>;
  }>;
  /** An attempt of any command. */
  command(argv: readonly string[], more?: Partial<AttemptSpec>): AttemptSpec;
  shell(script: string, more?: Partial<AttemptSpec>): AttemptSpec;
}

let daemons = 0;

export async function makeRealMachine(options: RealOptions = {}): Promise<RealMachine> {
  const clock = realClock();
  const folder = mkdtempSync(join(options.under ?? tmpdir(), 'skein-runtime-'));
  const attemptsFolder = join(folder, 'attempts');
  mkdirSync(attemptsFolder);
  const runtimes: ProcessRuntime[] = [];
  let index = 0;
  const command = (argv: readonly string[], more: Partial<AttemptSpec> = {}): AttemptSpec => {
    index += 1;
    const own = join(attemptsFolder, String(index));
    mkdirSync(join(own, 'work'), { recursive: true });
    return {
      fence: makeFence(EPOCH, index),
      argv,
      folder: own,
      workFolder: join(own, 'work'),
      stdinFile: null,
      stdoutFile: join(own, 'stdout'),
      stderrFile: join(own, 'stderr'),
      env: { PATH: '/usr/local/bin:/usr/bin:/bin' },
      timeoutMs: null,
      ...more,
    };
  };
  const shell = (script: string, more?: Partial<AttemptSpec>): AttemptSpec => command(['sh', '-c', script], more);
  return {
    folder,
    command,
    shell,
    async daemon() {
      daemons += 1;
      const random = seededRandom(`${folder}/${daemons}`);
      const log = { warn: (fields: object, message: string) => console.error(message, fields) };
      const runtime = await ProcessRuntime.open(
        { clock, random, log },
        {
          runFolder: join(folder, 'run'),
          attemptsFolder,
          namespaces: options.namespaces ?? true,
          ...(options.delays === undefined ? {} : { delays: options.delays }),
        },
      );
      runtimes.push(runtime);
      return { runtime, found: await runtime.recover() };
    },
    spec({ runMs = 10, code = 0, termCode = null, timeoutMs = null }) {
      const trap = termCode === null ? `trap '' TERM` : `trap 'exit ${termCode}' TERM`;
      // The sleep is waited for in the background, so that the trap runs at once.
      return shell(`${trap}; sleep ${runMs / 1000} & wait; exit ${code}`, { timeoutMs });
    },
    uptime: () => clock.uptime(),
    until: (what, holds) => until(what, holds),
    async close() {
      for (const runtime of runtimes) await runtime.stop({ keep: false });
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
      if (existsSync(folder)) throw new Error(`${folder} could not be removed`);
    },
  };
}

/** Waits for a condition; says what it waited for where that does not come. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  deadlineMs = DEADLINE_MS,
): Promise<void> {
  for (const deadline = performance.now() + deadlineMs; !(await holds()); ) {
    if (performance.now() > deadline) throw new Error(`in ${deadlineMs} ms never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
