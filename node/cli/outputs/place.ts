// Puts returned files where they belong: below the output folder, or back at the outside place that an argument named.
// Never over a file that is not skein's to replace, never through a link that a result brought.
import { lstatSync, renameSync } from 'node:fs';
import { chmod, lstat, readlink, realpath, rm, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeFolder } from '../../config/make-folder.ts';
import { hashFile } from '../upload/hash.ts';
import { isSafePath, localPath, within } from '../upload/paths.ts';
import { decide, linkMark, type Present } from './decide.ts';
import { download, type OpenFrom, spool, writing } from './download.ts';
import type { WrittenRecord } from './record.ts';

export interface Incoming {
  readonly path: string;
  readonly kind: 'file' | 'link' | 'folder';
  readonly mode: number | null;
  readonly bytes: number | null;
  readonly sha256: string | null;
  readonly target: string | null;
}

export interface Placed {
  /** Absolute; where it lies now. */
  readonly path: string;
  readonly bytes: number;
  /** `refused` is left on the mesh by rule, `failed` because this disk would not take it. */
  readonly kind: 'written' | 'same' | 'aside' | 'refused' | 'failed';
  /** For people, where it is not simply written. */
  readonly note: string | undefined;
}

export interface PlacerOptions {
  readonly jobId: string;
  readonly overwrite: boolean;
  /** The sha-256 that this job uploaded from an absolute path. */
  readonly uploaded: (path: string) => string | undefined;
  readonly record: WrittenRecord;
  /** Absolute folders outside to which results may come back. */
  readonly outside: readonly string[];
}

export class Placer {
  readonly #options: PlacerOptions;

  constructor(options: PlacerOptions) {
    this.#options = options;
  }

  /** @param folder absolute; the task's output folder. Fails with `digest-mismatch`, `transfer-failed`, `disk-full`, … */
  async place(file: Incoming, folder: string, openFrom: OpenFrom): Promise<Placed> {
    const place = await this.#placeOf(file.path, folder);
    if (typeof place !== 'string') return place;
    return file.kind === 'link' ? this.#placeLink(file, place) : this.#placeFile(file, place, openFrom);
  }

  /** Makes a folder, and answers what gives it its mode once it is filled; undefined where there is one already. */
  async placeFolder(entry: Incoming, folder: string): Promise<Placed | (() => Promise<void>) | undefined> {
    const place = await this.#placeOf(entry.path, folder);
    if (typeof place !== 'string') return place;
    const there = await presentAt(place);
    if (there.kind === 'file' || there.kind === 'link') return refused(place, 'something else is there');
    if (there.kind === 'other') return undefined;
    try {
      await makeFolder(place);
    } catch (error) {
      throw writing(place, error);
    }
    return () => chmod(place, entry.mode ?? 0o755);
  }

  /** Puts bytes whose hash is not known beforehand: a task's log. */
  async placeStream(path: string, bytes: AsyncIterable<Uint8Array>): Promise<Placed> {
    const { part, sha256, sizeBytes } = await spool(path, bytes);
    const verdict = await this.#decide(path, sha256);
    if (verdict === 'same') {
      await rm(part, { force: true });
      return { path, bytes: sizeBytes, kind: 'same', note: undefined };
    }
    const target = verdict === 'aside' ? await this.#asideOf(path, sha256) : path;
    renameSync(part, target);
    await this.#options.record.note(target, sha256);
    return this.#placed(path, target, sizeBytes);
  }

