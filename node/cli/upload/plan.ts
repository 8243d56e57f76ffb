// From a command line to a job: what comes along, how the arguments read there, and the spec to submit.
import { hostname } from 'node:os';
import { basename, dirname, relative, resolve } from 'node:path';
import type { InputFile, ItemEntry, JobSpec } from '../../../protocol/api/jobspec.ts';
import { fill, holdsPlaceholder } from '../../../protocol/api/placeholders.ts';
import { SkeinError } from '../../../protocol/errors.ts';
import type { JobSettings } from '../../config/settings.ts';
import { folderNames } from '../outputs/folder-names.ts';
import { type ArgumentContext, refuseWholeDisk, rewritten, takeArgument } from './arguments.ts';
import { Collection, type Taken, toInputFile } from './collect.ts';
import { takeFolder } from './folder.ts';
import { eachOf, type Hashed, hashBytes, hashFile, type Source } from './hash.ts';
import type { Item } from './items.ts';
import { isSafePath, type PathMap } from './paths.ts';
import { findScript, interpreterFor, isRuntimeKind, languageOf, type Script } from './script.ts';
import { statOf } from './stat.ts';

export interface PlanRequest {
  readonly script: string;
  readonly args: readonly string[];
  readonly items: readonly Item[] | undefined;
  readonly settings: JobSettings;
  /** The bytes for the script's standard input, where it gets some. */
  readonly stdin: { readonly local: string; readonly start: number } | undefined;
  readonly paths: PathMap;
  readonly home: string;
  /** Absolute. */
  readonly outputDir: string;
  readonly umask: number;
  /** Standard error goes where standard output goes. */
  readonly oneStream: boolean;
  /** On the mesh `local` alone. */
  readonly caller: Caller | undefined;
}

/** What a script that is run here finds around it. */
export interface Caller {
  readonly path: string;
  readonly virtualEnv: string | undefined;
  /** The variables of language and time zone. */
  readonly locale: Readonly<Record<string, string>>;
}

export interface Plan {
  readonly spec: JobSpec;
  readonly taskCount: number;
  /** By sha-256, each once. */
  readonly uploads: ReadonlyMap<string, Source>;
  /** What comes along, for people. */
  readonly taken: readonly Taken[];
  /** What starts it, as the first line tells it: `python3`. */
  readonly starter: string;
  readonly notes: readonly string[];
}

/** What a record of the log may hold inside; the rest rides as a blob. */
const INLINE_MAX_BYTES = 12_288;
const INLINE_MAX_ITEMS = 500;
const INLINE_ITEM_MAX_BYTES = 32_768;

interface Prepared {
  readonly script: Script;
  readonly shared: Collection;
  readonly entries:
    | readonly { readonly item: unknown; readonly name: string | undefined; readonly own: Collection }[]
    | undefined;
  readonly args: readonly string[];
  readonly interpreter: readonly string[] | undefined;
  readonly notes: string[];
}

/** Looks, hashes, and answers the job; nothing is sent yet. Fails with `usage`, `file-…`, `runtime-unknown`. */
export async function makePlan(request: PlanRequest, signal: AbortSignal): Promise<Plan> {
  const prepared = await prepare(request);
  const collections = [prepared.shared, ...(prepared.entries ?? []).map((entry) => entry.own)];
  const taken = collections.flatMap((collection) => collection.entries());
  const uploads = new Map<string, Source>();
  const hashes = await hashAll(taken, uploads, signal);
  const hashOf = (local: string): string => hashes.get(local)?.sha256 ?? '';
  const stdin = request.stdin === undefined ? undefined : await stdinBlob(request.stdin, uploads, signal);
  const spec = makeSpec(request, prepared, hashOf, stdin, uploads);
  return {
    spec,
    taskCount: prepared.entries?.length ?? 1,
    uploads,
    taken,
    starter: starterOf(prepared, request),
    notes: [...new Set(prepared.notes)],
  };
}

