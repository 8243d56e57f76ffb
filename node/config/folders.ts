// Where skein keeps things on this machine: the XDG folders of the user, and what lies in them.
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The parts of the process that configuration depends on; tests hand in their own. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly home: string;
  readonly uid: number;
}

export function surroundings(): Surroundings {
  return {
    env: process.env,
    cwd: process.cwd(),
    home: process.env.HOME ?? homedir(),
    uid: process.getuid?.() ?? -1,
  };
}

/** `$XDG_CONFIG_HOME/skein`: the user's own choices, and stored logins. */
export const configFolder = (from: Surroundings): string => xdg(from, 'XDG_CONFIG_HOME', '.config');
/** `$XDG_STATE_HOME/skein`: what this machine remembers, `local` included. */
export const stateFolder = (from: Surroundings): string => xdg(from, 'XDG_STATE_HOME', join('.local', 'state'));
export const configFile = (from: Surroundings): string => join(configFolder(from), 'config.yaml');
/** One file for each node started on this machine (UX 7.10). */
export const nodesFolder = (from: Surroundings): string => join(stateFolder(from), 'nodes');

/** The data folder of a node that was given none. */
export function defaultDataFolder(from: Surroundings): string {
  const chosen = from.env.XDG_DATA_HOME;
  if (from.uid === 0 && (chosen === undefined || chosen === '')) return '/var/lib/skein';
  return xdg(from, 'XDG_DATA_HOME', join('.local', 'share'));
}

function xdg(from: Surroundings, name: string, fallback: string): string {
  const chosen = from.env[name];
  // The XDG specification has relative values ignored.
  const base = chosen?.startsWith('/') ? chosen : join(from.home, fallback);
  return join(base, 'skein');
}
