// Which paths and links may be made below a folder that is filled from outside. Judged wherever such a path arrives.

const PATH_MAX = 4096;
const PART_MAX = 255;

/** Why `path` may not be used below a folder, as the end of a sentence, or undefined where it may. */
export function pathFault(path: string): string | undefined {
  if (path === '') return 'is empty';
  if (!path.isWellFormed() || path.includes('\0')) return 'holds characters that no file name has';
  if (path.startsWith('/')) return 'is absolute';
  if (bytes(path) > PATH_MAX) return `is longer than ${PATH_MAX} bytes`;
  for (const part of path.split('/')) {
    if (part === '' || part === '.' || part === '..') return `has a part '${part}'`;
    if (part.length > PART_MAX / 4 && bytes(part) > PART_MAX) return `has a part longer than ${PART_MAX} bytes`;
  }
  return undefined;
}

/**
 * Why a symbolic link at `path` may not point to `target`, or undefined where it may. `..` is allowed at the start alone:
 * behind a name it would be followed from wherever that name leads. So, with every link of a folder judged by this rule,
 * none leads out, however they are chained, as long as nothing is ever put below a link.
 */
export function linkFault(path: string, target: string): string | undefined {
  if (target === '') return 'points nowhere';
  if (!target.isWellFormed() || target.includes('\0')) return 'holds characters that no file name has';
  if (target.startsWith('/')) return 'points to an absolute path';
  if (bytes(target) > PATH_MAX) return `is longer than ${PATH_MAX} bytes`;
  let depth = path.split('/').length - 1;
  let named = false;
  for (const part of target.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') named = true;
    else if (named) return "has a '..' behind a name";
    else if (--depth < 0) return 'points out of its folder';
  }
  return undefined;
}

function bytes(text: string): number {
  let count = 0;
  for (const character of text) {
    const code = character.codePointAt(0) as number;
    count += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return count;
}
