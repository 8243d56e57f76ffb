// A folder of a test's own, gone afterwards, with files written in one go.
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export interface TestFolder extends Disposable {
  readonly path: string;
  at(...parts: readonly string[]): string;
  /** Text for a file, `{ link }` for a symbolic link, null for an empty folder. */
  write(files: Readonly<Record<string, string | null | { readonly link: string }>>): void;
}

export function testFolder(): TestFolder {
  const path = realpathSync(mkdtempSync(join(tmpdir(), 'skein-test-')));
  return {
    path,
    at: (...parts) => join(path, ...parts),
    write(files) {
      for (const [name, content] of Object.entries(files)) {
        const file = join(path, name);
        mkdirSync(content === null ? file : dirname(file), { recursive: true });
        if (typeof content === 'string') writeFileSync(file, content);
        else if (content !== null) symlinkSync(content.link, file);
      }
    },
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}
