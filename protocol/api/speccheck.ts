// What a schema cannot say of a job: fields that exclude each other, paths that would leave the task's folder.
import type { InputFile, JobSpec } from './jobspec.ts';

export interface Fault {
  readonly field: string;
  /** Goes on from the field's name: `must …`. */
  readonly expected: string;
}

const TASKS_MAX = 1_000_000;

/** The first thing wrong with a spec that has the documented form, or undefined. */
export function specFault(spec: JobSpec): Fault | undefined {
  return sourceFault(spec) ?? itemsFault(spec) ?? textFault(spec) ?? filesFault(spec);
}

function sourceFault(spec: JobSpec): Fault | undefined {
  const { script, command } = spec;
  if (script === undefined && command === undefined) return { field: 'script', expected: 'or command is needed' };
  if (script !== undefined && command !== undefined) {
    return { field: 'command', expected: 'must not stand beside script: one of the two' };
  }
  const expected = script === undefined ? undefined : pathFault(script.path);
  if (expected !== undefined) return { field: 'script.path', expected };
  return script?.as?.includes('\0') ? { field: 'script.as', expected: 'must not hold a NUL' } : undefined;
}

function itemsFault(spec: JobSpec): Fault | undefined {
  const { items } = spec;
  if (items === undefined || !('range' in items)) return undefined;
  const count = items.range.to - items.range.from + 1;
  if (count < 1) return { field: 'items.range.to', expected: 'must not be below from' };
  if (count > TASKS_MAX) return { field: 'items.range', expected: `must not make more than ${TASKS_MAX} tasks` };
  return undefined;
}

/** No argument, variable or name that reaches the operating system can hold a NUL. */
function textFault(spec: JobSpec): Fault | undefined {
  const expected = 'must not hold a NUL';
  for (const [field, texts] of [
    ['command', spec.command],
    ['args', spec.args],
    ['interpreter', spec.interpreter],
  ] as const) {
    const at = texts?.findIndex((text) => text.includes('\0')) ?? -1;
    if (at >= 0) return { field: `${field}.${at}`, expected };
  }
  if (spec.command?.[0] === '') return { field: 'command.0', expected: 'must not be empty' };
  for (const name in spec.env) if (spec.env[name]?.includes('\0')) return { field: `env.${name}`, expected };
  return undefined;
}

function filesFault(spec: JobSpec): Fault | undefined {
  if (spec.inputs !== undefined && spec.inputsManifest !== undefined) {
    return { field: 'inputsManifest', expected: 'must not stand beside inputs' };
  }
  return inputsFault(spec.inputs ?? [], 'inputs', spec.script?.path);
}

/** As specFault, of a list of inputs, wherever it stands. */
export function inputsFault(inputs: readonly InputFile[], field: string, script?: string): Fault | undefined {
  const seen = new Set<string>(script === undefined ? [] : [script]);
  for (const [at, input] of inputs.entries()) {
    const expected = inputFault(input) ?? (seen.has(input.path) ? 'must not name a path twice' : undefined);
    if (expected !== undefined) return { field: `${field}.${at}`, expected };
    seen.add(input.path);
  }
  return undefined;
}

function inputFault(input: InputFile): string | undefined {
  const kinds = [input.sha256, input.link, input.folder].filter((kind) => kind !== undefined);
  if (kinds.length !== 1) return 'must have one of sha256, link and folder';
  const fault = pathFault(input.path);
  if (fault !== undefined || input.link === undefined) return fault;
  return linkStays(input.path, input.link) ? undefined : 'must not link out of the folder';
}

/** What is wrong with a path inside a task's folder, or undefined. */
export function pathFault(path: string): string | undefined {
  if (path.includes('\0')) return 'must not hold a NUL';
  if (path.startsWith('/')) return 'must be a relative path';
  const parts = path.split('/');
  if (parts.includes('..')) return 'must not lead upwards (..)';
  if (parts.includes('') || parts.includes('.')) return 'must be a plain path, without empty parts and without "."';
  return undefined;
}

function linkStays(path: string, target: string): boolean {
  if (target === '' || target.startsWith('/') || target.includes('\0')) return false;
  let depth = path.split('/').length - 1;
  for (const part of target.split('/')) {
    if (part === '..') depth--;
    else if (part !== '' && part !== '.') depth++;
    if (depth < 0) return false;
  }
  return true;
}
