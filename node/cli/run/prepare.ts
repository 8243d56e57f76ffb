// From a request to a plan: items read, variables gathered, standard input taken, files looked at and hashed.
import { resolve } from 'node:path';
import type { Config } from '../../config/config.ts';
import { type Call, isSet } from '../call.ts';
import { readItems } from '../upload/items.ts';
import { pathMap } from '../upload/paths.ts';
import { type Caller, makePlan, type Plan } from '../upload/plan.ts';
import { readEnvFile } from './environment.ts';
import type { FileRequest } from './job-file.ts';
import { type StdinFile, stdinFile, stdinKind } from './stdin.ts';

export interface Prepared {
  readonly plan: Plan;
  /** Kept until the job is submitted. */
  readonly stdin: StdinFile | undefined;
}

/** Reads a pipe to its end with --stdin. Fails as makePlan and readItems do. */
export async function prepare(
  call: Call,
  config: Config,
  request: FileRequest,
  options: { readonly isLocal: boolean; readonly signal: AbortSignal },
): Promise<Prepared> {
  const stdin = await stdinOf(call, request, options.signal);
  try {
    return { stdin, plan: await planOf(call, config, request, { ...options, stdin }) };
  } catch (error) {
    stdin?.dispose();
    throw error;
  }
}

/** Whether the items come from standard input: then the script gets none of it. */
export const takesItems = ({ items }: FileRequest): boolean =>
  items !== undefined && 'file' in items && items.file === '-';

async function stdinOf(call: Call, request: FileRequest, signal: AbortSignal): Promise<StdinFile | undefined> {
  if (request.stdin !== undefined) {
    return { local: resolve(call.world.surroundings.cwd, request.stdin), start: 0, dispose: () => undefined };
  }
  return takesItems(request) ? undefined : stdinFile(stdinKind(), isSet(call, 'stdin'), call.world, signal);
}

async function planOf(
  call: Call,
  config: Config,
  request: FileRequest,
  known: { readonly stdin: StdinFile | undefined; readonly isLocal: boolean; readonly signal: AbortSignal },
): Promise<Plan> {
  const from = call.world.surroundings;
  const { stdin } = call.world;
  const items = request.items === undefined ? undefined : await readItems(request.items, from.cwd, stdin, known.signal);
  const fileEnv: Record<string, string> = {};
  for (const file of config.job.envFile ?? []) Object.assign(fileEnv, await readEnvFile(file, from));
  const env = { ...fileEnv, ...config.job.env };
  const settings = {
    ...config.job,
    ...(Object.keys(env).length > 0 ? { env } : {}),
    input: [...(config.job.input ?? []), ...request.inputs],
  };
  return makePlan(
    {
      script: request.script,
      args: request.args,
      items,
      settings,
      stdin: known.stdin,
      paths: pathMap(from.cwd),
      home: from.home,
      outputDir: resolve(from.cwd, config.job.outputDir ?? (items === undefined ? '.' : 'outputs')),
      umask: process.umask(),
      oneStream: !isSet(call, 'detach') && call.flags.json !== true && call.world.oneTarget,
      caller: known.isLocal ? callerOf(from.env) : undefined,
    },
    known.signal,
  );
}

const LOCALE = /^(LANGUAGE|LC_[A-Z]+|TZ)$/;

function callerOf(env: Call['world']['surroundings']['env']): Caller | undefined {
  const { PATH, VIRTUAL_ENV, LANG = '' } = env;
  if (PATH === undefined) return undefined;
  // Empty counts as not set, where the worker would else put a language of its own.
  const locale: Record<string, string> = { LANG };
  for (const [name, value] of Object.entries(env)) if (LOCALE.test(name) && value !== undefined) locale[name] = value;
  return { path: PATH, virtualEnv: VIRTUAL_ENV || undefined, locale };
}
