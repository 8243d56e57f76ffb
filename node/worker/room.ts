// Whether the worker's disk has room for an attempt. A script that meets a full disk fails in ways that blame the script: so
// none is begun there, the cache makes way first, and one that failed there is told of it.
import { statfs } from 'node:fs/promises';
import { SkeinError } from '../../protocol/errors.ts';
import type { Clock } from '../../protocol/time.ts';

/** Of the whole disk; what a script itself needs nobody knows. */
const SHARE = 0.01;
const ENOUGH_BYTES = 64 * 1024 ** 2;
const LOOK_MS = 1_000;

export class Room {
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #makeWay: () => Promise<void>;
  #goodAt = Number.NEGATIVE_INFINITY;

  /** @param makeWay gives up what can be had again. */
  constructor(folder: string, clock: Clock, makeWay: () => Promise<void>) {
    this.#folder = folder;
    this.#clock = clock;
    this.#makeWay = makeWay;
  }

  /** Fails with `disk-full`, after everything that can be had again has made way. */
  async ensure(): Promise<void> {
    if (this.#clock.monotonic() - this.#goodAt < LOOK_MS) return;
    if (await this.isShort()) await this.#makeWay();
    if (await this.isShort()) {
      throw new SkeinError('disk-full', `the disk under ${this.#folder} is full`, {
        fix: 'make room on it; what waits there then goes on by itself',
      });
    }
    this.#goodAt = this.#clock.monotonic();
  }

  async isShort(): Promise<boolean> {
    const { bavail, blocks, bsize } = await statfs(this.#folder);
    return bavail * bsize < Math.min(ENOUGH_BYTES, blocks * bsize * SHARE);
  }
}
