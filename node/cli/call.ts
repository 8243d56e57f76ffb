// One call of a verb: its arguments and flags as parsed, and what it may touch.
import type { Flags } from '../config/config.ts';
import type { Screen } from './output/screen.ts';
import type { World } from './world.ts';

export interface Call {
  /** `run`, `outputs get`. */
  readonly verb: string;
  readonly args: readonly string[];
  /** Only what the command line says, by camelCase name; defaults are the verb's own. */
  readonly flags: Flags;
  readonly world: World;
  readonly screen: Screen;
}

/** What a command module exports: answers the exit code; failures are thrown. */
export type Command = (call: Call) => Promise<number>;

export const flag = (call: Call, name: string): string | undefined => {
  const value = call.flags[name];
  return typeof value === 'string' ? value : undefined;
};

export const isSet = (call: Call, name: string): boolean => call.flags[name] === true;
