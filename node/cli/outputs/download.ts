// One file from the mesh to the disk: into a part file beside its place, resumed where an earlier try left it,
// verified, and only then renamed.
import { createHash, type Hash } from 'node:crypto';
import { chmodSync, renameSync, rmSync, statSync } from 'node:fs';
import { open, readdir, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { SkeinError } from '../../../protocol/errors.ts';
import { blocksOf, giveBack, takeBuffer } from '../../blob/buffers.ts';
import { makeFolder } from '../../config/make-folder.ts';
import { isRunning } from '../../config/nodes.ts';
import { reasonOf } from '../../config/reason.ts';
import { chunksOf } from '../upload/chunks.ts';

/** Less is sooner fetched again than looked for. */
const RESUMED_MIN_BYTES = 1024 * 1024;

/** Bytes from an offset to the end. */
export type OpenFrom = (offset: number) => Promise<AsyncIterable<Uint8Array>>;

export interface Download {
  readonly path: string;
  readonly sizeBytes: number;
  readonly mode: number;
  readonly sha256: string;
}

/**
 * @param settle names the place in the same folder at the last moment: much may have happened there while the bytes came.
 * @returns that place. Fails with `digest-mismatch`, `transfer-failed`, `disk-full`, `file-unreadable`.
 */
export async function download(
  { path, sizeBytes, mode, sha256 }: Download,
  openFrom: OpenFrom,
  settle: () => Promise<string> = async () => path,
): Promise<string> {
  // By place and process: one run may bring the same bytes twice, and two at once to the same place.
  const stem = `.skein-${createHash('sha256').update(`${sha256} ${path}`).digest('hex').slice(0, 24)}-`;
  const part = join(dirname(path), `${stem}${process.pid}.part`);
  try {
    await makeFolder(dirname(path));
    if (sizeBytes >= RESUMED_MIN_BYTES) await inherit(part, stem);
    const { hash, offset } = await begun(part);
    await append(part, hash, await openFrom(offset), 0o600);
    if (hash.digest('hex') !== sha256) {
      rmSync(part, { force: true });
      throw new SkeinError('digest-mismatch', `${path} did not arrive whole`, {
        fix: 'try again: skein outputs get JOB',
      });
    }
    chmodSync(part, mode);
    const target = await settle();
    renameSync(part, target);
    return target;
  } catch (error) {
    throw writing(path, error);
  }
}

/** Takes over what a process that has ended left of the same file. */
async function inherit(part: string, stem: string): Promise<void> {
  const folder = dirname(part);
  for (const name of await readdir(folder)) {
    const pid = name.startsWith(stem) && name.endsWith('.part') ? Number(name.slice(stem.length, -'.part'.length)) : 0;
    if (!(pid > 0) || isRunning(pid)) continue;
    // Another one may have been faster.
    const taken = await rename(join(folder, name), part).then(
      () => true,
      () => false,
    );
    if (taken) return;
  }
}

async function begun(part: string): Promise<{ readonly hash: Hash; readonly offset: number }> {
  const hash = createHash('sha256');
  const offset = statSync(part, { throwIfNoEntry: false })?.size ?? 0;
  if (offset > 0) for await (const chunk of chunksOf(part)) hash.update(chunk);
  return { hash, offset };
}

async function append(part: string, hash: Hash, bytes: AsyncIterable<Uint8Array>, mode: number): Promise<void> {
  const file = await open(part, 'a', mode);
  const buffer = takeBuffer();
  try {
    // Also what came before the stream broke off: the next try goes on from there.
    for await (const block of blocksOf(bytes, [buffer])) {
      hash.update(block);
      // writeFile, as a single write may take less than it was given.
      await file.writeFile(block);
    }
  } finally {
    await file.close();
    giveBack(buffer);
  }
}

/** Streams bytes of unknown hash to a part file. Answers where it lies and what it holds; the caller renames it. */
export async function spool(
  path: string,
  bytes: AsyncIterable<Uint8Array>,
): Promise<{ readonly part: string; readonly sha256: string; readonly sizeBytes: number }> {
  const part = join(
    dirname(path),
    `.skein-${process.pid}-${createHash('sha256').update(path).digest('hex').slice(0, 16)}.part`,
  );
  try {
    await makeFolder(dirname(path));
    rmSync(part, { force: true });
    const hash = createHash('sha256');
    await append(part, hash, bytes, 0o666);
    return { part, sha256: hash.digest('hex'), sizeBytes: statSync(part).size };
  } catch (error) {
    throw writing(path, error);
  }
}

/** A failure of this disk, in the user's words; others pass as they are. */
export function writing(path: string, error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (error instanceof SkeinError) return error;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new SkeinError('disk-full', `no room here for ${path}`, {
      cause: error,
      fix: 'make room, then: skein outputs get JOB',
    });
  }
  if (/^E(NOENT|ACCES|PERM|ROFS|NOTDIR|ISDIR|NAMETOOLONG|EXIST|INVAL|LOOP|ILSEQ)$/.test(code)) {
    return new SkeinError('file-unreadable', `cannot write ${path}: ${reasonOf(error as NodeJS.ErrnoException)}`, {
      cause: error,
      fix: 'make the folder writable, or fetch into another: skein outputs get JOB --output-dir DIR',
    });
  }
  return error;
}
