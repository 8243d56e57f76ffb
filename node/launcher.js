#!/bin/sh
//usr/bin/true 2>/dev/null; exec node -- "$0" "$@"
// The line above is for the shell: without the -- Node would take the script's --env-file for its own.
// Starts skein on a Node that it can run on: in the running one where it is new enough, else on the packaged one.
// Plain JavaScript for any Node >= 20, in a checkout (the .ts as it stands) and installed (dist/) alike.
import { spawn } from 'node:child_process';
import { existsSync, fstatSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants, homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const NEEDED_MAJOR = 26;
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [major, minor] = process.versions.node.split('.').map(Number);

/** The Node to run on, or undefined where neither the running nor a packaged one will do. */
export function suitableNode() {
  if (major >= NEEDED_MAJOR) return process.execPath;
  const names = [`node-${process.platform}-${process.arch}`, `node-bin-${process.platform}-${process.arch}`];
  const require = createRequire(import.meta.url);
  for (const name of names) {
    try {
      const binary = join(dirname(require.resolve(`${name}/package.json`)), 'bin', 'node');
      if (existsSync(binary)) return binary;
    } catch {
      // Not packaged for this platform, or left out at install: the next name, else the message below.
    }
  }
  return undefined;
}

export function explainMissingNode() {
  return (
    `skein: Node ${NEEDED_MAJOR} is needed and this is ${process.versions.node}; ` +
    `there is no packaged Node for ${process.platform}-${process.arch} here. ` +
    `Install Node ${NEEDED_MAJOR} or newer, or run npm ci without --omit=optional.`
  );
}

/** Replaces this process where Node can, else runs `argv` as a child that lives and dies with it. Never returns. */
export function become(binary, argv) {
  // Tells the node below of its launcher and the pipe to it; a replaced process has none left.
  const { SKEIN_LAUNCHER: _, ...env } = process.env;
  const replaces = typeof process.execve === 'function' && (major > 22 || (major === 22 && minor >= 15));
  // What replaces it inherits nothing beyond standard error: a descriptor for `ready` needs a child.
  const passes = readyDescriptor(argv) === undefined && process.platform !== 'win32';
  if (replaces && passes) process.execve(binary, [binary, ...argv], env);
  runAsChild(binary, argv, env);
}

function runAsChild(binary, argv, env) {
  const readyFd = readyDescriptor(argv);
  if (readyFd !== undefined && !isOpen(readyFd)) {
    process.stderr.write(`skein: --ready-fd ${readyFd}: no such descriptor is open; add ${readyFd}>FILE or a pipe\n`);
    process.exit(2);
  }
  // Descriptor 3 upwards: the launcher's pipe first, then whatever --ready-fd names, under the same number.
  const stdio = ['inherit', 'inherit', 'inherit'];
  const pipeFd = readyFd === 3 ? 4 : 3;
  if (readyFd !== undefined) {
    while (stdio.length <= readyFd) stdio.push('ignore');
    stdio[readyFd] = readyFd;
  }
  while (stdio.length <= pipeFd) stdio.push('ignore');
  stdio[pipeFd] = 'pipe';
  const child = spawn(binary, argv, { stdio, env: { ...env, SKEIN_LAUNCHER: `${process.pid}:${pipeFd}` } });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGCONT', 'SIGWINCH']) {
    process.on(signal, () => child.kill(signal));
  }
  child.on('error', (error) => {
    process.stderr.write(`skein: ${binary} cannot be started: ${error.message}\n`);
    process.exit(125);
  });
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 125);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
    setTimeout(() => process.exit(128 + (constants.signals[signal] ?? 0)), 100);
  });
}

function isOpen(fd) {
  try {
    fstatSync(fd);
    return true;
  } catch {
    return false;
  }
}

function readyDescriptor(argv) {
  const at = argv.findIndex((arg) => arg === '--ready-fd' || arg.startsWith('--ready-fd='));
  if (at < 0) return undefined;
  const text = argv[at].includes('=') ? argv[at].split('=')[1] : argv[at + 1];
  const fd = Number(text);
  return Number.isInteger(fd) && fd > 2 && fd < 256 ? fd : undefined;
}

/** The user's own folder, never the shared temporary one: what lies there is run. */
function compiledFolder() {
  const { HOME = homedir(), XDG_CACHE_HOME } = process.env;
  return join(XDG_CACHE_HOME?.startsWith('/') ? XDG_CACHE_HOME : join(HOME, '.cache'), 'skein', 'compiled');
}

async function main() {
  // A package holds no source, and a checkout's dist/ may be an old one.
  const source = join(root, 'node', 'cli', 'cli.ts');
  const entry = existsSync(source) ? source : join(root, 'dist', 'node', 'cli', 'cli.js');
  const binary = suitableNode();
  if (binary === undefined) {
    process.stderr.write(`${explainMissingNode()}\n`);
    process.exit(125);
  }
  process.env.NODE_COMPILE_CACHE ||= compiledFolder();
  if (binary === process.execPath) {
    const { runProcess } = await import(pathToFileURL(entry).href);
    await runProcess(process.argv.slice(2));
  }
  const flags = ['--disable-warning=ExperimentalWarning', '--'];
  become(binary, [...flags, entry, ...process.argv.slice(2)]);
}

const started = process.argv[1];
if (started !== undefined && realpathSync(started) === fileURLToPath(import.meta.url)) await main();
