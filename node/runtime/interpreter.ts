// How a script is started: by what it was asked to be run with, by its first line, by its name, or by itself. Pure.
// Whether all that is there is not judged: the runtime says `not-found` or `not-executable` as a shell would.

export interface Script {
  /** With a `/` in it, so that it is never looked up on the PATH. */
  readonly path: string;
  /** Up to the first line's end, or empty where it is no text. */
  readonly firstLine: string;
  /** Asked for by the job; wins over all else. */
  readonly interpreter: readonly string[] | null;
}

/** By extension, in order of preference. */
const BY_EXTENSION: Readonly<Record<string, readonly [string, ...string[]]>> = {
  py: ['python3', 'python'],
  js: ['node'],
  mjs: ['node'],
  cjs: ['node'],
  ts: ['node'],
  mts: ['node'],
  cts: ['node'],
  sh: ['bash', 'sh'],
  bash: ['bash'],
  zsh: ['zsh'],
  fish: ['fish'],
  rb: ['ruby'],
  pl: ['perl'],
  php: ['php'],
  lua: ['lua', 'lua5.4', 'luajit'],
  r: ['Rscript'],
  jl: ['julia'],
  tcl: ['tclsh'],
};

/**
 * The arguments that start the script, its own not included.
 * @param exists whether a name is a command on the task's PATH, or an absolute path a file.
 */
export function scriptArgv(script: Script, exists: (command: string) => boolean): readonly string[] {
  if (script.interpreter !== null) return [...script.interpreter, script.path];
  const named = fromFirstLine(script.firstLine, exists);
  if (named !== undefined) return [...named, script.path];
  const extension = /\.([A-Za-z]+)$/.exec(script.path)?.[1]?.toLowerCase() ?? '';
  const candidates = Object.hasOwn(BY_EXTENSION, extension) ? BY_EXTENSION[extension] : undefined;
  if (candidates === undefined) return [script.path];
  return [candidates.find(exists) ?? candidates[0], script.path];
}

function fromFirstLine(line: string, exists: (command: string) => boolean): readonly string[] | undefined {
  const match = /^#!\s*(\S+)(?:[ \t]+(.*\S))?\s*$/.exec(line);
  if (match === null) return undefined;
  const [, command = '', argument] = match;
  const name = command.slice(command.lastIndexOf('/') + 1);
  if (name === 'env' && argument !== undefined) return fromEnv(argument, command);
  // An interpreter may live elsewhere on this machine than on the one that the script was written on.
  const here = exists(command) || !exists(name) ? command : name;
  // The kernel hands over what follows as one argument, spaces and all.
  return argument === undefined ? [here] : [here, argument];
}

/** `env NAME` is NAME on the PATH; whatever else env is asked to do, it does itself. */
function fromEnv(argument: string, env: string): readonly string[] {
  const words = argument.replace(/^(-S|--split-string=?)\s*/, '').split(/\s+/);
  const plain = words[0] !== undefined && !words[0].startsWith('-') && !words[0].includes('=');
  return plain ? words : [env, ...words];
}
