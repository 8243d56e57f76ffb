// What SCRIPT is: a file here, a command on the worker's PATH, or each item in turn; and what starts it.
import { closeSync, lstatSync, openSync, readSync, realpathSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { reasonOf } from '../../config/reason.ts';
import { scriptArgv } from '../../runtime/interpreter.ts';
import { ScriptError } from '../exit-codes.ts';
import { statOf } from './stat.ts';

export type Script =
  | {
      readonly kind: 'file';
      /** Absolute, as it was named. */
      readonly local: string;
      /** Absolute; where that leads, if it is a link. */
      readonly file: string;
      readonly mode: number;
      readonly sizeBytes: number;
      /** What will start it, or none: it starts itself. */
      readonly interpreter: readonly string[] | undefined;
      /** As the user said it: only then the job says it too, else the worker looks at what it has. */
      readonly chosen: readonly string[] | undefined;
    }
  | { readonly kind: 'command'; readonly name: string; readonly interpreter: readonly string[] | undefined }
  | { readonly kind: 'items'; readonly interpreter: readonly string[] | undefined };

/** What --runtime takes besides a path; a version may follow. */
const INTERPRETERS = new Set(
  'python python3 pypy3 node deno bun sh bash dash zsh fish ksh ruby perl php lua luajit Rscript julia tclsh awk'.split(
    ' ',
  ),
);

/** `process` and `noop` say how an attempt runs, not what starts the script. */
export const isRuntimeKind = (runtime: string): runtime is 'process' | 'noop' =>
  runtime === 'process' || runtime === 'noop';

/** Fails with `runtime-unknown` (127). A version may follow the name, or a path be given. */
export function interpreterOf(runtime: string | undefined): readonly string[] | undefined {
  if (runtime === undefined || isRuntimeKind(runtime)) return undefined;
  const name = basename(runtime).replace(/[\d.]+$/, '');
  if (runtime.startsWith('/') || INTERPRETERS.has(runtime) || INTERPRETERS.has(name) || INTERPRETERS.has(`${name}3`)) {
    return [runtime];
  }
  throw new ScriptError('runtime-unknown', `no runtime ${runtime}`, 127, {
    fix: `one of process, ${[...INTERPRETERS].sort().join(', ')}, with or without a version`,
  });
}

/** Fails with `file-missing` (127) or `file-unreadable` (126). */
export function findScript(script: string, runtime: string | undefined, cwd: string): Script {
  const chosen = interpreterOf(runtime);
  if (script === '{}') return { kind: 'items', interpreter: chosen };
  const local = resolve(cwd, script);
  const stats = script === '' ? undefined : statOf(local);
  if (stats?.isFile() === true) {
    const found = chosen ?? interpreterFor(local, stats.mode);
    const { mode, size: sizeBytes } = stats;
    const file = isLink(local) ? realpathSync(local) : local;
    return { kind: 'file', local, file, mode: mode & 0o777, sizeBytes, interpreter: found, chosen };
  }
  if (stats !== undefined && (script.includes('/') || script === '.' || script === '..')) {
    throw new ScriptError('file-unreadable', `${script} is no file`, 126, { fix: 'name a script, or a command' });
  }
  if (script === '' || isScriptName(script)) {
    throw new ScriptError('file-missing', `no such script: ${script}`, 127, { fix: 'check its name and the folder' });
  }
  return { kind: 'command', name: script, interpreter: chosen };
}

const isLink = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;

/** What starts a local file: its shebang's, else its extension's, else none where it is executable. Fails with 126. */
export function interpreterFor(local: string, mode: number): readonly string[] | undefined {
  const starter = scriptArgv({ path: local, firstLine: firstLineOf(local), interpreter: null }, () => true).slice(
    0,
    -1,
  );
  if (starter.length > 0) return starter;
  if ((mode & 0o111) !== 0) return undefined;
  throw new ScriptError('file-unreadable', `${local} is not executable, and its name tells no runtime`, 126, {
    fix: 'chmod +x it, or say what starts it with --runtime',
  });
}

const isScriptName = (name: string): boolean =>
  name.includes('/') || scriptArgv({ path: name, firstLine: '', interpreter: null }, () => true).length > 1;

function firstLineOf(local: string): string {
  const head = headOf(local);
  return head.includes('\0') ? '' : (head.split('\n', 1)[0] ?? '');
}

function headOf(local: string): string {
  let file: number | undefined;
  try {
    file = openSync(local, 'r');
    const bytes = Buffer.alloc(512);
    return bytes.toString('latin1', 0, readSync(file, bytes, 0, bytes.length, 0));
  } catch (cause) {
    const why = reasonOf(cause as NodeJS.ErrnoException);
    throw new ScriptError('file-unreadable', `cannot read ${local}: ${why}`, 126, { cause, fix: 'make it readable' });
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** Which scan of imports suits a script. */
export function languageOf(script: Script): 'python' | 'node' | undefined {
  const starter = script.interpreter?.join(' ') ?? '';
  if (/\b(python|pypy)[\d.]*\b/.test(starter)) return 'python';
  return /\b(node|deno|bun)\b/.test(starter) ? 'node' : undefined;
}
