// The files of attempts on this worker: inputs from the nearest holder, a folder to run in, outputs into blobs, blobs to a
// gateway. An attempt's folder stays until its report is settled, so that a next life can report it again.
import { accessSync, constants, statSync, writeFileSync } from 'node:fs';
import { open, readdir, readFile, writeFile } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { SCRIPT_MODE } from '../../protocol/api/defaults.ts';
import { type InputFile, SpecRest } from '../../protocol/api/jobspec.ts';
import { fill, fillArgs, holdsPlaceholder, itemText } from '../../protocol/api/placeholders.ts';
import { assert, SkeinError } from '../../protocol/errors.ts';
import type { Fence, Sha256 } from '../../protocol/ids.ts';
import type { Result } from '../../protocol/state/result.ts';
import type { Begun } from '../../protocol/state/rows.ts';
import type { Clock } from '../../protocol/time.ts';
import { codec } from '../../protocol/wire/codec.ts';
import { inputManifest } from '../../protocol/wire/manifest.ts';
import { decodeGrants, encodeGrants, type PushedGrant } from '../../protocol/wire/work.ts';
import { onDisk } from '../blob/disk.ts';
import type { BlobStore } from '../blob/port.ts';
import { type attemptFolder, removeAttemptFolder } from '../files/attempt-folder.ts';
import { type Collected, collectOutputs } from '../files/collect.ts';
import { readManifest } from '../files/manifests.ts';
import { SpareFolders } from '../files/spare-folders.ts';
import { stageAttempt } from '../files/stage.ts';
import type { Log } from '../log.ts';
import { slotsOf } from '../policy/placement.ts';
import { taskEnvironment } from '../runtime/environment.ts';
import { scriptArgv } from '../runtime/interpreter.ts';
import type { AttemptEnded, AttemptSpec, RunningAttempt, Runtime } from '../runtime/port.ts';
import { cutDetail, type Leftovers, type Workshop } from './attempts.ts';
import type { Room } from './room.ts';

const FIRST_LINE_MAX_BYTES = 512;
/** As the gateway takes a job's body. */
const REST_MAX_BYTES = 32 * 1024 * 1024;
const restCodec = codec('the rest of a job', SpecRest, REST_MAX_BYTES);
const GRANT_FILE = 'grant.json';

/** Brings blobs from and to gateways. */
export interface Carrier {
  /** Fails with `not-found` where no gateway has one of them, `unreachable` where none answers. */
  fetch(blobs: readonly Sha256[], signal: AbortSignal): Promise<void>;
  /** Resolves once a gateway has them durably. */
  deliver(blobs: readonly Sha256[], signal: AbortSignal): Promise<void>;
}

export interface WorkshopParts {
  readonly store: BlobStore;
  readonly carrier: Carrier;
  readonly room: Pick<Room, 'ensure' | 'isShort'>;
  readonly clock: Clock;
  readonly out: Log;
}

export interface WorkshopOptions {
  /** Absolute; holds the folders of attempts and nothing else. */
  readonly attemptsFolder: string;
  /** Absolute, on the same disk. */
  readonly spareFolder: string;
  readonly slots: number;
  readonly containment: Runtime['containment'];
  /** The worker's own PATH and LANG, for tasks that bring none. */
  readonly path: string;
  readonly lang: string;
}

export class FileWorkshop implements Workshop {
  readonly #parts: WorkshopParts;
  readonly #spare: SpareFolders;
  readonly #options: WorkshopOptions;
  /** What each collected result named, its manifest's files included, until it is delivered. */
  readonly #named = new WeakMap<Result, readonly Sha256[]>();
  /** Blobs of attempts that are not settled yet: inputs to place, outputs to deliver. */
  readonly #inUse = new Map<Fence, ReadonlySet<Sha256>>();
  #gathering = 0;

  constructor(parts: WorkshopParts, options: WorkshopOptions) {
    this.#parts = parts;
    this.#options = options;
    // Without a namespace a process may have escaped its attempt's end, and would go on writing into another's folder.
    const spares = options.containment === 'pid-namespace' ? options.slots * 2 : 0;
    this.#spare = new SpareFolders(options.spareFolder, spares);
  }