  /** The absolute place, or why there is none. */
  async #placeOf(path: string, folder: string): Promise<string | Placed> {
    if (!isSafePath(path)) return refused(path, 'its name would lead out of the folder');
    const { path: local, outside } = localPath(path, folder);
    if (outside && !this.#options.outside.some((named) => within(named, local) !== undefined)) {
      return refused(path, 'no argument of the job named that place');
    }
    if (!outside && (await this.#leadsOut(local, folder)))
      return refused(path, 'a link that came from a result leads out of the folder');
    return local;
  }

  /** Whether a folder on the way is a link that skein itself wrote, to somewhere outside. */
  async #leadsOut(local: string, folder: string): Promise<boolean> {
    for (let at = dirname(local); within(folder, at); at = dirname(at)) {
      if (!isLink(at)) continue;
      const shown = await realpath(at).catch(() => at);
      const root = await realpath(folder).catch(() => folder);
      if (within(root, shown) !== undefined) continue;
      if ((await this.#options.record.lookUp(at)) !== undefined) return true;
    }
    return false;
  }

  async #placeFile(file: Incoming, place: string, openFrom: OpenFrom): Promise<Placed> {
    const sha256 = file.sha256 ?? '';
    // A link of the user's own to a file: that file is what a local run would have written.
    const path = (await this.#isUsersLink(place)) ? await realpath(place) : place;
    const bytes = file.bytes ?? 0;
    const verdict = await this.#decide(path, sha256, place);
    if (verdict === 'same') {
      if (file.mode !== null && (await this.#isOurs(path, place, sha256))) await chmod(path, file.mode);
      await this.#options.record.note(path, sha256);
      return { path, bytes, kind: 'same', note: undefined };
    }
    const target = await download({ path, sizeBytes: bytes, mode: file.mode ?? 0o644, sha256 }, openFrom, async () =>
      (await this.#decide(path, sha256, place)) === 'aside' ? this.#asideOf(path, sha256) : path,
    );
    await this.#options.record.note(target, sha256);
    return this.#placed(path, target, bytes);
  }

  async #placeLink(file: Incoming, path: string): Promise<Placed> {
    const mark = linkMark(file.target ?? '');
    const verdict = await this.#decide(path, mark);
    if (verdict === 'same') return { path, bytes: 0, kind: 'same', note: undefined };
    const target = verdict === 'aside' ? await this.#asideOf(path, mark) : path;
    try {
      await makeFolder(dirname(target));
      await rm(target, { force: true });
      await symlink(file.target ?? '', target);
    } catch (error) {
      throw writing(target, error);
    }
    await this.#options.record.note(target, mark);
    return this.#placed(path, target, 0);
  }

  /** @param named where `path` was reached through a link, the link's own place: the upload knows it by that. */
  async #decide(path: string, incoming: string, named = path): Promise<ReturnType<typeof decide>> {
    const { overwrite, uploaded, record } = this.#options;
    const written = await record.lookUp(path);
    return decide(await presentAt(path), incoming, { overwrite, uploaded: uploaded(named) ?? uploaded(path), written });
  }

  async #isOurs(path: string, named: string, sha256: string): Promise<boolean> {
    const { uploaded, record } = this.#options;
    return [uploaded(named), uploaded(path), await record.lookUp(path)].includes(sha256);
  }

  /** A name beside `path`, numbered where the job's own holds what somebody has changed since. */
  async #asideOf(path: string, incoming: string): Promise<string> {
    const own = `${path}.${this.#options.jobId}`;
    let name = own;
    for (let n = 2; (await this.#decide(name, incoming)) === 'aside'; n++) name = `${own}.${n}`;
    return name;
  }

  /** One to a file that no earlier result brought: there a local run would have written. */
  async #isUsersLink(path: string): Promise<boolean> {
    if (!isLink(path)) return false;
    if ((await this.#options.record.lookUp(path)) === linkMark(await readlink(path))) return false;
    const shown = await realpath(path).catch(() => undefined);
    return shown !== undefined && (await lstat(shown)).isFile();
  }

  #placed(path: string, target: string, bytes: number): Placed {
    if (target === path) return { path, bytes, kind: 'written', note: undefined };
    return { path: target, bytes, kind: 'aside', note: `${path} is not skein's to replace; the result is ${target}` };
  }
}

const refused = (path: string, why: string): Placed => ({
  path,
  bytes: 0,
  kind: 'refused',
  note: `${path} stays on the mesh: ${why}`,
});

function isLink(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  } catch {
    // What may not be looked at is met with its reason where it is written to.
    return false;
  }
}

async function presentAt(path: string): Promise<Present> {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return { kind: 'nothing' };
  if (stats.isSymbolicLink()) return { kind: 'link', target: await readlink(path) };
  if (!stats.isFile()) return { kind: 'other' };
  return { kind: 'file', sha256: (await hashFile(path, join(path))).sha256 };
}
