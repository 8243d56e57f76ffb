// Looks at real processes from outside: found by a word of their command line that nothing else has.
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { platform } from '../../../node/runtime/platform.ts';
import type { AttemptEnded, AttemptSpec, Runtime } from '../../../node/runtime/port.ts';
import { makeRealMachine, type RealMachine, type RealOptions } from '../../contract/runtime/machine.ts';

let words = 0;

/** A number of seconds, far off, that serves as the name of one `sleep`. */
export function sleepWord(): string {
  words += 1;
  return `86400.${process.pid}${String(words).padStart(4, '0')}`;
}

export const alive = (word: string): boolean => platform.withArgument(word).some((pid) => platform.isAlive(pid));

/** Innermost first is not promised; `unshare` and the runner proper both carry the argument. */
export function runnerPids(machine: RealMachine): readonly number[] {
  const argument = `--runner-home=${realpathSync(machine.folder)}/run`;
  return platform.withArgument(argument).filter((pid) => platform.isAlive(pid));
}

/** The runner itself, not the `unshare` around it. */
export function innerRunners(machine: RealMachine): readonly number[] {
  const all = runnerPids(machine);
  return all.filter((pid) => !platform.children(pid).some((child) => all.includes(child)));
}

export function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

export const textOf = (file: string): string => readFileSync(file, 'utf8');

export function lend(
  machine: RealMachine,
  runtime: Runtime,
  leaseMs = 600_000,
  fences: AttemptSpec['fence'][] = [],
): void {
  runtime.extend({ untilMs: machine.uptime() + leaseMs, leaseMs, fences });
}

/** Runs one attempt to its end on a machine of its own daemon. */
export async function run(machine: RealMachine, spec: AttemptSpec): Promise<AttemptEnded> {
  const { runtime } = await machine.daemon();
  lend(machine, runtime);
  return (await runtime.start(spec)).ended;
}

export async function onMachine(options: RealOptions, body: (machine: RealMachine) => Promise<void>): Promise<void> {
  const machine = await makeRealMachine(options);
  try {
    await body(machine);
  } finally {
    await machine.close();
  }
}

/** Whether attempts have a namespace of their own here. */
export async function hasNamespaces(): Promise<boolean> {
  return (await platform.namespaceCommand()) !== undefined;
}