async function prepare(request: PlanRequest): Promise<Prepared> {
  const { settings, paths } = request;
  const script = findScript(request.script, settings.runtime, paths.cwd);
  if (script.kind === 'items' && request.items === undefined) {
    throw new SkeinError('usage', 'the script {} stands for each item, and there are no items', {
      fix: 'give --batch GLOB, --lines FILE or --items FILE',
    });
  }
  const context: ArgumentContext = { paths, home: request.home, taken: new Collection(), notes: [] };
  if (script.kind === 'file') await takeScript(script, request, context);
  for (const input of settings.input ?? []) await takeInput(input, context);
  const templates = withItemPlace(request);
  const args: string[] = [];
  for (const template of templates) args.push(await takeTemplate(template, request.items, context));
  const entries: {
    item: unknown;
    name: string | undefined;
    own: Collection;
    interpreter?: readonly string[] | undefined;
  }[] = [];
  for (const item of request.items ?? []) {
    entries.push(await takeItem(item, templates, script, request, context));
  }
  return {
    script,
    shared: context.taken,
    entries: request.items === undefined ? undefined : entries,
    args,
    interpreter: script.kind === 'items' ? commonInterpreter(entries, script.interpreter) : script.interpreter,
    notes: context.notes,
  };
}

/** The arguments, the item last where none of them stands for it. */
function withItemPlace({ items, args, script }: PlanRequest): readonly string[] {
  const [first] = items ?? [];
  if (first === undefined || script === '{}') return args;
  return args.some((arg) => holdsPlaceholder(arg, first.value)) ? args : [...args, '{}'];
}

/** A script behind a link goes along as both: Python and Node look for its modules where the link leads. */
async function takeScript(
  script: Script & { readonly kind: 'file' },
  request: PlanRequest,
  { paths, taken, ...context }: ArgumentContext,
): Promise<void> {
  const { local, file, mode, sizeBytes } = script;
  const [path, named] = [paths.workPath(file), paths.workPath(local)];
  const because = request.script;
  taken.add({ kind: 'file', path, local: file, mode, sizeBytes, because });
  if (named !== path) taken.add({ kind: 'link', path: named, target: relative(dirname(named), path), because });
  if (request.settings.scan === false) return;
  await takeModules(file, languageOf(script), { paths, taken, ...context }, `${basename(local)} (imports)`);
}

async function takeModules(
  local: string,
  language: 'python' | 'node' | undefined,
  context: ArgumentContext,
  because: string,
): Promise<void> {
  for (const module of await modulesOf(local, language, context.paths)) {
    const stats = statOf(module);
    if (stats?.isFile() !== true) continue;
    const path = context.paths.workPath(module);
    context.taken.add({ kind: 'file', path, local: module, mode: stats.mode & 0o777, sizeBytes: stats.size, because });
  }
}

async function modulesOf(
  local: string,
  language: 'python' | 'node' | undefined,
  paths: PathMap,
): Promise<readonly string[]> {
  if (language === 'python') return (await import('./python-modules.ts')).pythonModules(local);
  if (language === 'node')
    return (await import('./node-modules.ts')).nodeModules(local, paths.isInside(local) ? paths.cwd : dirname(local));
  return [];
}

/** `--input`: a file or folder from anywhere, under its own place; said outright, so it must be there. */
async function takeInput(input: string, context: ArgumentContext): Promise<void> {
  const local = resolve(context.paths.cwd, input);
  const stats = statOf(local);
  const because = `--input ${input}`;
  if (stats?.isDirectory() === true) {
    refuseWholeDisk(local, context.home, because);
    return takeFolder(local, context.paths, context.taken, because, context.notes);
  }
  if (stats?.isFile() !== true) {
    throw new SkeinError('no-match', `no such file or folder: ${input}`, { fix: 'check what --input names' });
  }
  const { mode, size } = stats;
  context.taken.add({
    kind: 'file',
    path: context.paths.workPath(local),
    local,
    mode: mode & 0o777,
    sizeBytes: size,
    because,
  });
}

/** An argument of all tasks; where it holds a placeholder, only the folders before that can be known. */
async function takeTemplate(
  template: string,
  items: readonly Item[] | undefined,
  context: ArgumentContext,
): Promise<string> {
  const [first] = items ?? [];
  if (first === undefined || !holdsPlaceholder(template, first.value)) return takeArgument(template, context);
  const assigned = /^(--?[A-Za-z0-9][A-Za-z0-9_.-]*=)?([\s\S]*)$/.exec(template);
  const [prefix, path] = [assigned?.[1] ?? '', assigned?.[2] ?? template];
  const slash = path.slice(0, path.indexOf('{')).lastIndexOf('/');
  if (slash < 1) return template;
  const folder = path.slice(0, slash);
  const local = resolve(context.paths.cwd, folder);
  if (statOf(local)?.isDirectory() !== true) return template;
  const workPath = context.paths.workPath(local);
  if (workPath !== '.') context.taken.add({ kind: 'folder', path: workPath, because: template });
  const place = rewritten(folder, workPath);
  return prefix + (place === '.' ? '' : `${place}/`) + path.slice(slash + 1);
}

