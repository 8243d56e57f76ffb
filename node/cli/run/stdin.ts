// What the script reads on standard input: a redirected regular file, or with --stdin a pipe read to its end.
import { spawnSync } from 'node:child_process';
import { createWriteStream, fstatSync, mkdtempSync, readFileSync, rmSync, type Stats } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { platform } from '../../runtime/platform.ts';
import type { World } from '../world.ts';

export interface StdinFile {
  readonly local: string;
  readonly start: number;
  /** Removes what was made for it. */
  readonly dispose: () => void;
}

export type StdinKind = 'file' | 'pipe' | 'none';

/** What descriptor 0 is: a terminal, a device and a closed one give nothing. */
export function stdinKind(): StdinKind {
  const stats = statStdin();
  if (stats?.isFile() === true) return 'file';
  return stats?.isFIFO() === true || stats?.isSocket() === true ? 'pipe' : 'none';
}

function statStdin(): Stats | undefined {
  try {
    return fstatSync(0);
  } catch {
    // Closed by the caller (`<&-`): there is nothing to read.
    return undefined;
  }
}

/** Undefined where the script gets none. Reads a pipe to its end: only then can it be submitted. */
export async function stdinFile(
  kind: StdinKind,
  asked: boolean,
  { stdin }: Pick<World, 'stdin'>,
  signal: AbortSignal,
): Promise<StdinFile | undefined> {
  if (kind === 'file') return openedFile() ?? spool(stdin, signal);
  return asked && kind === 'pipe' ? spool(stdin, signal) : undefined;
}

/**
 * The file itself, from where the descriptor stands. Opened anew, so that a shell's `while read` loop around us keeps
 * its place in it.
 */
function openedFile(): StdinFile | undefined {
  const file = platform.openFile(0);
  return file === undefined ? undefined : { local: file.path, start: file.offset, dispose: () => undefined };
}

async function spool(stdin: Readable, signal: AbortSignal): Promise<StdinFile> {
  const folder = mkdtempSync(join(tmpdir(), 'skein-stdin-'));
  const local = join(folder, 'stdin');
  const dispose = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    await pipeline(stdin, createWriteStream(local, { mode: 0o600 }), { signal });
    return { local, start: 0, dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

const READS_STDIN = /\bstdin\b|\binput\(|\/dev\/(stdin|fd\/0)|readFileSync\(0|fileinput|<>|\bread\s+-?\w/;

/** Whether a line about --stdin is due: the pipe holds something, and the script looks as if it would read it. */
export function missesStdin(kind: StdinKind, scriptFile: string | undefined): boolean {
  if (kind !== 'pipe' || scriptFile === undefined) return false;
  try {
    if (!READS_STDIN.test(readFileSync(scriptFile, 'utf8').slice(0, 1 << 20))) return false;
  } catch {
    // Whoever uploads it will say that it cannot be read.
    return false;
  }
  return holdsBytes();
}

/** FIONREAD, which Node does not have and every Debian's and Mac's perl does. */
const FIONREAD = process.platform === 'darwin' ? 0x4004667f : 0x541b;

/** Whether something waits in the pipe. Nothing is taken: the pipe may be another program's after us. */
function holdsBytes(): boolean {
  const program = `my $n = pack('L', 0); exit(ioctl(STDIN, ${FIONREAD}, $n) && unpack('L', $n) > 0 ? 0 : 1)`;
  return spawnSync('perl', ['-e', program], { stdio: [0, 'ignore', 'ignore'], timeout: 1000 }).status === 0;
}
