// What a path names here, if anything.
import { type Stats, statSync } from 'node:fs';

export function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    // A name that no file can have (too long, through a file, no permission on the way): it names nothing here.
    return undefined;
  }
}
