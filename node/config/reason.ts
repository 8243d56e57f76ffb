// Why the system would not give a file, in words.
const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'this user may not',
  EPERM: 'this user may not',
  EISDIR: 'it is a folder',
  EEXIST: 'something else is there',
  ENOTDIR: 'a part of its path is no folder',
  ELOOP: 'its links lead in a circle',
  ENAMETOOLONG: 'its name is too long',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the disk is read-only',
  EIO: 'the system cannot read it',
  EMFILE: 'too many files are open',
};

export const reasonOf = (error: NodeJS.ErrnoException): string =>
  WORDS[error.code ?? ''] ?? error.code ?? error.message;
