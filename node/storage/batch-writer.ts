// One write at a time through one handle, and group commit above it: what arrives during a write goes in the next.
// Serial on purpose: LevelDB acknowledges batches after a failed one and loses them, so no write may overtake a failure.
import type { Level } from 'level';

export type Database = Level<Buffer, Buffer>;

export type Operation =
  | { readonly type: 'put'; readonly key: Buffer; readonly value: Buffer }
  | { readonly type: 'del'; readonly key: Buffer };

interface Waiting {
  readonly operations: readonly Operation[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class BatchWriter {
  readonly #db: Database;
  #waiting: Waiting[] = [];
  #writing = false;
  #failure: { readonly error: unknown } | undefined;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Resolves when fsynced. After the first failure every write fails with that one's error, for ever. */
  write(operations: readonly Operation[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ operations, resolve, reject });
      if (!this.#writing) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#writing = true;
    while (this.#waiting.length > 0) {
      const group = this.#waiting;
      this.#waiting = [];
      try {
        if (this.#failure !== undefined) throw this.#failure.error;
        await this.#db.batch(group.length === 1 ? [...(group[0]?.operations ?? [])] : merged(group), { sync: true });
        for (const one of group) one.resolve();
      } catch (error) {
        this.#failure ??= { error };
        for (const one of group) one.reject(error);
      }
    }
    this.#writing = false;
  }
}

function merged(group: readonly Waiting[]): Operation[] {
  return group.flatMap((one) => one.operations);
}