  folderOf(fence: Fence): string {
    return join(this.#options.attemptsFolder, fence);
  }

  async stage(pushed: PushedGrant, signal: AbortSignal): Promise<AttemptSpec> {
    await this.#parts.room.ensure();
    const grant = await this.#whole(pushed, signal);
    const inputs = await this.#inputs(grant, signal);
    const stdin = (grant.spec.stdin?.sha256 ?? null) as Sha256 | null;
    const blobs = new Set(inputs.flatMap((input) => (input.sha256 === undefined ? [] : [input.sha256 as Sha256])));
    if (stdin !== null) blobs.add(stdin);
    this.#use(grant.fence, blobs);
    await this.#parts.carrier.fetch([...blobs], signal);
    const folder = this.folderOf(grant.fence);
    const places = await stageAttempt({ ...this.#parts, spare: this.#spare }, { folder, inputs, stdin }, signal);
    if (grant.spec.oneStream === true) await onDisk('making the files of an attempt', writeFile(places.stderrFile, ''));
    const env = this.#environment(grant, places);
    return {
      fence: grant.fence,
      argv: await this.#argv(grant, places.workFolder, env.PATH ?? ''),
      folder,
      workFolder: places.workFolder,
      stdinFile: stdin === null ? null : places.stdinFile,
      stdoutFile: places.stdoutFile,
      stderrFile: grant.spec.oneStream === true ? places.stdoutFile : places.stderrFile,
      env,
      ...(grant.spec.umask === undefined ? {} : { umask: grant.spec.umask }),
      timeoutMs: grant.spec.timeoutMs ?? null,
    };
  }

  /** Puts back the arguments and the environment that were too long for the log's record. */
  async #whole(grant: PushedGrant, signal: AbortSignal): Promise<PushedGrant> {
    if (grant.spec.rest === undefined) return grant;
    const sha256 = grant.spec.rest.sha256 as Sha256;
    this.#use(grant.fence, [sha256]);
    await this.#parts.carrier.fetch([sha256], signal);
    const part = { offset: 0, sizeBytes: await this.#restSize(sha256) };
    const chunks: Uint8Array[] = [];
    for await (const chunk of await this.#parts.store.read(sha256, part)) chunks.push(chunk as Uint8Array);
    const rest = restCodec.decode(Buffer.concat(chunks));
    return { ...grant, spec: { ...grant.spec, ...rest } };
  }

  async #restSize(sha256: Sha256): Promise<number> {
    const sizeBytes = (await this.#parts.store.stat(sha256))?.sizeBytes ?? 0;
    if (sizeBytes <= REST_MAX_BYTES) return sizeBytes;
    throw new SkeinError(
      'too-large',
      `arguments and environment have ${sizeBytes} bytes, ${REST_MAX_BYTES} are allowed`,
    );
  }

  async #inputs({ fence, spec, entry }: PushedGrant, signal: AbortSignal): Promise<InputFile[]> {
    const inputs = [...(spec.inputs ?? []), ...(entry?.inputs ?? [])];
    for (const list of [spec.inputsManifest, entry?.inputsManifest]) {
      if (list === undefined) continue;
      const sha256 = list.sha256 as Sha256;
      this.#use(fence, [sha256]);
      await this.#parts.carrier.fetch([sha256], signal);
      for await (const input of readManifest(this.#parts.store, sha256, inputManifest())) inputs.push(input);
    }
    const { script } = spec;
    if (script !== undefined)
      inputs.push({ path: script.path, sha256: script.sha256, mode: script.mode ?? SCRIPT_MODE });
    return inputs;
  }

  #environment(grant: PushedGrant, places: ReturnType<typeof attemptFolder>): Readonly<Record<string, string>> {
    const { spec, entry } = grant;
    return taskEnvironment({
      path: spec.path ?? this.#options.path,
      virtualEnv: spec.virtualEnv ?? null,
      homeFolder: places.homeFolder,
      tmpFolder: places.tmpFolder,
      lang: this.#options.lang,
      job: grant.jobId,
      task: grant.task,
      attempt: grant.attempt,
      item: entry === null ? null : itemText(entry.item),
      workFolder: places.workFolder,
      cpus: typeof spec.needs?.cpu === 'number' ? spec.needs.cpu : slotsOf(spec.needs, { slots: this.#options.slots }),
      env: spec.env ?? {},
    });
  }

  async #argv({ spec, entry }: PushedGrant, workFolder: string, path: string): Promise<readonly string[]> {
    const args = spec.args ?? [];
    if (spec.script === undefined) {
      const command = spec.command ?? [];
      const own = entry !== null && command.some((part) => holdsPlaceholder(part, entry.item));
      const filled = own ? command.map((part) => fill(part, entry.item)) : command;
      const rest = own ? args.map((arg) => fill(arg, entry.item)) : filledArgs(args, entry);
      return [...(spec.interpreter ?? []), ...filled, ...rest];
    }
    const started = scriptArgv(
      {
        path: spec.script.path,
        firstLine: await firstLine(join(workFolder, spec.script.path)),
        interpreter: spec.interpreter ?? null,
      },
      commandsOn(path),
    );
    const named = spec.script.as ?? spec.script.path;
    // Alone it is started as a file of the current folder, never looked up on the PATH.
    const own = started.length === 1 && !named.includes('/') ? `./${named}` : named;
    return [...started.slice(0, -1), own, ...filledArgs(args, entry)];
  }

  /** A small file that never waits for the disk: a thread for it would cost more than it does. */
  async begin(grant: PushedGrant): Promise<void> {
    const write = async (): Promise<void> =>
      writeFileSync(this.#grantFile(grant.fence), encodeGrants([grant])[0] ?? '');
    await onDisk('keeping the grant of an attempt', write());
  }

  #grantFile(fence: string): string {
    return join(this.folderOf(fence as Fence), GRANT_FILE);
  }

  async collect(grant: PushedGrant, ended: AttemptEnded): Promise<Result> {
    const { umask } = grant.spec;
    const { stdout, stderr, outputs, blobs, notes } = await this.#gather(grant.fence, umask);
    for (const note of notes) this.#parts.out.info({ fence: grant.fence }, note);
    const { exit, reason, detail, startedAt, endedAt } = ended;
    assert(reason !== 'killed' && reason !== 'runner-died', `an attempt that was ${reason} has no result`);
    const isFull = exit.code !== 0 && (await this.#parts.room.isShort());
    const full = isFull ? `the disk of the worker (${this.#options.attemptsFolder}) was full when it ended` : null;
    const said = cutDetail([detail, full, ...notes].filter((sentence) => sentence !== null).join('; '));
    const result = { exit, reason, detail: said === '' ? null : said, startedAt, endedAt, stdout, stderr, outputs };
    this.#named.set(result, blobs);
    return result;
  }

  async #gather(fence: Fence, umask: number | undefined): Promise<Collected> {
    this.#gathering++;
    try {
      const collected = await collectOutputs(this.#parts, this.folderOf(fence), umask === undefined ? {} : { umask });
      this.#use(fence, collected.blobs);
      return collected;
    } finally {
      this.#gathering--;
    }
  }

  async publish(result: Result, signal: AbortSignal): Promise<void> {
    const blobs = this.#named.get(result) ?? [];
    if (blobs.length > 0) await this.#parts.carrier.deliver(blobs, signal);
  }

  #use(fence: Fence, blobs: Iterable<Sha256>): void {
    this.#inUse.set(fence, new Set([...(this.#inUse.get(fence) ?? []), ...blobs]));
  }

  /** What must not be evicted from the cache, asked at the moment. While results are gathered nobody can say which: all. */
  readonly inUse = {
    has: (sha256: Sha256): boolean => this.#gathering > 0 || this.#inUse.values().some((blobs) => blobs.has(sha256)),
  };

  async discard(fence: Fence): Promise<void> {
    this.#inUse.delete(fence);
    const folder = this.folderOf(fence);
    if (!(await this.#spare.give(folder))) await removeAttemptFolder(folder);
  }

  /** The grant of an attempt whose folder is still here; undefined where the folder does not say. */
  async grantOf(attempt: RunningAttempt): Promise<PushedGrant | undefined> {
    try {
      return decodeGrants(await readFile(this.#grantFile(attempt.fence)))[0];
    } catch (error) {
      this.#parts.out.warn(
        { folder: attempt.folder, err: error },
        'an attempt is left whose grant is not known; it is killed',
      );
      return undefined;
    }
  }

  /** At start, of all attempts that do not live on. */
  async leftovers(kept: ReadonlySet<string>): Promise<Leftovers> {
    const names = (await readdir(this.#options.attemptsFolder)).filter((name) => !kept.has(name));
    const begun = names.flatMap((name): Begun[] => {
      const grant = statSync(this.#grantFile(name), { throwIfNoEntry: false });
      return grant === undefined ? [] : [[name as Fence, Math.floor(grant.mtimeMs)]];
    });
    return { begun, discard: () => this.#discardAll(names) };
  }

  async #discardAll(names: readonly string[]): Promise<void> {
    for (const name of names) await removeAttemptFolder(join(this.#options.attemptsFolder, name));
  }
}

function filledArgs(args: readonly string[], entry: PushedGrant['entry']): readonly string[] {
  return entry === null ? args : fillArgs(args, entry.item);
}

async function firstLine(path: string): Promise<string> {
  await using file = await open(path, 'r');
  const { buffer, bytesRead } = await file.read(new Uint8Array(FIRST_LINE_MAX_BYTES), 0, FIRST_LINE_MAX_BYTES, 0);
  const text = Buffer.from(buffer.subarray(0, bytesRead)).toString('latin1');
  if (text.includes('\0')) return '';
  const end = text.indexOf('\n');
  return end < 0 ? text : text.slice(0, end);
}

/** Whether a name is an executable on the PATH, or an absolute path is one. A few lookups for each attempt. */
function commandsOn(path: string): (command: string) => boolean {
  const folders = path.split(':').filter((folder) => folder !== '');
  return (command) =>
    isAbsolute(command) ? isExecutable(command) : folders.some((folder) => isExecutable(join(folder, command)));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    // Not there, or not for this user: either way no command.
    return false;
  }
}
