// One of the two descriptors that people and pipes read. Writes go through the thread pool, in order, so that a reader
// who pauses stops this stream and not the whole command; a reader who is gone is told by ReaderGone.
import { spawnSync } from 'node:child_process';
import { fstatSync, ftruncateSync, type Stats, write } from 'node:fs';
import { isatty } from 'node:tty';
import { platform } from '../../runtime/platform.ts';

export interface Sink {
  readonly isTerminal: boolean;
  /** A regular file that it was opened on can be cut back; anything else cannot. */
  readonly isFile: boolean;
  /** Of a terminal; undefined elsewhere. */
  readonly columns: number | undefined;
  /** Resolves once the bytes are with the system. Fails with ReaderGone. */
  write(bytes: Uint8Array | string): Promise<void>;
  /** Cuts a regular file back to where this sink began. @returns false where others have written to it since. */
  cutBack(): boolean;
}

const COLUMNS = 80;

/** The other end was closed (`| head`). */
export class ReaderGone extends Error {
  override readonly name = 'ReaderGone';
}

export function descriptorSink(fd: 1 | 2): Sink {
  const stats = safeStat(fd);
  const isFile = stats?.isFile() === true;
  const { begin, appends } = isFile ? startOf(fd, stats?.size ?? 0) : { begin: 0, appends: true };
  const isTerminal = isatty(fd);
  let position: number | null = null;
  let last: Promise<void> = Promise.resolve();
  return {
    isTerminal,
    isFile,
    get columns() {
      // A terminal that does not know its width says 0.
      return isTerminal ? (fd === 1 ? process.stdout : process.stderr).columns || COLUMNS : undefined;
    },
    write(bytes) {
      const buffer = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
      const next = last.then(async () => {
        await writeAll(fd, buffer, position);
        if (isFile) written.set(fileOf(stats), writtenTo(stats) + buffer.length);
        if (position !== null) position += buffer.length;
      });
      // The next write must not fail for this one; whoever awaits this one hears of it.
      last = next.catch(() => undefined);
      return next;
    },
    cutBack() {
      if (stats === undefined || safeStat(fd)?.size !== begin + writtenTo(stats)) return false;
      ftruncateSync(fd, begin);
      written.set(fileOf(stats), 0);
      // Node has no lseek, and the descriptor's place is shared with the shell that goes on writing after us.
      if (!appends && !seek(fd, begin)) position = begin;
      return true;
    },
  };
}

/** What this process wrote to each file: with `2>&1` both sinks are one. */
const written = new Map<string, number>();
const fileOf = ({ dev, ino }: Stats): string => `${dev}:${ino}`;
const writtenTo = (stats: Stats): number => written.get(fileOf(stats)) ?? 0;

function safeStat(fd: number): Stats | undefined {
  try {
    return fstatSync(fd);
  } catch {
    // Closed by the caller (`>&-`): every write will say so.
    return undefined;
  }
}

/** Whether both descriptors lead into one file or pipe (`2>&1`): only there the order between them is kept. */
export function isOneTarget(): boolean {
  const [out, err] = [safeStat(1), safeStat(2)];
  if (out === undefined || err === undefined || out.isCharacterDevice()) return false;
  return out.dev === err.dev && out.ino === err.ino;
}

/** Where a regular file's next write goes, and whether it always goes to the end. */
function startOf(fd: number, size: number): { readonly begin: number; readonly appends: boolean } {
  const file = platform.openFile(fd);
  // Where nobody tells: a file that was opened for this command alone is as long as what was written before.
  if (file === undefined) return { begin: size, appends: false };
  return { begin: file.appends ? size : file.offset, appends: file.appends };
}

/** Perl is on every Debian and every Mac; where it is not, writes name their own place. */
function seek(fd: number, offset: number): boolean {
  const handle = fd === 1 ? 'STDOUT' : 'STDERR';
  const stdio = [0, 1, 2].map((each) => (each === fd ? fd : ('ignore' as const)));
  const program = `exit(sysseek(${handle}, $ARGV[0], 0) ? 0 : 1)`;
  return spawnSync('perl', ['-e', program, String(offset)], { stdio, timeout: 5000 }).status === 0;
}

const RETRY_MS = 10;

function writeAll(fd: number, bytes: Uint8Array, position: number | null): Promise<void> {
  return new Promise((resolve, reject) => {
    const step = (from: number): void => {
      if (from >= bytes.length) {
        resolve();
        return;
      }
      write(fd, bytes, from, bytes.length - from, position === null ? null : position + from, (error, written) => {
        if (error === null) return step(from + written);
        if (error.code === 'EAGAIN') return void setTimeout(step, RETRY_MS, from);
        reject(['EPIPE', 'EBADF', 'EIO', 'ECONNRESET'].includes(error.code ?? '') ? new ReaderGone(error.code) : error);
      });
    };
    step(0);
  });
}
