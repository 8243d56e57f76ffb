// A disk of a few MiB that can really be full: a tmpfs, mounted by root or, for who is not root, in no other way.
import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, truncateSync } from 'node:fs';
import { join } from 'node:path';

export class SmallDisk implements Disposable {
  readonly path: string;

  /** Mounted at `path`, which is made. */
  constructor(path: string, mebibytes: number) {
    this.path = path;
    mkdirSync(path, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', path]);
  }

  static get mayMount(): boolean {
    return process.platform === 'linux' && process.getuid?.() === 0;
  }

  /** Takes what room there is, to the last byte. */
  fill(): void {
    for (let bytes = 1 << 20; bytes >= 1; bytes >>= 2) {
      try {
        for (;;) appendFileSync(join(this.path, 'filler'), Buffer.alloc(bytes));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      }
    }
  }

  free(): void {
    truncateSync(join(this.path, 'filler'), 0);
  }

  /** Also while something still writes there. */
  [Symbol.dispose](): void {
    execFileSync('umount', ['--lazy', this.path]);
  }
}
