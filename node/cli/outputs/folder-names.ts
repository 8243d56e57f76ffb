// The name of each task's output folder: its item's where that is a path, else its number. No two tasks share one, also
// where the disk takes `A` and `a`, or two spellings of `é`, for the same.
import { isSafePath } from '../upload/paths.ts';

/** @param names of the items, in the order of the tasks, which count from 1. */
export function folderNames(names: readonly (string | undefined)[]): readonly string[] {
  const width = String(names.length).length;
  const folders = names.map((name, at) => (isPath(name) ? undefined : String(at + 1).padStart(width, '0')));
  // Numbers first: an item that is called like one gives way.
  const taken = new Set(folders.filter((folder) => folder !== undefined));
  return folders.map((folder, at) => folder ?? free(names[at] ?? '', at + 1, taken));
}

const isPath = (name: string | undefined): boolean => name !== undefined && isSafePath(name);

function free(name: string, task: number, taken: Set<string>): string {
  let folder = name;
  while (taken.has(folded(folder))) folder = `${folder}.${task}`;
  taken.add(folded(folder));
  return folder;
}

const folded = (name: string): string => name.normalize('NFC').toLowerCase();
