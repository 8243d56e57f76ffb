// `-e K[=V]` and `--env-file`: the variables that the script gets.
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { SkeinError } from '../../../protocol/errors.ts';
import type { Surroundings } from '../../config/folders.ts';
import { reasonOf } from '../../config/reason.ts';

/** `K` alone takes the caller's value. Fails with `usage` where there is none. */
export function fillFromCaller(pairs: readonly string[], env: Surroundings['env']): readonly string[] {
  return pairs.map((pair) => {
    if (pair.includes('=')) return pair;
    const value = env[pair];
    if (value === undefined)
      throw new SkeinError('usage', `-e ${pair}: it is not set here`, { fix: `say -e ${pair}=VALUE` });
    return `${pair}=${value}`;
  });
}

/** Lines of `K=V` or `K`; empty ones and those that begin with # are left out. The value is all after the first `=`. */
export async function readEnvFile(file: string, from: Surroundings): Promise<Readonly<Record<string, string>>> {
  const text = await readFile(resolve(from.cwd, file), 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new SkeinError(
      cause.code === 'ENOENT' ? 'no-match' : 'file-unreadable',
      `cannot read ${file}: ${reasonOf(cause)}`,
      {
        cause,
        fix: 'check what --env-file names',
      },
    );
  });
  const variables: Record<string, string> = {};
  for (const [at, line] of text.split(/\r?\n/).entries()) {
    const written = line.trimStart();
    if (written === '' || written.startsWith('#')) continue;
    const [pair = ''] =
      written.includes('=') || from.env[written] !== undefined ? fillFromCaller([written], from.env) : [''];
    const name = pair.slice(0, pair.indexOf('='));
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      throw new SkeinError('config-invalid', `${file}:${at + 1}: expected NAME=VALUE`, { fix: 'correct that line' });
    }
    variables[name] = pair.slice(name.length + 1);
  }
  return variables;
}