async function takeItem(
  item: Item,
  templates: readonly string[],
  script: Script,
  request: PlanRequest,
  context: ArgumentContext,
): Promise<{ item: unknown; name: string | undefined; own: Collection; interpreter?: readonly string[] | undefined }> {
  const own = new Collection();
  const to: ArgumentContext = { ...context, taken: own };
  const value = await takeValue(item.value, templates, to);
  for (const template of templates) {
    if (template !== '{}' && holdsPlaceholder(template, item.value)) await takeArgument(fill(template, item.value), to);
  }
  const name = item.name ?? nameOf(item.value, value, context.paths);
  if (script.kind !== 'items' || typeof item.value !== 'string') return { item: value, name, own };
  const local = resolve(context.paths.cwd, item.value);
  const stats = statOf(local);
  const interpreter = script.interpreter ?? interpreterFor(local, stats?.mode ?? 0);
  if (request.settings.scan !== false) {
    await takeModules(local, languageOf({ kind: 'items', interpreter }), to, `${item.value} (imports)`);
  }
  return { item: value, name, own, interpreter };
}

/** The item itself, and the fields that arguments name, as they read in the work folder. */
async function takeValue(value: unknown, templates: readonly string[], to: ArgumentContext): Promise<unknown> {
  if (typeof value === 'string') return takeArgument(value, to);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const fields: [string, unknown][] = [];
  for (const [key, field] of Object.entries(value)) {
    const named = typeof field === 'string' && templates.some((template) => template.includes(`{${key}}`));
    fields.push([key, named ? await takeArgument(field, to) : field]);
  }
  return Object.fromEntries(fields);
}

