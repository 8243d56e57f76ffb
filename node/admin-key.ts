// The admin key of a gateway: made at its first start, its hash committed, its text in a file for its owner alone.
import { createHash } from 'node:crypto';
import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { SkeinError } from '../protocol/errors.ts';
import type { Random } from '../protocol/random.ts';
import { keys } from '../protocol/state/rows.ts';
import type { Clock } from '../protocol/time.ts';
import type { ReplicatedLog } from './consensus/log.ts';

const PROPOSE_TIMEOUT_MS = 10_000;

export interface AdminKeyParts {
  readonly log: ReplicatedLog;
  readonly random: Random;
  readonly clock: Clock;
}

/** @returns the path of the key's file. Making it again after a crash half way gives the same key. */
export async function ensureAdminKey(
  { log, random, clock }: AdminKeyParts,
  dataFolder: string,
  nodeName: string,
): Promise<string> {
  const path = join(dataFolder, 'admin.key');
  const text =
    (await readKey(path)) ?? (await writeKey(path, `skein-${Buffer.from(random.bytes(32)).toString('base64url')}`));
  const keyHash = createHash('sha256').update(text).digest('hex');
  if (log.view.get(keys.key(keyHash)) === undefined) {
    const key = {
      kind: 'key.created',
      keyHash,
      name: `admin of ${nodeName}`,
      scope: 'admin',
      project: 'default',
      idempotency: null,
    } as const;
    await log.propose({ ...key, at: clock.now(), replaces: null }, { timeoutMs: PROPOSE_TIMEOUT_MS });
  }
  return path;
}

async function readKey(path: string): Promise<string | undefined> {
  try {
    const text = (await readFile(path, 'utf8')).trim();
    return text === '' ? undefined : text;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new SkeinError('folder-unusable', `${path} cannot be read`, {
      cause: error,
      fix: 'start the node as the owner of its data folder',
    });
  }
}

async function writeKey(path: string, text: string): Promise<string> {
  const half = `${path}.new`;
  {
    await using file = await open(half, 'w', 0o600);
    await file.writeFile(`${text}\n`);
    await file.sync();
  }
  await rename(half, path);
  return text;
}
