// `skein run SCRIPT [ARGS]`: reads what is asked and where it shall run; the rest is loaded after the first line is out.
import { isUtf8 } from 'node:buffer';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { SkeinError } from '../../../protocol/errors.ts';
import { type Flags, loadConfig } from '../../config/config.ts';
import { type Call, type Command, isSet } from '../call.ts';
import { findMesh } from '../mesh.ts';
import { fillFromCaller } from '../run/environment.ts';
import { type FileRequest, requestFromFile } from '../run/job-file.ts';
import { readRequest } from '../run/request.ts';
import { findScript } from '../upload/script.ts';

export const command: Command = async (call: Call) => {
  const from = call.world.surroundings;
  await refuseLostBytes(call.args);
  const config = await loadConfig(settingFlags(call), from);
  const asked = readRequest(call.args, call.flags, (path) => existsSync(resolve(from.cwd, path)));
  const request: FileRequest =
    asked.script === undefined
      ? { ...requestFromFile(config.jobFile), ...(asked.items === undefined ? {} : { items: asked.items }) }
      : { ...asked, script: asked.script, inputs: [], stdin: undefined };
  // Before anything is started for it: a script that is not there is told at once.
  findScript(request.script, config.job.runtime, from.cwd);
  if (isSet(call, 'dryRun')) {
    const { dryRun } = await import('../run/dry-run.ts');
    return dryRun(call, config, request);
  }
  const connection = await findMesh(call, config);
  const { perform } = await import('../run/perform.ts');
  return perform(call, config, request, connection);
};

/** Node reads arguments as UTF-8 and puts a mark for what is none: refused rather than handed on changed. */
async function refuseLostBytes(args: readonly string[]): Promise<void> {
  if (!args.some((arg) => arg.includes('\uFFFD'))) return;
  const { platform } = await import('../../runtime/platform.ts');
  if (isUtf8(platform.commandLine() ?? new Uint8Array())) return;
  throw new SkeinError('usage', 'an argument is not UTF-8, and a job has no way to write it', {
    fix: 'rename the file, or hand it over on standard input',
  });
}

/** Flags as settings: `-e K` filled from the caller, `-l` under its setting's name. */
function settingFlags(call: Call): Flags {
  const { env, label } = call.flags;
  return {
    ...call.flags,
    ...(Array.isArray(env) ? { env: fillFromCaller(env as string[], call.world.surroundings.env) } : {}),
    ...(Array.isArray(label) ? { labels: label } : {}),
  };
}