function nameOf(original: unknown, value: unknown, paths: PathMap): string | undefined {
  if (typeof original !== 'string' || typeof value !== 'string') return undefined;
  const local = resolve(paths.cwd, original);
  if (statOf(local) === undefined) return undefined;
  const path = paths.workPath(local).replace(/^_skein\/root\//, '');
  return isSafePath(path) ? path : undefined;
}

function commonInterpreter(
  entries: readonly { readonly item: unknown; readonly interpreter?: readonly string[] | undefined }[],
  chosen: readonly string[] | undefined,
): readonly string[] | undefined {
  if (chosen !== undefined) return chosen;
  const all = new Set(entries.map((entry) => JSON.stringify(entry.interpreter ?? null)));
  if (all.size > 1) {
    throw new SkeinError('usage', 'the items are scripts of different runtimes', {
      fix: 'give each kind a batch of its own, or say --runtime',
    });
  }
  return entries[0]?.interpreter;
}

async function hashAll(
  taken: readonly Taken[],
  uploads: Map<string, Source>,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Hashed>> {
  const hashes = new Map<string, Hashed>();
  const files = new Map(taken.filter((each) => each.kind === 'file').map((each) => [each.local, each]));
  await eachOf(files.values(), async ({ local, because }) => {
    const hashed = await hashFile(local, because, 0, signal);
    hashes.set(local, hashed);
    uploads.set(hashed.sha256, { kind: 'file', local, start: 0, sizeBytes: hashed.sizeBytes, because });
  });
  return hashes;
}

async function stdinBlob(
  stdin: { readonly local: string; readonly start: number },
  uploads: Map<string, Source>,
  signal: AbortSignal,
): Promise<string> {
  const { sha256, sizeBytes } = await hashFile(stdin.local, 'standard input', stdin.start, signal);
  uploads.set(sha256, { kind: 'file', ...stdin, sizeBytes, because: 'standard input' });
  return sha256;
}

function makeSpec(
  request: PlanRequest,
  prepared: Prepared,
  hashOf: (local: string) => string,
  stdin: string | undefined,
  uploads: Map<string, Source>,
): JobSpec {
  const { settings, paths } = request;
  const started = startOf(prepared, request, hashOf);
  const asked = prepared.script.kind === 'file' ? prepared.script.chosen : prepared.interpreter;
  const isScript = (path: string): boolean => started.script?.path === path;
  const inputs = prepared.shared
    .entries()
    .map((each) => toInputFile(each, hashOf))
    .filter((each) => !isScript(each.path));
  return prune({
    schema: 'skein.jobspec/1',
    name: settings.name,
    labels: settings.labels,
    ...started,
    ...inputsOf(inputs, uploads),
    items: itemsOf(prepared, hashOf, uploads),
    env: environmentOf(request),
    stdin: stdin === undefined ? undefined : { sha256: stdin },
    runtime: settings.runtime !== undefined && isRuntimeKind(settings.runtime) ? settings.runtime : undefined,
    interpreter: asked === undefined ? undefined : [...asked],
    path: request.caller?.path,
    virtualEnv: request.caller?.virtualEnv,
    umask: request.umask,
    oneStream: request.oneStream && prepared.entries === undefined ? true : undefined,
    needs: settings.needs,
    timeoutMs: settings.timeout,
    startWithinMs: settings.startWithin,
    retries: settings.retries,
    retryOn: settings.retryOn === undefined ? undefined : [...settings.retryOn],
    maxLost: settings.maxLost,
    maxFails: settings.maxFails,
    maxParallel: settings.maxParallel,
    priority: settings.priority,
    keepMs: settings.keep,
    origin: { host: hostname(), folder: paths.cwd, outputDir: request.outputDir },
  });
}

function environmentOf({ caller, settings }: PlanRequest): JobSpec['env'] {
  const env = { ...caller?.locale, ...settings.env };
  return Object.keys(env).length > 0 ? env : undefined;
}

function startOf(
  prepared: Prepared,
  request: PlanRequest,
  hashOf: (local: string) => string,
): Pick<JobSpec, 'script' | 'command' | 'args'> {
  const { script } = prepared;
  const args = prepared.args.length > 0 ? { args: [...prepared.args] } : {};
  if (script.kind === 'command') return { command: [script.name], ...args };
  if (script.kind === 'items') return { command: ['./{}'], ...args };
  const path = request.paths.workPath(script.file);
  const as = rewritten(request.script, request.paths.workPath(script.local));
  const named = as === path ? {} : { as };
  return { script: { path, sha256: hashOf(script.file), mode: script.mode, ...named }, ...args };
}

function inputsOf(inputs: InputFile[], uploads: Map<string, Source>): Pick<JobSpec, 'inputs' | 'inputsManifest'> {
  if (inputs.length === 0) return {};
  const bytes = Buffer.from(JSON.stringify(inputs));
  if (bytes.length <= INLINE_MAX_BYTES) return { inputs };
  return { inputsManifest: { sha256: blobOf(bytes, 'the list of inputs', uploads), count: inputs.length } };
}

function itemsOf(
  prepared: Prepared,
  hashOf: (local: string) => string,
  uploads: Map<string, Source>,
): JobSpec['items'] {
  if (prepared.entries === undefined) return undefined;
  const folders = folderNames(prepared.entries.map(({ name }) => name));
  const entries = prepared.entries.map(({ item, name, own }, at): ItemEntry => {
    const inputs = own
      .entries()
      .filter((each) => !prepared.shared.has(each.path))
      .map((each) => toInputFile(each, hashOf));
    return prune({ item, name: name === undefined ? undefined : folders[at], ...itemInputs(inputs, uploads) });
  });
  const plain = entries.every(({ item: _, ...more }) => Object.keys(more).length === 0);
  const list = entries.map((entry) => entry.item);
  if (plain && list.length <= INLINE_MAX_ITEMS && JSON.stringify(list).length <= INLINE_MAX_BYTES) return { list };
  return {
    manifest: {
      sha256: blobOf(Buffer.from(JSON.stringify(entries)), 'the list of items', uploads),
      count: entries.length,
    },
  };
}

/** An entry travels with each of its grants: many inputs rest as a blob of their own. */
function itemInputs(inputs: InputFile[], uploads: Map<string, Source>): Pick<ItemEntry, 'inputs' | 'inputsManifest'> {
  if (inputs.length === 0) return {};
  const bytes = Buffer.from(JSON.stringify(inputs));
  if (bytes.length <= INLINE_ITEM_MAX_BYTES) return { inputs };
  return { inputsManifest: { sha256: blobOf(bytes, 'the list of an item’s files', uploads), count: inputs.length } };
}

function blobOf(bytes: Uint8Array, because: string, uploads: Map<string, Source>): string {
  const { sha256 } = hashBytes(bytes);
  uploads.set(sha256, { kind: 'bytes', bytes, because });
  return sha256;
}

/** Leaves out what is undefined: in a document, absent is absent. */
function prune<T extends object>(value: { readonly [Key in keyof T]: T[Key] | undefined }): T {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as T;
}

function starterOf(prepared: Prepared, request: PlanRequest): string {
  const starter = prepared.interpreter
    ?.map((part) => basename(part))
    .filter((part) => part !== 'env')
    .join(' ');
  return starter ?? (prepared.script.kind === 'command' ? prepared.script.name : basename(request.script));
}
