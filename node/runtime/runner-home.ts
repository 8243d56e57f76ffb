// The folder in which runners keep their sockets, and how they are started there.
import { createHash } from 'node:crypto';
import { chmodSync, lstatSync, mkdirSync, readdirSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { SkeinError } from '../../protocol/errors.ts';
import type { Random } from '../../protocol/random.ts';
import { platform } from './platform.ts';

/** A unix socket's name holds 108 bytes on Linux, 104 on macOS, with a zero at its end. */
const SOCKET_PATH_MAX = 103;
const SOCKET_NAME = /^r-[0-9a-f]{16}$/;

export class RunnerHome {
  /** Absolute and real. */
  readonly folder: string;
  /** Names this folder in markers. */
  readonly id: string;
  readonly containment: 'pid-namespace' | 'process-group';
  /** What stands before the runner's own command line. */
  readonly command: readonly string[];
  readonly #random: Random;
  #shortcut: string | undefined;

  private constructor(folder: string, command: readonly string[] | undefined, random: Random) {
    this.folder = folder;
    this.id = createHash('sha256').update(folder).digest('hex').slice(0, 16);
    this.command = command ?? [];
    this.containment = command === undefined ? 'process-group' : 'pid-namespace';
    this.#random = random;
  }

  /** Makes the folder, for its owner alone, and tries whether namespaces work here. */
  static async open(folder: string, random: Random, namespaces: boolean): Promise<RunnerHome> {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    chmodSync(folder, 0o700);
    const command = namespaces ? await platform.namespaceCommand() : undefined;
    return new RunnerHome(realpathSync(folder), command, random);
  }

  newSocket(): string {
    return `r-${Buffer.from(this.#random.bytes(8)).toString('hex')}`;
  }

  sockets(): readonly string[] {
    return readdirSync(this.folder).filter((name) => SOCKET_NAME.test(name));
  }

  forget(name: string): void {
    rmSync(`${this.folder}/${name}`, { force: true });
  }

  /** A path to a socket that is short enough to connect to. */
  reach(name: string): string {
    const path = `${this.folder}/${name}`;
    if (Buffer.byteLength(path) <= SOCKET_PATH_MAX) return path;
    this.#shortcut ??= this.#makeShortcut();
    return `${this.#shortcut}/${name}`;
  }

  close(): void {
    if (this.#shortcut !== undefined) rmSync(this.#shortcut, { force: true });
    this.#shortcut = undefined;
  }

  /** A link to the folder, in a folder that nobody else may write to. */
  #makeShortcut(): string {
    const { uid } = userInfo();
    const own = `${tmpdir()}/skein-${uid}`;
    mkdirSync(own, { recursive: true, mode: 0o700 });
    const found = lstatSync(own);
    if (!found.isDirectory() || found.uid !== uid || (found.mode & 0o077) !== 0) {
      throw new SkeinError('runtime-failed', `${own} is not a folder that belongs to this user alone`, {
        fix: `Remove ${own}, or use a data folder with a shorter path.`,
      });
    }
    const link = `${own}/${this.id}`;
    rmSync(link, { force: true });
    symlinkSync(this.folder, link);
    return link;
  }
}
