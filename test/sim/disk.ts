// A machine's disk: what it holds is what was synced. A crash loses the write under way, or makes it whole, or leaves the
// vote of it alone, as that goes to a file of its own first. It may be slow, full, or fail once.

import { MemoryDisk, MemoryStorage } from '../../node/storage/memory.ts';
import type { Append, Epoch, Install, Loaded, StagedPlace } from '../../node/storage/port.ts';
import type { Random } from '../../protocol/random.ts';
import { between } from './chance.ts';
import type { Life } from './machine.ts';
import type { World } from './world.ts';

const never = new Promise<never>(() => undefined);

export class SimDisk extends MemoryDisk {
  readonly #world: World;
  readonly #random: Random;
  syncMs: readonly [number, number] = [0.2, 2];
  /** The next append fails with an I/O error. */
  failsNext = false;
  /** Called as a write begins, with how long it will take. */
  onWrite: (ms: number) => void = () => undefined;
  #underWay: { readonly whole: () => void; readonly append: Append | undefined } | undefined;

  constructor(world: World, random: Random) {
    super();
    this.#world = world;
    this.#random = random;
  }

  /** @returns once a write of that life is on the disk; not at all where the life ends before. */
  synced(life: Life, append?: Append): Promise<void> {
    if (life.isOver) return never;
    return new Promise((resolve) => {
      const whole = (): void => {
        this.#underWay = undefined;
        resolve();
      };
      this.#underWay = { whole, append };
      const ms = between(this.#random, ...this.syncMs);
      this.#world.after(ms, life, whole);
      this.onWrite(ms);
    });
  }

  /** The power, or the process, is gone. The life must have ended. */
  crash(): void {
    this.locked = false;
    const underWay = this.#underWay;
    this.#underWay = undefined;
    if (underWay === undefined) return;
    const { hardState } = underWay.append ?? {};
    const draw = this.#random.next();
    if (draw < 0.3) {
      this.#world.count('writes whole though unanswered');
      underWay.whole();
    } else if (draw < 0.6 && hardState !== undefined) {
      this.#world.count('writes torn: the vote alone');
      this.hardState = { ...this.hardState, term: hardState.term, vote: hardState.vote };
    } else {
      this.#world.count('writes lost');
    }
  }

  /** A failed write may be on the disk all the same. */
  keepsFailed(): boolean {
    return this.#random.next() < 0.5;
  }
}

export class SimStorage extends MemoryStorage {
  readonly #disk: SimDisk;
  readonly #life: Life;

  constructor(disk: SimDisk, life: Life) {
    super(disk);
    this.#disk = disk;
    this.#life = life;
  }

  override async append(append: Append): Promise<void> {
    if (!this.#disk.failsNext) return this.#on(append, () => super.append(append));
    this.#disk.failsNext = false;
    if (this.#disk.keepsFailed()) await this.#on(append, () => super.append(append));
    this.#disk.refuse('folder-unusable');
    this.#life.machine.world.after(500, undefined, () => this.#disk.allow());
    return this.#on(append, () => super.append(append));
  }

  override stage(place: StagedPlace, rows: readonly (readonly [string, unknown])[]): Promise<void> {
    return this.#on(undefined, () => super.stage(place, rows));
  }

  override install(install: Install): Promise<void> {
    this.#life.machine.world.count('snapshots installed');
    return this.#on(undefined, () => super.install(install));
  }

  override become(epoch: Epoch, voterId: number): Promise<Loaded> {
    return this.#on(undefined, () => super.become(epoch, voterId));
  }

  override forget(): Promise<void> {
    return this.#on(undefined, () => super.forget());
  }

  override putLocal(changes: readonly { readonly key: string; readonly value: unknown }[]): Promise<void> {
    return this.#on(undefined, () => super.putLocal(changes));
  }

  /** The write takes its time where the memory disk asks for it. */
  #on<T>(append: Append | undefined, write: () => Promise<T>): Promise<T> {
    this.#disk.sync = () => this.#disk.synced(this.#life, append);
    return this.#life.isOver ? never : write();
  }
}
