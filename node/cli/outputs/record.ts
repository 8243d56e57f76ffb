// What earlier runs of this user wrote here, so that a result may replace an older result and never anything else.
// Lines of JSON in 256 small files, by the hash of the path's folder; appended, and rewritten when mostly out of date.
import { createHash } from 'node:crypto';
import { appendFileSync, mkdirSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

export interface WrittenRecord {
  /** The sha-256 of what skein last wrote at an absolute path. */
  lookUp(path: string): Promise<string | undefined>;
  note(path: string, sha256: string): Promise<void>;
}

interface Bucket {
  readonly file: string;
  readonly written: Map<string, string>;
  lines: number;
}

/** @param stateFolder `$XDG_STATE_HOME/skein`. */
export function writtenRecord(stateFolder: string): WrittenRecord {
  const folder = join(stateFolder, 'written');
  const buckets = new Map<string, Promise<Bucket>>();
  const bucketOf = (path: string): Promise<Bucket> => {
    const name = createHash('sha256').update(dirname(path)).digest('hex').slice(0, 2);
    let bucket = buckets.get(name);
    if (bucket === undefined) {
      bucket = load(join(folder, `${name}.jsonl`));
      buckets.set(name, bucket);
    }
    return bucket;
  };
  return {
    lookUp: async (path) => (await bucketOf(path)).written.get(path),
    note: async (path, sha256) => {
      const bucket = await bucketOf(path);
      if (bucket.written.get(path) === sha256) return;
      bucket.written.set(path, sha256);
      bucket.lines += 1;
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      if (bucket.lines > 2 * bucket.written.size + 256) await rewrite(bucket);
      else appendFileSync(bucket.file, line(path, sha256), { mode: 0o600 });
    },
  };
}

const line = (path: string, sha256: string): string => `${JSON.stringify([path, sha256])}\n`;

async function load(file: string): Promise<Bucket> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const written = new Map<string, string>();
  const lines = text.split('\n').filter((each) => each !== '');
  for (const each of lines) {
    try {
      const [path, sha256] = JSON.parse(each) as [string, string];
      written.set(path, sha256);
    } catch {
      // Cut by a crash: that file counts as not ours, which loses nothing.
    }
  }
  return { file, written, lines: lines.length };
}

async function rewrite(bucket: Bucket): Promise<void> {
  const half = `${bucket.file}.${process.pid}`;
  await writeFile(half, [...bucket.written].map(([path, sha256]) => line(path, sha256)).join(''), { mode: 0o600 });
  await rename(half, bucket.file);
  bucket.lines = bucket.written.size;
}
